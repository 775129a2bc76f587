// What the document of the compat header prints, compiled as printed and run. Glue is what the printed text lacks to be a
// program: includes, a main(), what is declared elsewhere. Three samples are accepted by no compiler as printed and are
// edited where a comment says so.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "document.hpp"
#include "sample.hpp"

namespace conformance {
namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::kill_adopted;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;

const std::string include_header = "#include \"daemon.hpp\"\n";

std::string link_of(pid_t pid, const std::string& name) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/" + name, ignored).string();
}

struct CompatDocument : testing::Test {
  void SetUp() override {
    if (!document.is_present()) GTEST_SKIP() << "the document is not here: " << CONFORMANCE_DOCUMENT;
    if (const std::string why = Workshop::obstacle(); !why.empty()) GTEST_SKIP() << why;
  }
  std::string block(const std::vector<std::string_view>& words) const { return document.block(words); }
  /// Compiles and runs to the end; the program must answer 0.
  void expect_runs(const std::string& name, const std::string& code, const BuildOptions& options = {},
                   const std::vector<std::string>& arguments = {}) {
    const std::string program = workshop.build(name, code, options);
    if (program.empty()) return;
    const auto finished = workshop.run(program, arguments);
    EXPECT_EQ(finished.status, ExitStatus::exited(0)) << name << ":\n" << finished.output;
  }

  Document document{CONFORMANCE_DOCUMENT};
  Workshop workshop;
};

TEST_F(CompatDocument, TheHeaderIsFreeOfWarningsInEveryStandard) {
  const std::string twice = include_header + include_header + "int main() { atom::async::DaemonGuard guard; }\n";
  for (const char* standard : {"c++17", "c++20", "c++2b"})
    workshop.build("header", twice,
                   {.standard = standard, .flags = {"-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"}});
}

TEST_F(CompatDocument, TheDeclarationsAreTheHeaders) {
  std::string members;
  for (const char* name : {"auto toString()", "auto realStart(", "auto realDaemon(", "auto startDaemon("})
    members += block({name});
  const std::string functions =
      block({"void signalHandler(int signum);"}) + block({"void writePidFile();"}) + block({"auto checkPidFile() -> bool;"});
  expect_runs("signatures", include_header + R"(
#include <type_traits>
struct Printed {
)" + members + R"(
};
namespace atom::async {
)" + functions + R"(
}
template <class Member> struct FunctionOf;
template <class Class, class Function> struct FunctionOf<Function Class::*> { using type = Function; };
#define TYPE(member) typename FunctionOf<decltype(member)>::type
#define SAME(name) static_assert(std::is_same_v<TYPE(&Printed::name), TYPE(&atom::async::DaemonGuard::name)>)
SAME(toString); SAME(realStart); SAME(realDaemon); SAME(startDaemon);
int main() { return atom::async::checkPidFile() ? 1 : 0; }
)");
}

TEST_F(CompatDocument, ADiscardedStateIsDiagnosed) {
  const auto refusal = workshop.refusal(include_header + "void f(atom::async::DaemonGuard& g) { g.toString(); }\n",
                                        {.flags = {"-Werror=unused-result"}});
  EXPECT_THAT(refusal.value_or("accepted"), HasSubstr("unused-result"));
}

TEST_F(CompatDocument, TheStartLogicReturnsTheCallbacksCode) {
  expect_runs("logic", include_header + R"(
struct Guard : atom::async::DaemonGuard {
  int start(int argc, char** argv, const std::function<int(int, char**)>& mainCb, bool isDaemon) {
)" + block({"if (isDaemon)"}) +
                           R"(
  }
};
int main(int argc, char** argv) { return Guard{}.start(argc, argv, [](int, char**) { return 42; }, false) == 42 ? 0 : 1; }
)");
}

