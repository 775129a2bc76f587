// The commands of docs/guides/diagnostics.md against a daemon that runs, and what the page says to expect of them.
//
// A tool that is missing, or that the kernel does not let work, skips its test by name.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <regex>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../../examples/documents/support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

bool is_installed(const std::string& tool) {
  return perdure::testing::run({"/bin/sh", "-c", "command -v \"$1\"", "sh", tool}).status.success();
}
#define NEEDS(tool) \
  if (!is_installed(tool)) GTEST_SKIP() << tool << " is not installed"

class Diagnostics : public testing::Test {
 protected:
  static void SetUpTestSuite() { perdure::testing::adopt_orphans(); }
  void SetUp() override {
    write_file(config, "period = 1h\n");
    const Finished started = perdure::testing::run(command({"--daemon"}), options);
    ASSERT_TRUE(started.status.success()) << started.output;
    pid = trial::pid_in(pid_file);
    ASSERT_GT(pid, 0);
  }
  void TearDown() override {
    if (pid <= 0) return;
    EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGTERM), ExitStatus::exited(0));
  }

  std::vector<std::string> command(std::vector<std::string> more) const {
    more.insert(more.begin(), MYDAEMON);
    for (const std::string& word :
         {"--config=" + config, "--pid-file=" + pid_file, "--log-file=" + log, "--control=" + socket})
      more.push_back(word);
    return more;
  }
  static void expect_on_page(std::string line) {
    for (auto at = line.find('|'); at != line.npos; at = line.find('|', at + 2)) line.insert(at, "\\");  // as a table has it
    EXPECT_THAT(read_file(DIAGNOSTICS_PAGE).value_or(""), HasSubstr("`" + line + "`"));
  }
  /// A command of the page, as it stands there.
  Finished try_out(const std::string& line) const {
    expect_on_page(line);
    perdure::testing::ProcessOptions with = options;
    with.env.emplace_back("PIDFILE", pid_file);
    with.env.emplace_back("LOGFILE", log);
    return perdure::testing::run({"/bin/sh", "-c", line}, with);
  }

  perdure::testing::TempDir dir;
  std::string config = dir / "mydaemon.conf", pid_file = dir / "mydaemon.pid", log = dir / "mydaemon.log",
              socket = dir / "mydaemon.sock";
  perdure::testing::ProcessOptions options{.env = {{"PERDURE_SYSLOG_SOCKET", dir / "no-syslog"}, {"LC_ALL", "C"}}};
  pid_t pid = 0;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream{text};
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t count_lines(const std::string& text, const std::string& pattern) {
  const std::regex wanted{pattern};
  const auto lines = lines_of(text);
  return static_cast<std::size_t>(
      std::count_if(lines.begin(), lines.end(), [&](const std::string& line) { return std::regex_search(line, wanted); }));
}

TEST_F(Diagnostics, PsShowsTheProcessByItsPidFile) {
  NEEDS("ps");
  const Finished ps = try_out("ps -p $(cat $PIDFILE) -o pid,ppid,rss,vsz,cmd");
  EXPECT_TRUE(ps.status.success());
  EXPECT_EQ(count_lines(ps.output, "^ *" + std::to_string(pid) + " .*mydaemon"), 1u) << ps.output;
}

TEST_F(Diagnostics, PsShowsTwoThreads) {
  NEEDS("ps");
  if (is_sanitized) GTEST_SKIP() << "a sanitizer may bring a thread of its own";
  const Finished ps = try_out("ps -eLf | awk -v pid=$(cat $PIDFILE) '$2 == pid'");
  EXPECT_EQ(lines_of(ps.output).size(), 2u) << ps.output;
}

TEST_F(Diagnostics, TopShowsAnIdleProcess) {
  NEEDS("top");
  const Finished top = try_out("top -b -n1 -p $(cat $PIDFILE)");
  EXPECT_TRUE(top.status.success());
  EXPECT_EQ(count_lines(top.output, "^ *" + std::to_string(pid) + " .* S +0\\.0 .*mydaemon"), 1u) << top.output;
}

TEST_F(Diagnostics, LsofListsTheDocumentedDescriptorsAndNothingElse) {
  NEEDS("lsof");
  const Finished lsof = try_out("lsof -p $(cat $PIDFILE)");
  const std::string open = "^\\S+ +" + std::to_string(pid) + " +\\S+ +[0-9]+[a-zA-Z]* ";
  const auto held = [&](const std::string& what) { return count_lines(lsof.output, open + ".*" + what); };
  EXPECT_EQ(held("/dev/null"), 3u);
  EXPECT_EQ(held("/mydaemon\\.pid"), 1u);
  EXPECT_EQ(held("eventfd"), 2u);
  EXPECT_EQ(held("eventpoll"), 1u);
  EXPECT_EQ(held("/mydaemon\\.sock"), 1u);
  EXPECT_EQ(held("/mydaemon\\.log"), 1u);
  EXPECT_EQ(held(""), 9u) << lsof.output;
}

