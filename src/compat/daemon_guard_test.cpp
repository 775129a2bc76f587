#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iomanip>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/portable_testing.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace {

// noinline: g++ otherwise takes free() in one of them for a mistake of its callers.
// What is allocated while `counting`: bytes asked for in all, never taken off again when they are freed.
std::atomic<bool> counting{false};
std::atomic<std::size_t> allocated{0};

void* counted_new(std::size_t size) {
  if (counting) allocated += size;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc{};
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return counted_new(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace atom::async {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using perdure::ExitStatus;
using perdure::UniqueFd;
using perdure::testing::kill_adopted;
using perdure::testing::read_file;
using perdure::testing::TempDir;
using perdure::testing::wait_adopted;
using testing::HasSubstr;

constexpr std::size_t guard_bytes_max = 1024;
constexpr int came_back = 98;  ///< of a first process in which startDaemon returned

std::array<char*, 2> arguments{const_cast<char*>("program"), nullptr};

/// A daemon started from a forked copy of this test, and the line on which its worker talks to the test.
class Daemon {
 public:
  Daemon() {
    make_pipe(from_, to_);
    make_pipe(test_lives_, test_lives_end_);
    perdure::testing::adopt_orphans();
  }
  /// Runs `start` in the first process, whose stderr is kept.
  ExitStatus launch(const std::function<void()>& start) {
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    if (pid == 0) {
      test_lives_end_.reset();
      if (std::freopen((dir / "stderr").c_str(), "w", stderr) == nullptr) ::_exit(97);
      start();
      ::_exit(came_back);
    }
    return wait_adopted(pid);
  }
  ExitStatus launch(DaemonGuard& guard, const std::function<int()>& callback) {
    return launch([&] {
      guard.startDaemon(
          1, arguments.data(), [&](int, char**) { return callback(); }, true);
    });
  }
  void say(const std::string& line) const {
    EXPECT_EQ(::write(to_.get(), (line + "\n").c_str(), line.size() + 1), ssize_t(line.size() + 1));
  }
  /// The next line; empty when everybody who could say something is gone.
  std::string hear() {
    to_.reset();
    std::string line;
    for (;;) {
      char letter = 0;
      const ssize_t count = ::read(from_.get(), &letter, 1);
      if (count < 0 && errno == EINTR) continue;  // a signal of a child that has ended
      if (count != 1 || letter == '\n') return line;
      line += letter;
    }
  }
  /// In the worker: goes on until it is killed, or until the test ends, so that a failed test leaves nothing behind.
  int stay() const {
    char nothing = 0;
    return static_cast<int>(::read(test_lives_.get(), &nothing, 1));
  }
  std::string error_text() const { return read_file(dir / "stderr").value_or(""); }

  TempDir dir;

 private:
  static void make_pipe(UniqueFd& from, UniqueFd& to) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    from = UniqueFd{ends[0]};
    to = UniqueFd{ends[1]};
  }
  UniqueFd from_, to_, test_lives_, test_lives_end_;
};

TEST(DaemonGuard, TheForegroundIsThisProcess) {
  DaemonGuard guard;
  std::array<char*, 1> own{nullptr};
  const int code = guard.startDaemon(
      0, own.data(),
      [&](int argc, char** argv) {
        EXPECT_EQ(argc, 0);
        EXPECT_EQ(argv, own.data());
        EXPECT_TRUE(guard.isRunning());
        const json state = json::parse(guard.toString());
        EXPECT_EQ(state["main_id"], ::getpid());
        EXPECT_EQ(state["parent_id"], 0);
        EXPECT_TRUE(state["main_start_time"].is_string());
        EXPECT_TRUE(state["parent_start_time"].is_null());
        return 42;
      },
      false);
  EXPECT_EQ(code, 42);
  EXPECT_FALSE(guard.isRunning());
}

TEST(DaemonGuard, SaysNothingIsKnownBeforeTheStart) {
  const char* nothing = R"({"parent_id":0,"main_id":0,"parent_start_time":null,"main_start_time":null,"restart_count":0})";
  DaemonGuard guard;
  EXPECT_EQ(guard.toString(), nothing);
  const DaemonGuard moved = std::move(guard);
  EXPECT_EQ(guard.toString(), nothing);  // NOLINT(bugprone-use-after-move): a guard stays usable
  EXPECT_EQ(guard.realStart(0, nullptr, [](int, char**) { return 7; }), 7);
}

TEST(DaemonGuard, AFailedCallbackGives1AndItsReason) {
  DaemonGuard guard;
  testing::internal::CaptureStderr();
  EXPECT_EQ(guard.realStart(0, nullptr, [](int, char**) -> int { throw std::runtime_error("no sensor"); }), 1);
  EXPECT_EQ(guard.realStart(0, nullptr, [](int, char**) -> int { throw 5; }), 1);
  EXPECT_EQ(guard.realStart(0, nullptr, nullptr), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("the callback failed: no sensor"), HasSubstr("no std::exception"),
                             HasSubstr("empty callback")));
  EXPECT_FALSE(guard.isRunning());
}

TEST(DaemonGuard, TheWorkerIsDetachedAndSupervised) {
  Daemon daemon;
  DaemonGuard guard;
  const pid_t session = ::getsid(0);
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            json said = json::parse(guard.toString());
                            said["ppid"] = ::getppid();
                            said["pid"] = ::getpid();
                            said["sid"] = ::getsid(0);
                            said["cwd"] = std::filesystem::current_path();
                            said["null"] = std::filesystem::read_symlink("/proc/self/fd/0") == "/dev/null" &&
                                           std::filesystem::read_symlink("/proc/self/fd/1") == "/dev/null" &&
                                           std::filesystem::read_symlink("/proc/self/fd/2") == "/dev/null";
                            daemon.say(said.dump());
                            return 0;
                          }),
            ExitStatus::exited(0))
      << daemon.error_text();
  const json said = json::parse(daemon.hear());
  EXPECT_EQ(said["parent_id"], said["ppid"]);
  EXPECT_EQ(said["main_id"], said["pid"]);
  EXPECT_NE(said["sid"], session);
  EXPECT_NE(said["sid"], said["pid"]);
  EXPECT_EQ(said["cwd"], "/");
  EXPECT_EQ(said["null"], true);
  EXPECT_THAT(said["parent_start_time"].get<std::string>(), testing::MatchesRegex("[0-9-]{10}T[0-9:]{8}Z"));
  EXPECT_LE(said["parent_start_time"], said["main_start_time"]);
  EXPECT_EQ(daemon.hear(), "") << "nothing is started again after 0";
}

