#include "perdure/detach.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <csignal>
#include <new>
#include <sstream>

#include "base/portable_testing.hpp"
#include "os/system.hpp"
#include "perdure/command.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/unique_fd.hpp"
#include "process/test_program.hpp"

#if defined(__SANITIZE_THREAD__)
#define SKIP_UNDER_TSAN() GTEST_SKIP() << "ThreadSanitizer's own thread does not survive fork(2)"
#else
#define SKIP_UNDER_TSAN() static_cast<void>(0)
#endif

namespace perdure {
namespace {

using namespace process::test;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int refused_code = 99;

/// One start: a process that detaches, and what became of it.
class Start {
 public:
  /// `daemon` runs in the daemon, which ends with its result. `prepare` runs in the first process before it detaches.
  explicit Start(
      DetachOptions options, const std::function<int(StartReport&, Start&)>& daemon,
      const std::function<void()>& prepare = [] {}) {
    int gate[2];
    if (::pipe2(gate, O_CLOEXEC) != 0) std::abort();
    release_ = UniqueFd{gate[1]};
    gate_ = UniqueFd{gate[0]};
    first_pid_ = in_child([&] {
      release_.reset();
      const int said = ::open((dir_ / "said").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      ::dup2(said, STDERR_FILENO);
      prepare();
      auto report = detach(options);
      if (!report) {
        const std::string text = report.error().message();
        static_cast<void>(::write(said, text.data(), text.size()));
        return refused_code;
      }
      write_file(dir_ / "pid.new", std::to_string(::getpid()));
      std::filesystem::rename(dir_ / "pid.new", dir_ / "pid");
      return daemon(*report, *this);
    });
    gate_.reset();
    first_ = wait_for(first_pid_);
    said_ = read_file(dir_ / "said");
    const std::string pid = read_file(dir_ / "pid");
    daemon_pid_ = pid.empty() ? 0 : std::stoi(pid);
  }
  ~Start() {
    release_.reset();
    EXPECT_TRUE(reap_all()) << "a process goes on living";
  }

  /// In the daemon: until the test has looked.
  void wait_for_release() const {
    char byte;
    static_cast<void>(::read(gate_.get(), &byte, 1));
  }
  const ExitStatus& first() const { return first_; }
  const std::string& said() const { return said_; }
  pid_t first_pid() const { return first_pid_; }
  pid_t daemon_pid() const { return daemon_pid_; }
  const TempDir& dir() const { return dir_; }

 private:
  TempDir dir_;
  UniqueFd release_, gate_;
  pid_t first_pid_ = 0, daemon_pid_ = 0;
  ExitStatus first_;
  std::string said_;
};

int ready_and_wait(StartReport& report, Start& start) {
  report.ready();
  start.wait_for_release();
  return 0;
}

std::vector<std::string> stat_fields(pid_t pid) {
  std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
  std::istringstream fields{text.substr(text.rfind(')') + 2)};
  return {std::istream_iterator<std::string>{fields}, {}};
}

void ignore(int number) { std::signal(number, SIG_IGN); }  // tidy: allow signal — the test process's own
bool has_bit(const std::string& mask, int number) { return (std::stoull(mask, nullptr, 16) >> (number - 1) & 1) != 0; }

TEST(Detach, TheDaemonHasItsOwnSessionAndNoTerminal) {
  SKIP_UNDER_TSAN();
  Start start{{}, ready_and_wait};
  ASSERT_EQ(start.first().text(), "exited with 0") << start.said();
  const pid_t daemon = start.daemon_pid();
  const auto fields = stat_fields(daemon);
  EXPECT_NE(daemon, start.first_pid());
  EXPECT_EQ(fields.at(1), std::to_string(::getpid())) << "the subreaper should be its parent";
  EXPECT_NE(::getsid(daemon), ::getsid(0));
  EXPECT_NE(::getsid(daemon), daemon) << "a session leader could take a terminal";
  EXPECT_EQ(::getpgid(daemon), ::getsid(daemon));
  EXPECT_EQ(fields.at(4), "0") << "tty_nr";
  EXPECT_EQ(link_of(daemon, "cwd"), "/");
  for (const char* fd : {"fd/0", "fd/1", "fd/2"}) EXPECT_EQ(link_of(daemon, fd), "/dev/null");
  EXPECT_EQ(status_of(daemon, "Umask"), "0027");
  EXPECT_EQ(start.said(), "");
}

/// Opens a terminal as a process does that does not know better; its path, empty where there is none.
std::string opened_terminal() {
  const int master = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  char name[64] = "";
  if (::grantpt(master) != 0 || ::unlockpt(master) != 0 || ::ptsname_r(master, name, sizeof name) != 0) return "";
  return ::open(name, O_RDWR | O_CLOEXEC) < 0 ? "" : name;
}

TEST(Detach, ATerminalThatTheDaemonOpensDoesNotBecomeItsOwn) {
  SKIP_UNDER_TSAN();
  const auto terminal_of = [](pid_t pid) { return stat_fields(pid).at(4); };
  EXPECT_EQ(wait_for(in_child([&] {
              ::setsid();
              if (::getsid(0) != ::getpid() || ::getpgrp() != ::getpid() || terminal_of(::getpid()) != "0") return 1;
              return !opened_terminal().empty() && terminal_of(::getpid()) != "0" ? 0 : 2;
            })).text(),
            "exited with 0")
      << "the leader of a session, which a daemon is not, gets one by opening it";
  Start start{{}, [](StartReport& report, Start& self) {
                if (opened_terminal().empty()) report.failed(70, "there are no terminals here");
                return ready_and_wait(report, self);
              }};
  ASSERT_EQ(start.first().text(), "exited with 0") << start.said();
  EXPECT_EQ(terminal_of(start.daemon_pid()), "0");
}

TEST(Detach, HonoursItsOptions) {
  SKIP_UNDER_TSAN();
  const TempDir dir;
  Start start{{.umask = 0, .working_directory = dir.path(), .redirect_stdio = false}, ready_and_wait};
  ASSERT_EQ(start.first().text(), "exited with 0") << start.said();
  EXPECT_EQ(link_of(start.daemon_pid(), "cwd"), std::filesystem::canonical(dir.path()).string());
  EXPECT_EQ(status_of(start.daemon_pid(), "Umask"), "0000");
  EXPECT_EQ(link_of(start.daemon_pid(), "fd/2"), std::filesystem::canonical(start.dir() / "said").string());
}

TEST(Detach, SignalsAreUnblockedAndIgnoredOnesReset) {
  SKIP_UNDER_TSAN();
  Start start{{}, ready_and_wait, [] {
                ignore(SIGHUP);
                ignore(SIGUSR1);
                ignore(SIGCHLD);
                ignore(SIGPIPE);
                std::signal(SIGTERM, [](int) {});  // tidy: allow signal — the test process's own
                sigset_t blocked;
                sigfillset(&blocked);
                ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
              }};
  ASSERT_EQ(start.first().text(), "exited with 0") << start.said();
  EXPECT_EQ(status_of(start.daemon_pid(), "SigBlk"), "0000000000000000");
  const std::string ignored = status_of(start.daemon_pid(), "SigIgn");
  for (const int number : {SIGHUP, SIGUSR1, SIGCHLD}) EXPECT_FALSE(has_bit(ignored, number)) << number;
  EXPECT_TRUE(has_bit(ignored, SIGPIPE));
  EXPECT_TRUE(has_bit(status_of(start.daemon_pid(), "SigCgt"), SIGTERM)) << "the program's own handler stays";
}

TEST(Detach, WorksWithItsStandardDescriptorsClosed) {
  SKIP_UNDER_TSAN();
  Start start{{},
              [](StartReport& report, Start& self) {
                const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
                if (next <= STDERR_FILENO) report.failed(70, "a file became a standard descriptor");
                return ready_and_wait(report, self);
              },
              [] {
                for (const int fd : {0, 1, 2}) ::close(fd);
              }};
  ASSERT_EQ(start.first().text(), "exited with 0");
  for (const char* fd : {"fd/0", "fd/1", "fd/2"})
    EXPECT_EQ(link_of(start.daemon_pid(), fd), "/dev/null")
        << "pid " << start.daemon_pid() << ' ' << status_of(start.daemon_pid(), "State");
}

TEST(Detach, AFailedStartReachesTheFirstProcess) {
  SKIP_UNDER_TSAN();
  Start start{{.name = "thermod"}, [](StartReport& report, Start&) {
                report.failed(73, "cannot bind 0.0.0.0:80: Address already in use (EADDRINUSE)");
                report.ready();
                return 73;
              }};
  EXPECT_EQ(start.first().text(), "exited with 73");
  EXPECT_EQ(start.said(), "thermod: cannot bind 0.0.0.0:80: Address already in use (EADDRINUSE)\n");
}

TEST(Detach, AFailureIsNeverReportedAsSuccess) {
  SKIP_UNDER_TSAN();
  for (const int code : {0, -1, 256}) {
    Start start{{}, [code](StartReport& report, Start&) {
                  report.failed(code, std::string(100'000, 'x'));
                  return 1;
                }};
    EXPECT_EQ(start.first().text(), "exited with 70");
    EXPECT_EQ(start.said().size(), 4097U) << "long reasons are cut";
  }
}

TEST(Detach, ADaemonThatDiesBeforeItIsReadyIsReportedByName) {
  SKIP_UNDER_TSAN();
  for (const auto& [signal, name, code] : {std::tuple{SIGKILL, "SIGKILL", 137}, std::tuple{SIGTERM, "SIGTERM", 143}}) {
    Start start{{.name = "thermod"},
                [number = signal](StartReport&, Start&) {
                  ::raise(number);
                  return 0;
                },
                [] { ignore(SIGCHLD); }};
    EXPECT_EQ(start.first(), ExitStatus::exited(code));
    EXPECT_EQ(start.said(), std::string{"thermod: the daemon was killed by "} + name + " before it was ready\n");
  }
}

TEST(Detach, ADaemonThatEndsWithoutAWordIsAFailedStart) {
  SKIP_UNDER_TSAN();
  Start quiet{{}, [](StartReport&, Start&) { return 0; }};
  EXPECT_EQ(quiet.first().text(), "exited with 70");
  EXPECT_EQ(quiet.said(), "the daemon exited with 0 before it was ready\n");
  Start failing{{}, [](StartReport&, Start&) { return 3; }};
  EXPECT_EQ(failing.first().text(), "exited with 3");
}

TEST(Detach, ADaemonThatIsNotReadyInTimeIsKilledWithAllItForked) {
  SKIP_UNDER_TSAN();
  Start start{{.start_within = std::chrono::milliseconds{100}, .name = "thermod"}, [](StartReport&, Start&) {
                in_child([] { return ::pause(); });
                return ::pause();
              }};
  EXPECT_EQ(start.first().text(), "exited with 70");
  EXPECT_THAT(start.said(),
              MatchesRegex("thermod: the daemon \\(pid [0-9]+\\) was not ready within 0.1 s and was killed\n"));
}

TEST(Detach, BufferedOutputIsWrittenOnce) {
  SKIP_UNDER_TSAN();
  const TempDir dir;
  const std::string path = dir / "out";
  Start start{{},
              [](StartReport& report, Start&) {
                report.ready();
                std::fflush(nullptr);
                return 0;
              },
              [&] {
                ::dup2(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), STDOUT_FILENO);
                static char buffer[4096];
                std::setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
                std::fputs("once\n", stdout);
              }};
  EXPECT_EQ(read_file(path), "once\n");
}

TEST(Detach, IsRefusedWithMoreThanOneThreadAndNamesThem) {
  SKIP_UNDER_TSAN();
  PERDURE_SKIP_IF_PORTABLE("POSIX has no way to count threads");
  Start start{{}, ready_and_wait, [] {
                std::thread thread{[] {
                  ::pthread_setname_np(::pthread_self(), "sensor-reader");
                  ::pause();
                }};
                while (read_file("/proc/self/task/" + std::to_string(::getpid()) + "/comm").empty()) {
                }
                thread.detach();
              }};
  EXPECT_EQ(start.first(), ExitStatus::exited(refused_code));
  EXPECT_THAT(start.said(), HasSubstr("cannot detach: besides the calling one, a thread runs here: sensor-reader ("));
  EXPECT_THAT(start.said(), HasSubstr("nothing was started"));
}

TEST(Detach, AThreadThatWasJustJoinedIsNoThread) {
  SKIP_UNDER_TSAN();
  Start start{{}, ready_and_wait, [] {
                for (int i = 0; i < 8; ++i) std::thread{[] {}}.join();
              }};
  EXPECT_EQ(start.first().text(), "exited with 0") << start.said();
}

TEST(Detach, RefusesOptionsThatCannotWork) {
  const TempDir dir;
  write_file(dir / "file", "");
  const auto message = [](const DetachOptions& options) { return detach(options).error().message(); };
  EXPECT_EQ(message({.umask = 01000}), "cannot detach: umask 1000 is above 777; nothing was started");
  EXPECT_EQ(message({.working_directory = "run"}),
            "cannot detach: the working directory \"run\" is not absolute; nothing was started");
  EXPECT_EQ(message({.working_directory = dir / "none"}),
            "cannot detach into " + dir / "none" + ": No such file or directory (ENOENT); nothing was started");
  EXPECT_THAT(message({.working_directory = dir / "file"}), HasSubstr("Not a directory (ENOTDIR)"));
}

TEST(Detach, StdioIsReplacedCompletelyOrNotAtAll) {
  const TempDir dir;
  EXPECT_EQ(wait_for(in_child([&] {
              if (redirect_stdio(dir / "no/log")) return 1;
              if (link_of(::getpid(), "fd/1") == "/dev/null") return 2;
              if (!redirect_stdio(dir / "log")) return 3;
              if (::write(1, "out ", 4) != 4 || ::write(2, "err", 3) != 3) return 4;
              return link_of(::getpid(), "fd/0") == "/dev/null" ? 0 : 5;
            })).text(),
            "exited with 0");
  EXPECT_EQ(read_file(dir / "log"), "out err");
}

TEST(Detach, StdioGoesToTheEndOfAFileWithItsMode) {
  const TempDir dir;
  EXPECT_EQ(wait_for(in_child([&] {
              ::umask(0);
              if (!redirect_stdio(dir / "log")) return 1;
              std::printf("one\n");
              std::fflush(stdout);
              if (!redirect_stdio(dir / "log")) return 2;
              return ::write(2, "two\n", 4) == 4 ? 0 : 3;
            })).text(),
            "exited with 0");
  EXPECT_EQ(read_file(dir / "log"), "one\ntwo\n");
  struct stat status {};
  ASSERT_EQ(::stat((dir / "log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
}

TEST(Detach, KnowsAnInitByWhatItLeaves) {
  const auto under = [](const char* name, const std::string& value) {
    return wait_for(in_child([&] {
             for (const char* variable : {"NOTIFY_SOCKET", "SYSTEMD_EXEC_PID"}) ::unsetenv(variable);
             if (name != nullptr) ::setenv(name, (value == "own" ? std::to_string(::getpid()) : value).c_str(), 1);
             return is_under_init() ? 1 : 0;
           })).value() == 1;
  };
  EXPECT_FALSE(under(nullptr, ""));
  EXPECT_TRUE(under("NOTIFY_SOCKET", "/run/n"));
  EXPECT_FALSE(under("NOTIFY_SOCKET", ""));
  EXPECT_TRUE(under("SYSTEMD_EXEC_PID", "own"));
  EXPECT_FALSE(under("SYSTEMD_EXEC_PID", "1"));
}

// ---- Descriptors that were open when the program was loaded --------------------------------------------------------------

/// Says which descriptors ≥ 3 it has before and after closing the inherited ones. Arguments: the ones to keep.
int close_inherited(const Arguments& arguments) {
  // One inherited number is given to a file of the program's own.
  const bool reuses = std::getenv("REUSE") != nullptr;
  if (reuses) ::dup2(::open("/proc/self/status", O_RDONLY | O_CLOEXEC), std::atoi(std::getenv("REUSE")));
  std::vector<int> keep;
  for (const std::string& argument : arguments) keep.push_back(std::stoi(argument));
  const auto begin = std::chrono::steady_clock::now();
  close_inherited_fds(keep);
  const auto took = std::chrono::steady_clock::now() - begin;
  std::string left;
  for (int fd = 3; fd < 2000; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) left += std::to_string(fd) + " ";
  }
  std::printf("left: %s\n", left.c_str());
  return took < hang_limit ? 0 : 1;
}
const RoleEntry close_role{"close-inherited", &close_inherited};

Command probe(const std::vector<std::string>& keep, int first, int last) {
  Command command = Command::self({"--role", "close-inherited"});
  command.args(keep);
  for (int fd = first; fd <= last; ++fd) command.pass_fd(STDIN_FILENO, fd);
  return command;
}

TEST(InheritedFds, AreClosedExceptThoseToKeep) {
  EXPECT_EQ(probe({}, 3, 40).output()->out, "left: \n");
  EXPECT_EQ(probe({"3", "7", "40"}, 3, 40).output()->out, "left: 3 7 40 \n");
}

TEST(InheritedFds, ANumberThatGotAnotherFileMeanwhileStays) {
  EXPECT_THAT(probe({}, 5, 9).env("REUSE", "7").output()->out, HasSubstr(" 7 "));
}

TEST(InheritedFds, AThousandOfThemUnderAHugeLimitAreNoWork) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_max < 1100) GTEST_SKIP() << "the limit on descriptors cannot be raised";
  const rlimit before = limit;
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  const auto output = probe({"500"}, 3, 1002).output();
  ::setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_TRUE(output) << output.error().message();
  EXPECT_EQ(output->out, "left: 500 \n");
}

// ---- Every system call fails once ----------------------------------------------------------------------------------------

/// A fault plan that counts across the processes of one start.
struct SharedPlan {
  std::atomic<unsigned> calls{0};
  std::atomic<unsigned> nth{0};
  std::atomic<int> failed_call{-1};
};
SharedPlan* shared_plan = nullptr;

int fail_nth(os::Call call) noexcept {
  if (++shared_plan->calls != shared_plan->nth) return 0;
  shared_plan->failed_call = static_cast<int>(call);
  return EIO;
}

TEST(Detach, EveryCallThatFailsEndsInAClearOutcome) {
  SKIP_UNDER_TSAN();
  void* const memory = ::mmap(nullptr, sizeof(SharedPlan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  shared_plan = new (memory) SharedPlan;
  constexpr unsigned more_than_there_are = 1000;
  unsigned n = 1;
  for (; n < more_than_there_are; ++n) {
    shared_plan->calls = 0;
    shared_plan->nth = n;
    shared_plan->failed_call = -1;
    Start start{{.start_within = std::chrono::milliseconds{3000}, .name = "thermod"},
                [](StartReport& report, Start&) {
                  report.ready();
                  return 0;
                },
                [] { os::set_fault_hook(&fail_nth); }};
    if (shared_plan->failed_call < 0) break;
    const auto failed = static_cast<os::Call>(shared_plan->failed_call.load());
    SCOPED_TRACE(std::to_string(n) + " " + os::call_name(failed));
    EXPECT_EQ(start.first().kind(), ExitStatus::Kind::Exited);
    EXPECT_TRUE(start.first().success() == start.said().empty() || failed == os::Call::write) << start.said();
    if (start.first().value() == refused_code) {
      EXPECT_THAT(start.said(), HasSubstr("nothing was started"));
    }
  }
  EXPECT_GT(n, 30U);
  EXPECT_LT(n, more_than_there_are);
  ::munmap(memory, sizeof(SharedPlan));
}

}  // namespace
}  // namespace perdure