TEST_F(Diagnostics, ProcCountsWhatItReadAndWrote) {
  const Finished io = try_out("cat /proc/$(cat $PIDFILE)/io");
  if (!io.status.success()) GTEST_SKIP() << "this kernel does not count: " << io.output;
  EXPECT_THAT(io.output, HasSubstr("write_bytes: "));
}

TEST_F(Diagnostics, IotopFindsTheProcess) {
  NEEDS("iotop");
  const Finished iotop = try_out("iotop -b -n1 -p $(cat $PIDFILE)");
  if (!iotop.status.success()) GTEST_SKIP() << "iotop cannot work here: " << iotop.output;
  EXPECT_THAT(iotop.output, HasSubstr("mydaemon"));
}

TEST_F(Diagnostics, TheDaemonAnswersForItself) {
  for (const char* verb : {"status", "health", "log-level", "metrics"}) {
    const Finished answer = perdure::testing::run(command({verb}), options);
    EXPECT_TRUE(answer.status.success()) << answer.output;
    EXPECT_THAT(read_file(DIAGNOSTICS_PAGE).value_or(""), HasSubstr(std::string{"    mydaemon "} + verb));
  }
}

TEST_F(Diagnostics, SigCgtIsTheDocumentedSet) {
  const Finished caught = try_out("grep SigCgt /proc/$(cat $PIDFILE)/status");
  const std::size_t at = caught.output.find("SigCgt:\t");
  ASSERT_NE(at, std::string::npos) << caught.output;
  const auto bit = [](int signal) { return 1ULL << (signal - 1); };
  const unsigned long long signals = std::stoull(caught.output.substr(at + 8), nullptr, 16);
  const unsigned long long ours = bit(SIGHUP) | bit(SIGINT) | bit(SIGUSR1) | bit(SIGUSR2) | bit(SIGTERM);
  if (is_sanitized) GTEST_SKIP() << "a sanitizer catches signals of its own";
  EXPECT_EQ(signals & (bit(32) - 1), ours) << std::hex << signals << ": from 32 on they are glibc's own";
  EXPECT_EQ(ours, 0x4a03u) << "what the page says";
  const auto ignored = std::stoull(perdure::testing::proc_status(pid, "SigIgn"), nullptr, 16);
  EXPECT_EQ(ignored, bit(SIGPIPE));
}

/// What strace shows of two threads from the moment it sees both wait until the daemon answers at `socket`: the calls of one that is
/// idle. "" where strace cannot attach.
std::string calls_while_idle(const std::string& pid_file, const std::string& socket) {
  Process strace{{"/bin/sh", "-c", "exec strace -f -p $(cat $PIDFILE)"}, {.env = {{"PIDFILE", pid_file}, {"LC_ALL", "C"}}}};
  const auto waiting = [&] { return count_lines(strace.output(), "ppoll|epoll_|poll\\(|restart_syscall|futex"); };
  if (!eventually([&] { return waiting() >= 2 || strace.poll().has_value(); }) || strace.poll()) return "";
  // Something for the daemon to do, so that there is an event to wait for; strace writes in the order of what happens.
  EXPECT_NE(trial::ask(socket, "status\n"), "");
  EXPECT_TRUE(strace.wait_for_output("accept4(")) << strace.output();
  const std::string idle = strace.output().substr(0, strace.output().find("accept4("));
  strace.signal(SIGINT);
  strace.wait();
  return idle;
}

TEST_F(Diagnostics, StraceSeesOneBlockingCallPerThreadAndNoBusyLoop) {
  NEEDS("strace");
  expect_on_page("strace -f -p $(cat $PIDFILE)");
  const std::string idle = calls_while_idle(pid_file, socket);
  if (idle.empty()) GTEST_SKIP() << "strace cannot attach here";
  EXPECT_LE(count_lines(idle, "[a-z0-9_]+\\("), 4u) << "calls before anybody asked anything:\n" << idle;
}