/// When the process `pid` was started, by its /proc/PID/stat and the machine's uptime; good to a second.
std::time_t started_at(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
  std::istringstream fields{stat.substr(stat.rfind(')') + 2)};
  std::string field;
  for (int n = 3; n <= 22; ++n) fields >> field;
  const double uptime = std::stod(read_file("/proc/uptime").value_or("0"));
  return std::time(nullptr) -
         static_cast<std::time_t>(uptime - std::stod(field) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

std::time_t time_in(const json& said, const char* key) {
  std::tm utc{};
  std::istringstream{said[key].get<std::string>()} >> std::get_time(&utc, "%Y-%m-%dT%H:%M:%SZ");
  return ::timegm(&utc);
}

TEST(DaemonGuard, ItsTimesAreThoseOfTheKernel) {
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            json said = json::parse(guard.toString());
                            said["parent"] = started_at(::getppid());
                            said["worker"] = started_at(::getpid());
                            daemon.say(said.dump());
                            return guard.getRestartCount() < 2 ? 1 : 0;
                          }),
            ExitStatus::exited(0))
      << daemon.error_text();
  std::time_t last = 0;
  for (int start = 0; start < 3; ++start) {
    const json said = json::parse(daemon.hear());
    EXPECT_EQ(said["restart_count"], start);
    EXPECT_NEAR(static_cast<double>(time_in(said, "parent_start_time")), said["parent"].get<double>(), 2);
    EXPECT_NEAR(static_cast<double>(time_in(said, "main_start_time")), said["worker"].get<double>(), 2);
    EXPECT_GE(time_in(said, "main_start_time"), last) << "later with each restart";
    last = time_in(said, "main_start_time");
  }
  EXPECT_EQ(daemon.hear(), "");
}