TEST_F(CompatDocument, Step1LivesOnIsRestartedAndEndsByTerm) {
  const std::string program = workshop.build("step1", block({"Heartbeat: "}));
  ASSERT_FALSE(program.empty());
  for (const bool stop_the_parent : {false, true}) {
    const auto launcher = workshop.run(program);
    ASSERT_EQ(launcher.status, ExitStatus::exited(0)) << launcher.output;
    const Running daemon{program};
    const pid_t first = daemon.worker();
    ASSERT_GT(first, 0);
    EXPECT_NE(::getsid(first), ::getsid(0));
    EXPECT_NE(::getsid(first), first);
    EXPECT_EQ(link_of(first, "cwd"), "/");
    // Its /dev is the test's, into which the real null is bound.
    for (const char* fd : {"fd/0", "fd/1", "fd/2"}) EXPECT_THAT(link_of(first, fd), testing::EndsWith("/null"));

    kill_adopted(first, SIGKILL);
    const pid_t second = daemon.worker(first);
    ASSERT_GT(second, 0) << "not started again";
    const pid_t parent = std::stoi(perdure::testing::proc_status(second, "PPid"));
    kill_adopted(stop_the_parent ? parent : second, SIGTERM);
    EXPECT_TRUE(daemon.is_gone());
  }
}

TEST_F(CompatDocument, Step2SurvivesHupAndStopsByTermAndInt) {
  const std::string program = workshop.build("step2", block({"productionDaemon"}));
  ASSERT_FALSE(program.empty());
  for (const int stop : {SIGTERM, SIGINT}) {
    Workshop fresh;  // its own log
    ASSERT_EQ(fresh.run(program).status, ExitStatus::exited(0));
    const Running daemon{program};
    ASSERT_TRUE(fresh.logged("Daemon started successfully"));
    const pid_t worker = daemon.worker();
    ASSERT_GT(worker, 0);
    const pid_t parent = std::stoi(perdure::testing::proc_status(worker, "PPid"));
    const perdure::UniqueFd by_fd{static_cast<int>(::syscall(434 /* pidfd_open */, parent, 0))};
    ASSERT_EQ(::syscall(424 /* pidfd_send_signal */, by_fd.get(), SIGHUP, nullptr, 0), 0);
    EXPECT_TRUE(fresh.logged("Received reload signal"));
    kill_adopted(parent, stop);
    EXPECT_TRUE(fresh.logged("Received termination signal " + std::to_string(stop)));
    EXPECT_TRUE(fresh.logged("Daemon shutdown complete"));
    EXPECT_TRUE(daemon.is_gone());
  }
}

TEST_F(CompatDocument, Step3ChecksItsConfigurationAndItsInstances) {
  const std::string program =
      workshop.build("step3", block({"class ServiceManager"}) +
                                  "int main(int c, char** v) { return ServiceManager(v[1]).start(c, v, false); }\n");
  ASSERT_FALSE(program.empty());
  write_file(workshop / "good.conf", "");
  EXPECT_EQ(workshop.run(program, {workshop / "good.conf"}).status, ExitStatus::exited(0));
  const auto without = workshop.run(program, {workshop / "none.conf"});
  EXPECT_EQ(without.status, ExitStatus::exited(1));
  EXPECT_THAT(without.output, HasSubstr("Failed to load configuration"));

  const std::string pid_file = workshop / "run/step3.pid";
  EXPECT_FALSE(std::filesystem::exists(pid_file)) << "removed at the end";
  write_file(pid_file, "999999999\n");
  EXPECT_EQ(workshop.run(program, {workshop / "good.conf"}).status, ExitStatus::exited(0)) << "a stale file";

  // The first instance runs as long as nobody else opens its configuration; it may be through with it before anything is written.
  ASSERT_EQ(::mkfifo((workshop / "slow.conf").c_str(), 0600), 0);
  Process first{workshop.in_private(program, {workshop / "slow.conf"})};
  ASSERT_TRUE(eventually([&] { return read_file(pid_file) == std::to_string(first.pid()) + "\n"; }));
  const auto second = workshop.run(program, {workshop / "good.conf"});
  EXPECT_EQ(second.status, ExitStatus::exited(1));
  EXPECT_THAT(second.output, HasSubstr("Service already running"));
  EXPECT_TRUE(std::ofstream{workshop / "slow.conf"}.is_open());
  EXPECT_EQ(first.wait(), ExitStatus::exited(0));
}