TEST_F(Diagnostics, StraceSeesTheQueueServiceWaitForAllAtOnceAlsoWithAClientThatIsSilent) {
  NEEDS("strace");
  const std::string queue_pid = dir / "queue.pid", queue_socket = dir / "queue.sock";
  Process queue{{QUEUE_SERVICE, "--foreground", "--tick=1h", "--pid-file=" + queue_pid, "--control=" + queue_socket,
                 "--log-file=" + (dir / "queue.log"), "--queue-file=" + (dir / "queue"),
                 "--health-file=" + (dir / "health")}};
  ASSERT_TRUE(trial::file_says(dir / "queue.log", "daemon started, pid="));
  const auto silent = trial::connect_to(queue_socket);
  const std::string idle = calls_while_idle(queue_pid, queue_socket);
  queue.signal(SIGTERM);
  EXPECT_EQ(queue.wait(), ExitStatus::exited(0)) << "nobody waits for the silent one";
  if (idle.empty()) GTEST_SKIP() << "strace cannot attach here";
  // Its health file is written every second, so there are other calls as well; what it waits in is the question.
  EXPECT_EQ(count_lines(idle, "\\b(select|pselect6|nanosleep|clock_nanosleep|pause|recvfrom|accept)\\("), 0u) << idle;
}

TEST_F(Diagnostics, StraceShowsThatTheLockIsTakenBeforeThePidIsWrittenAndTheLoserWritesNothing) {
  NEEDS("strace");
  if (is_sanitized) GTEST_SKIP() << "LeakSanitizer does not work under ptrace";
  const auto traced = [&](const std::string& trace, const std::string& lock) {
    return std::vector<std::string>{"strace",
                                    "-f",
                                    "-e",
                                    "trace=openat,flock,write,rename,renameat,renameat2",
                                    "-o",
                                    trace,
                                    MYDAEMON,
                                    "--foreground",
                                    "--config=" + config,
                                    "--pid-file=" + lock,
                                    "--control=none",
                                    "--log-file=" + (dir / "other.log")};
  };
  const std::string other = dir / "other.pid", winner = dir / "winner", loser = dir / "loser";
  Process strace{traced(winner, other)};
  if (!eventually([&] { return trial::pid_in(other) > 0 || strace.poll().has_value(); }) || strace.poll())
    GTEST_SKIP() << "strace cannot trace here: " << strace.output();
  const std::string number = "\"" + std::to_string(trial::pid_in(other)) + "\\n\"";
  EXPECT_EQ(perdure::testing::run(traced(loser, other)).status, ExitStatus::exited(1));
  trial::send_signal(trial::pid_in(other), SIGTERM);
  EXPECT_EQ(strace.wait(), ExitStatus::exited(0)) << strace.output();

  const std::string won = *read_file(winner), lost = *read_file(loser);
  const std::size_t opened = won.find("\"" + other + "\", O_RDWR"), locked = won.find("LOCK_EX|LOCK_NB)", opened),
                    written = won.find(number, locked);
  EXPECT_NE(written, std::string::npos) << "open, then lock, then write:\n" << won;
  EXPECT_THAT(lost, ContainsRegex("LOCK_EX\\|LOCK_NB\\) += -1 EAGAIN"));
  EXPECT_THAT(lost, Not(HasSubstr("rename")));
}

TEST_F(Diagnostics, StraceShowsWhatAStartLooksForAndBinds) {
  NEEDS("strace");
  if (is_sanitized) GTEST_SKIP() << "LeakSanitizer does not work under ptrace";
  const std::string trace = dir / "trace", other = dir / "other.pid";
  Process strace{{"strace", "-f", "-e", "trace=file,network", "-o", trace, MYDAEMON, "--foreground", "--config=" + config,
                  "--pid-file=" + other, "--control=" + (dir / "other.sock"), "--log-file=" + log}};
  if (!eventually([&] { return trial::pid_in(other) > 0 || strace.poll().has_value(); }) || strace.poll())
    GTEST_SKIP() << "strace cannot trace here: " << strace.output();
  const pid_t traced = trial::pid_in(other);
  trial::send_signal(traced, SIGTERM);
  EXPECT_EQ(strace.wait(), ExitStatus::exited(0)) << strace.output();
  EXPECT_THAT(*read_file(trace), HasSubstr("\"" + config + "\", O_RDONLY"));
  EXPECT_THAT(*read_file(trace), ContainsRegex("bind\\([0-9]+, [^\n]*other\\.sock"));
  expect_on_page("strace -f -e trace=file,network ./mydaemon --foreground");
}