TEST(DaemonGuard, WithoutAPathThereIsNoPidFile) {
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            daemon.say(std::filesystem::exists(guard.getPidFilePath()) ? "one" : "none");
                            return 0;
                          }),
            ExitStatus::exited(0));
  EXPECT_EQ(daemon.hear(), "none");
}

TEST(DaemonGuard, ACrashedWorkerIsStartedAgain) {
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            daemon.say(std::to_string(guard.getRestartCount()) + " " + std::to_string(::getpid()));
                            return daemon.stay();
                          }),
            ExitStatus::exited(0));
  for (int restarts = 0; restarts < 3; ++restarts) {
    int count = -1, pid = 0;
    ASSERT_EQ(std::sscanf(daemon.hear().c_str(), "%d %d", &count, &pid), 2)
        << restarts << " restarts; " << daemon.error_text();
    EXPECT_EQ(count, restarts);
    kill_adopted(pid, restarts < 2 ? SIGKILL : SIGTERM);
  }
  EXPECT_EQ(daemon.hear(), "") << "TERM at the worker is a stop";
}

TEST(DaemonGuard, FiveQuickFailuresAreGivenUp) {
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&]() -> int {
                            daemon.say("started");
                            throw std::runtime_error("no sensor");
                          }),
            ExitStatus::exited(0));
  int starts = 0;
  while (!daemon.hear().empty()) ++starts;
  EXPECT_EQ(starts, 5);
}

TEST(DaemonGuard, KillsInARowAreNoCrashLoop) {
  constexpr int kills = 60;
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            if (guard.getRestartCount() < kills) return ::raise(SIGKILL);
                            daemon.say("alive");
                            return 0;
                          }),
            ExitStatus::exited(0));
  EXPECT_EQ(daemon.hear(), "alive");
}

TEST(DaemonGuard, AWorkerThatIgnoresTheStopIsKilledAtTheTimeout) {
  Daemon daemon;
  DaemonGuard guard;
  setStopTimeout(50ms);
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            registerSignalHandlers();  // TERM sets a flag that nobody reads, and the read goes on
                            daemon.say(std::to_string(::getppid()));
                            return daemon.stay();
                          }),
            ExitStatus::exited(0));
  setStopTimeout(5s);
  const pid_t parent = std::stoi(daemon.hear());
  EXPECT_EQ(kill_adopted(parent, SIGTERM), ExitStatus::exited(128 + SIGKILL));
  EXPECT_EQ(daemon.hear(), "");
}

TEST(DaemonGuard, ASecondInstanceIsRefusedAndTheFileNamesTheParent) {
  Daemon daemon;
  const std::string path = daemon.dir / "sub/one.pid";
  DaemonGuard guard;
  guard.setPidFilePath(path);
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            daemon.say(std::to_string(::getppid()));
                            return daemon.stay();
                          }),
            ExitStatus::exited(0));
  const pid_t parent = std::stoi(daemon.hear());
  EXPECT_EQ(read_file(path), std::to_string(parent) + "\n");

  Daemon second;
  DaemonGuard again;
  again.setPidFilePath(path);
  EXPECT_EQ(second.launch(again, [] { return 0; }), ExitStatus::exited(75));
  EXPECT_THAT(second.error_text(), HasSubstr(std::to_string(parent)));

  EXPECT_EQ(kill_adopted(parent, SIGTERM), ExitStatus::exited(0));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(DaemonGuard, CheckThenWriteWorksInItsOwnWorker) {
  Daemon daemon;
  DaemonGuard guard;
  guard.setPidFilePath(daemon.dir / "one.pid");
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            const bool before = checkPidFile();
                            writePidFile();
                            const bool after = checkPidFile();
                            const bool parents = read_file(guard.getPidFilePath()) == std::to_string(::getppid()) + "\n";
                            daemon.say(std::string{before ? "1" : "0"} + (after ? "1" : "0") + (parents ? "1" : "0"));
                            return 0;
                          }),
            ExitStatus::exited(0));
  EXPECT_EQ(daemon.hear(), "011");
  EXPECT_EQ(daemon.hear(), "");
}