TEST_F(CompatDocument, TheSignalHandlerSetsItsFlags) {
  expect_runs("sighandler", include_header +
                                "std::atomic<bool> g_shutdown_requested{false}, g_config_reload_requested{false};\n" +
                                block({"g_config_reload_requested"}) + R"(
int main() {
  std::signal(SIGTERM, signalHandler);
  std::signal(SIGHUP, signalHandler);
  std::raise(SIGTERM);
  std::raise(SIGHUP);
  return g_shutdown_requested && g_config_reload_requested ? 0 : 1;
}
)");
}

TEST_F(CompatDocument, TheUnixHeadersComeWithTheHeader) {
  expect_runs("unixheaders", block({"// for umask()"}) + include_header + "int main() {}\n");
  expect_runs("brought", include_header + R"(
int main() {
  umask(022);
  struct sigaction action {};
  if (sigaction(SIGUSR1, nullptr, &action) != 0) return 1;
  const pid_t child = fork();
  if (child == 0) _exit(7);
  int status = 0;
  if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) return 2;
  syslog(LOG_INFO, "brought in");
  return open("/nowhere/at/all", O_RDONLY) == -1 && errno == ENOENT ? 0 : 3;
}
)");
  EXPECT_TRUE(workshop.logged("brought in"));
}

TEST_F(CompatDocument, TheWindowsServiceIsNothingHere) {
  expect_runs("winservice", include_header + block({"WINAPI ServiceMain"}) + "int main() {}\n");
}

TEST_F(CompatDocument, TheStatementsOfTheDoubleForkDetach) {
  const std::string program =
      workshop.build("doublefork", include_header + "#include <cstdlib>\n#include <fstream>\nvoid detach() {\n" +
                                       block({"dup2(null_fd, STDERR_FILENO)", "setsid()"}) + R"(
}
int main(int, char** argv) {
  detach();
  std::ofstream said{std::string{argv[1]} + ".new"};
  char text[4096];
  said << getpid() << ' ' << getppid() << ' ' << getsid(0) << ' ' << getcwd(text, sizeof text);
  std::ifstream stat{"/proc/self/stat"};
  std::string field;
  for (int i = 0; i < 7; ++i) stat >> field;  // the name of the program has no blank
  said << ' ' << field;
  for (const char* fd : {"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"})
    said << ' ' << std::string(text, static_cast<std::size_t>(readlink(fd, text, sizeof text)));
  said << ' ' << umask(0) << std::endl;
  return rename((std::string{argv[1]} + ".new").c_str(), argv[1]);
}
)");
  ASSERT_FALSE(program.empty());
  Process launcher{workshop.in_private(program, {workshop / "said"})};
  ASSERT_EQ(launcher.wait(), ExitStatus::exited(0));
  ASSERT_TRUE(eventually([&] { return read_file(workshop / "said").has_value(); }));
  std::istringstream said{*read_file(workshop / "said")};
  pid_t pid = 0, parent = 0, session = 0;
  std::string cwd, terminal, standard[3];
  int mask = -1;
  said >> pid >> parent >> session >> cwd >> terminal >> standard[0] >> standard[1] >> standard[2] >> mask;
  EXPECT_NE(pid, session) << "no session leader";
  EXPECT_NE(session, ::getsid(0));
  EXPECT_NE(parent, launcher.pid());
  EXPECT_EQ(cwd, "/");
  EXPECT_EQ(terminal, "0");
  for (const std::string& descriptor : standard) EXPECT_THAT(descriptor, testing::EndsWith("/null"));
  EXPECT_EQ(mask, 0);
}

TEST_F(CompatDocument, TheResourceCannotBeCopied) {
  expect_runs("raii", include_header + block({"class DaemonResource"}) + R"(
static_assert(!std::is_copy_constructible_v<DaemonResource> && !std::is_copy_assignable_v<DaemonResource>);
int main() { DaemonResource resource; (void)resource; }
)");
}

TEST_F(CompatDocument, TheDescriptorsAreClosed) {
  expect_runs("fdmgmt", include_header + block({"void setupDaemonIO()"}) + R"(
int main() {
  const int extra = open("/dev/null", O_RDONLY);
  setupDaemonIO();
  if (extra < 3 || fcntl(extra, F_GETFD) != -1) return 1;
  return fcntl(0, F_GETFD) != -1 && fcntl(1, F_GETFD) != -1 && fcntl(2, F_GETFD) != -1 ? 0 : 2;
}
)");
}