TEST_F(Diagnostics, ValgrindFindsNeitherErrorsNorLeaks) {
  NEEDS("valgrind");
  if (is_sanitized) GTEST_SKIP() << "valgrind and sanitizers exclude each other";
  expect_on_page("valgrind --leak-check=full ./mydaemon --foreground");
  const std::string other = dir / "other.pid", control = dir / "other.sock";
  Process daemon{{"valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite", "--error-exitcode=99", MYDAEMON,
                  "--foreground", "--config=" + config, "--pid-file=" + other, "--control=" + control, "--log-file=" + log}};
  if (!eventually([&] { return trial::pid_in(other) == daemon.pid() || daemon.poll().has_value(); }) || daemon.poll())
    GTEST_SKIP() << "valgrind cannot run it here: " << daemon.output();
  EXPECT_EQ(trial::ask(control, "reload\n"), "OK\n");
  EXPECT_THAT(trial::ask(control, "status\n"), HasSubstr("running"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), ExitStatus::exited(0)) << daemon.output();
  EXPECT_THAT(daemon.output(), HasSubstr("ERROR SUMMARY: 0 errors"));
  EXPECT_THAT(daemon.output(), Not(ContainsRegex("definitely lost: [1-9]")));
}

TEST_F(Diagnostics, GdbShowsWhereEachThreadIs) {
  NEEDS("gdb");
  const Finished gdb = try_out("gdb -p $(cat $PIDFILE) -batch -ex 'thread apply all bt'");
  if (gdb.output.find("ptrace") != std::string::npos) GTEST_SKIP() << "gdb cannot attach here: " << gdb.output;
  EXPECT_THAT(gdb.output, HasSubstr("Thread 2 ("));
}

TEST_F(Diagnostics, GrepFindsErrorsAndWarningsByTheirNames) {
  EXPECT_EQ(try_out("grep \"ERROR\\|WARN\" $LOGFILE").status.value(), 1) << "a good day";
  write_file(config, "perod = 1h\n");
  EXPECT_FALSE(perdure::testing::run(command({"reload"}), options).status.success());
  ASSERT_TRUE(trial::file_says(log, "reload refused: "));
  EXPECT_THAT(try_out("grep \"ERROR\\|WARN\" $LOGFILE").output, HasSubstr("ERROR reload refused: " + config + ":1:"));
  EXPECT_THAT(perdure::testing::run({"tail", "-n", "1", log}).output, HasSubstr("reload refused"));
}

TEST_F(Diagnostics, APidFileWhereTheUserMayNotWriteIsNamedWithTheReason) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may become somebody else";
  NEEDS("setpriv");
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  const Finished refused =
      perdure::testing::run({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", MYDAEMON, "--config=" + config,
                             "--pid-file=" + (dir / "theirs.pid"), "--log-file=" + log, "--control=none"},
                            options);
  if (refused.output.find("failed to execute") != std::string::npos) GTEST_SKIP() << refused.output;
  EXPECT_EQ(refused.status, ExitStatus::exited(77)) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr(dir / "theirs.pid"));
  EXPECT_THAT(refused.output, HasSubstr("Permission denied (EACCES)"));
}

TEST_F(Diagnostics, SystemctlAndJournalctlKnowTheService) {
  if (!trial::exists("/run/systemd/system")) GTEST_SKIP() << "systemd is not process 1 here; tests/daemons compares with it";
  EXPECT_NE(perdure::testing::run({"systemctl", "show", "--property=MemoryCurrent,CPUUsageNSec", "-.slice"}).output, "");
}

TEST_F(Diagnostics, SsAndNetstatShowTheWebServersPortWithItsPid) {
#ifndef WEB_SERVER
  GTEST_SKIP() << "web_server is not built: cpp-httplib is not installed";
#else
  const std::string web_pid = dir / "web.pid", web_log = dir / "web.log";
  Process web{{WEB_SERVER, "--foreground", "--port=0", "--pid-file=" + web_pid, "--control=none", "--log-file=" + web_log}};
  ASSERT_TRUE(trial::file_says(web_log, "listening on 127.0.0.1:")) << web.output();
  const std::string port = [&] {
    const std::string said = *read_file(web_log);
    const std::size_t at = said.find("127.0.0.1:") + 10;
    return said.substr(at, said.find_first_not_of("0123456789", at) - at);
  }();
  const std::string known_pid_file = std::exchange(pid_file, web_pid);
  if (is_installed("ss")) {
    EXPECT_THAT(try_out("ss -tulpn | grep pid=$(cat $PIDFILE),").output, HasSubstr("127.0.0.1:" + port));
  }
  if (is_installed("netstat")) {
    const Finished netstat = perdure::testing::run({"netstat", "-tulpn"});
    EXPECT_EQ(count_lines(netstat.output, "127\\.0\\.0\\.1:" + port + " .* " + std::to_string(web.pid()) + "/"), 1u)
        << netstat.output;
  }
  pid_file = known_pid_file;
  web.signal(SIGTERM);
  EXPECT_EQ(web.wait(), ExitStatus::exited(0));
  if (!is_installed("ss") && !is_installed("netstat")) GTEST_SKIP() << "neither ss nor netstat is installed";
#endif
}

}  // namespace