TEST(DaemonGuard, APidFileThatCannotBeMadeFailsTheStart) {
  Daemon daemon;
  perdure::testing::write_file(daemon.dir / "file", "");
  DaemonGuard guard;
  guard.setPidFilePath(daemon.dir / "file/one.pid");
  EXPECT_EQ(daemon.launch(guard, [] { return 0; }), ExitStatus::exited(73));
  EXPECT_THAT(daemon.error_text(), HasSubstr("(ENOTDIR)"));
}

TEST(DaemonGuard, ASecondThreadIsRefused) {
  PERDURE_SKIP_IF_PORTABLE("POSIX has no way to count threads");
  Daemon daemon;
  EXPECT_EQ(daemon.launch([&] {
    std::atomic<bool> end{false};
    std::thread other{[&] {
      while (!end) std::this_thread::yield();
    }};
    int code = 1;
    try {
      DaemonGuard guard;
      guard.realDaemon(1, arguments.data(), [](int, char**) { return 0; });
    } catch (const DaemonException& refused) {
      code = std::string{refused.what()}.find("thread") != std::string::npos ? 5 : 2;
    }
    end = true;
    other.join();
    ::_exit(code);
  }),
            ExitStatus::exited(5));
}

TEST(DaemonGuard, AnEmptyCallbackFailsTheStart) {
  Daemon daemon;
  EXPECT_EQ(daemon.launch([] { DaemonGuard{}.realDaemon(1, arguments.data(), nullptr); }), ExitStatus::exited(1));
  EXPECT_THAT(daemon.error_text(), HasSubstr("empty callback"));
}

TEST(DaemonGuard, AGuardTakesLessThanAKilobyte) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer's own thread makes detach() look closer, which allocates";
#endif
  Daemon daemon;
  ASSERT_EQ(daemon.launch([&] {
    counting = true;
    DaemonGuard guard;
    guard.startDaemon(
        1, arguments.data(),
        [&](int, char**) {
          counting = false;
          daemon.say(std::to_string(sizeof guard + allocated));
          return 0;
        },
        true);
  }),
            ExitStatus::exited(0));
  const std::size_t bytes = std::stoul(daemon.hear());
  RecordProperty("bytes", std::to_string(bytes));
  EXPECT_LE(bytes, guard_bytes_max);
}

TEST(DaemonGuard, ItsStateCanBeReadFromManyThreads) {
  Daemon daemon;
  DaemonGuard guard;
  ASSERT_EQ(daemon.launch(guard,
                          [&] {
                            std::atomic<int> bad{0};
                            std::vector<std::thread> readers;
                            for (int i = 0; i < 8; ++i)
                              readers.emplace_back([&] {
                                for (int round = 0; round < 500; ++round) {
                                  const json state = json::parse(guard.toString(), nullptr, false);
                                  if (state.is_discarded() || state["restart_count"] != guard.getRestartCount()) ++bad;
                                  static_cast<void>(guard.getPidFilePath());
                                  static_cast<void>(guard.isRunning());
                                }
                              });
                            for (std::thread& reader : readers) reader.join();
                            daemon.say(std::to_string(bad));
                            return guard.getRestartCount() < 3 ? 1 : 0;
                          }),
            ExitStatus::exited(0));
  for (int start = 0; start < 4; ++start) EXPECT_EQ(daemon.hear(), "0");
  EXPECT_EQ(daemon.hear(), "");
}

TEST(DaemonGuard, SettingsOutOfRangeAreRefusedAndChangeNothing) {
  setDaemonRestartInterval(3);
  EXPECT_THROW(setDaemonRestartInterval(-1), DaemonException);
  EXPECT_EQ(getDaemonRestartInterval(), 3);
  setDaemonRestartInterval(0);
  EXPECT_THROW(setStopTimeout(0ms), DaemonException);
}

}  // namespace
}  // namespace atom::async