TEST_F(CompatDocument, TheConfigurationIsSwapped) {
  expect_runs("hotreload",
              include_header + R"(
#include <memory>
bool file_is_good = true;
struct Config { bool loadFromFile(const char*) { return file_is_good; } };
class ConfigManager;
extern ConfigManager* g_config_manager;
)" + block({"class ConfigManager"}) +
                  R"(
ConfigManager manager;
ConfigManager* g_config_manager = &manager;
int main() {
  signalHandler(SIGHUP);
  const auto first = manager.getConfig();
  file_is_good = false;
  signalHandler(SIGHUP);
  return first && manager.getConfig() == first ? 0 : 1;
}
)",
              {.standard = "c++20"});
}

TEST_F(CompatDocument, TheHealthMonitorTellsOkFromStale) {
  // As printed it subtracts and copies an atomic, which no compiler accepts; .load() is what it means.
  std::string monitor =
      edited(block({"class HealthMonitor"}), "now - last_activity_time_)", "now - last_activity_time_.load())");
  monitor = edited(monitor, ".last_activity = last_activity_time_,", ".last_activity = last_activity_time_.load(),");
  expect_runs("health", include_header + monitor + R"(
int main() {
  HealthMonitor monitor;
  monitor.recordActivity();
  const auto status = monitor.getStatus();
  return status.healthy && status.status == "OK" && status.processed_items == 1 ? 0 : 1;
}
)",
              {.standard = "c++20"});
}

TEST_F(CompatDocument, TheSupervisedDaemonEndsAtOnceWithZero) {
  const std::string program =
      workshop.build("supervised", include_header + block({"class SupervisedDaemon"}) +
                                       "int main(int c, char** v) { return SupervisedDaemon{}.run(c, v); }\n");
  ASSERT_FALSE(program.empty());
  EXPECT_EQ(workshop.run(program).status, ExitStatus::exited(0));
  EXPECT_TRUE(Running{program}.is_gone());
}

TEST_F(CompatDocument, ThePidPathFollowsTheUser) {
  expect_runs("pidpath", include_header + "#include <filesystem>\n" + block({"ensurePidDirectory"}) + R"(
int main() {
  ensurePidDirectory();
  if (std::string{getPidFilePath()} != (getuid() == 0 ? "/var/run/daemon.pid" : "/tmp/daemon.pid")) return 1;
  if (getuid() != 0) return 0;
  struct stat directory {};
  if (stat("/var/run", &directory) != 0 || !S_ISDIR(directory.st_mode)) return 2;
  if (setresuid(65534, 65534, 65534) != 0) return 0;  // a user namespace with nobody else in it
  return std::string{getPidFilePath()} == "/tmp/daemon.pid" ? 0 : 3;
}
)");
}

TEST_F(CompatDocument, TheChildHandlerLeavesNoZombie) {
  workshop.leave_log_unread();
  expect_runs("sigchld", include_header + block({"setupChildSignalHandler"}) + R"(
int main() {
  setupChildSignalHandler();
  // The handler calls syslog(3), so it may interrupt nothing but the wait.
  sigset_t child, none;
  sigemptyset(&none);
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, nullptr);
  for (int i = 0; i < 50; ++i)
    if (fork() == 0) _exit(i);
  siginfo_t info;
  while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) sigsuspend(&none);
  return errno == ECHILD ? 0 : 1;
}
)");
}

TEST_F(CompatDocument, ThePidFileLockIsExclusiveAndTakesOverAStaleFile) {
  expect_runs("pidlock", include_header + "#include <fstream>\n" + block({"class PidFileLock"}) + R"(
int main(int, char** argv) {
  const std::string path = argv[1];
  {
    PidFileLock first(path), second(path);
    if (!first.acquire() || second.acquire()) return 1;
    long pid = 0;
    std::ifstream{path} >> pid;
    if (pid != getpid()) return 2;
  }
  if (access(path.c_str(), F_OK) == 0) return 3;
  std::ofstream{path} << "999999999\n";
  PidFileLock after_a_crash(path);
  return after_a_crash.acquire() ? 0 : 4;
}
)",
              {}, {workshop / "lock.pid"});
}

TEST_F(CompatDocument, TheFileProcessorMovesEveryFile) {
  // A lambda with captures cannot be given to std::signal; the handler reaches its object through a static pointer instead.
  const std::string processor =
      edited(block({"class FileProcessorDaemon"}), "std::signal(SIGTERM, [this](int) {",
             "static FileProcessorDaemon* self = this; std::signal(SIGTERM, [](int) { auto& running_ = self->running_; "
             "auto& queue_cv_ = self->queue_cv_;");
  const std::string program =
      workshop.build("processor", processor + "int main(int c, char** v) { return FileProcessorDaemon{}.main(c, v); }\n");
  ASSERT_FALSE(program.empty());
  for (const char* name : {"input", "output", "processed"}) std::filesystem::create_directory(workshop / "spool/" + name);
  // Few: it queues a file again that is still there after a second, and then writes its output over.
  for (const std::string name : {"a", "b", "c"}) write_file(workshop / "spool/input/" + name, "line of " + name + "\n");
  ASSERT_EQ(workshop.run(program).status, ExitStatus::exited(0));
  const Running daemon{program};
  for (const std::string name : {"a", "b", "c"}) {
    EXPECT_TRUE(workshop.logged("Completed processing: /var/spool/input/" + name)) << name;
    EXPECT_EQ(read_file(workshop / "spool/processed/" + name), "line of " + name + "\n");
    EXPECT_TRUE(std::filesystem::exists(workshop / "spool/output/" + name));
  }
  kill_adopted(std::stoi(perdure::testing::proc_status(daemon.worker(), "PPid")), SIGTERM);
  EXPECT_TRUE(daemon.is_gone());
}

/// A port that was free a moment ago.
int free_port() {
  const perdure::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return 0;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.sin_port);
}

std::string get(int port, const std::string& path) {
  const perdure::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  std::string answer;
  char part[4096];
  for (ssize_t count; (count = ::recv(socket.get(), part, sizeof part, 0)) > 0;)
    answer.append(part, static_cast<std::size_t>(count));
  return answer;
}

TEST_F(CompatDocument, TheWebServerAnswersAndIsStoppedAtTheTimeout) {
  if (!std::filesystem::exists("/usr/include/httplib.h")) GTEST_SKIP() << "cpp-httplib is not installed";
  // The atomic in the initialiser list needs .load() (no compiler converts it), and the port must be free on this machine.
  const int port = free_port();
  ASSERT_GT(port, 0);
  std::string server = edited(block({"class WebServerDaemon"}), "request_count_}", "request_count_.load()}");
  server = edited(server, "listen(\"0.0.0.0\", 8080)", "listen(\"127.0.0.1\", " + std::to_string(port) + ")");
  const std::string program =
      workshop.build("webserver", "#include <nlohmann/json.hpp>\nusing json = nlohmann::json;\n" + server + R"(
int main(int c, char** v) {
  atom::async::setStopTimeout(std::chrono::milliseconds{200});   // its handler only logs: nothing but the timeout ends it
  return WebServerDaemon{}.main(c, v);
}
)",
                     {.flags = {"-O0"}, .libraries = {"-lcpp-httplib"}});
  ASSERT_FALSE(program.empty());
  ASSERT_EQ(workshop.run(program).status, ExitStatus::exited(0));
  ASSERT_TRUE(workshop.logged("Web server daemon started"));
  std::string status;
  ASSERT_TRUE(eventually([&] { return !(status = get(port, "/status")).empty(); }));
  EXPECT_THAT(status, testing::AllOf(HasSubstr(" 200 "), HasSubstr("text/plain"), testing::EndsWith("\r\n\r\nOK")));
  const std::string metrics = get(port, "/metrics");
  EXPECT_THAT(metrics, HasSubstr("application/json"));
  const auto json = nlohmann::json::parse(metrics.substr(metrics.find("\r\n\r\n") + 4));
  for (const char* key : {"uptime", "requests_served", "memory_usage"}) EXPECT_TRUE(json.contains(key)) << key;
  const Running daemon{program};
  kill_adopted(std::stoi(perdure::testing::proc_status(daemon.worker(), "PPid")), SIGTERM);
  EXPECT_TRUE(daemon.is_gone());
}

}  // namespace
}  // namespace conformance
