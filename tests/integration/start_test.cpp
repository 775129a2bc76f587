// Starting: detached or not, once, with the reason of a failure where somebody reads it.
#include <fcntl.h>
#include <perdure/unique_fd.hpp>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include <climits>

#include "probe.hpp"

namespace probe {
namespace {

std::string link_of(pid_t pid, const std::string& name) {
  char target[PATH_MAX] = {};
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  return ::readlink(path.c_str(), target, sizeof target - 1) < 0 ? "" : target;
}

/// The n-th field of /proc/PID/stat, from 1, counted behind the name's parentheses.
long stat_field(pid_t pid, int n) {
  std::ifstream stat{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text{std::istreambuf_iterator<char>{stat}, {}};
  std::istringstream rest{text.substr(text.rfind(')') + 2)};
  std::string field;
  for (int i = 3; i <= n; ++i) rest >> field;
  return std::stol(field);
}

TEST_F(Daemon, ADetachedDaemonHasASessionOfItsOwnAndNothingOfTheTerminal) {
  const pid_t pid = detached();
  ASSERT_GT(pid, 1);
  EXPECT_NE(::getsid(pid), ::getsid(0)) << "a session of its own";
  EXPECT_NE(::getsid(pid), pid) << "not its leader, so it can never get a terminal";
  EXPECT_EQ(stat_field(pid, 7), 0) << "no controlling terminal";
  EXPECT_EQ(link_of(pid, "cwd"), dir.path());
  for (const char* fd : {"fd/0", "fd/1", "fd/2"}) EXPECT_EQ(link_of(pid, fd), "/dev/null");
  EXPECT_EQ(perdure::testing::proc_status(pid, "Umask"), "0027");
  EXPECT_EQ(perdure::testing::proc_status(pid, "SigBlk"), "0000000000000000");
  EXPECT_EQ(read_file(pid_file), std::to_string(pid) + "\n");
  struct stat file {};
  ASSERT_EQ(::stat(pid_file.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0644U);
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_FALSE(read_file(pid_file).has_value());
  EXPECT_TRUE(perdure::testing::wait_adopted(pid).success());
}

TEST_F(Daemon, ARelativePidFileLiesWhereTheStarterStood) {
  const Finished started = run({"--daemon", "--pid-file", "here.pid", "--control", "here.sock"});
  ASSERT_TRUE(started.status.success()) << started.output;
  EXPECT_TRUE(read_file(dir / "here.pid").has_value());
  EXPECT_TRUE(run({"stop", "--pid-file", "here.pid", "--control", "here.sock"}).status.success());
}

TEST_F(Daemon, ASecondStartIsRefusedOnTheTerminalWithTheOthersPid) {
  const pid_t pid = detached();
  const Finished second = run({"--daemon"});
  EXPECT_EQ(second.status, perdure::ExitStatus::exited(75));
  EXPECT_THAT(second.output, HasSubstr("pid " + std::to_string(pid)));
  EXPECT_THAT(second.output, HasSubstr("probe status"));
  EXPECT_EQ(run({"--foreground"}).status, perdure::ExitStatus::exited(75));
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Daemon, OfManyStartsAtOnceExactlyOneLives) {
  for (int round = 0; round < 5; ++round) {
    std::vector<Process> starts;
    for (int i = 0; i < 40; ++i) starts.emplace_back(command({"--daemon"}), options);
    int winners = 0, refused = 0;
    for (Process& start : starts) {
      const auto status = start.wait();
      winners += status.success() ? 1 : 0;
      refused += status == perdure::ExitStatus::exited(75) ? 1 : 0;
    }
    EXPECT_EQ(winners, 1);
    EXPECT_EQ(refused, 39);
    ASSERT_TRUE(run({"stop"}).status.success());
  }
}

TEST_F(Daemon, WhatAFailedStartSaysReachesTheTerminal) {
  const Finished thrown = run({"--daemon", "--do=throw"});
  EXPECT_EQ(thrown.status, perdure::ExitStatus::exited(70));
  EXPECT_THAT(thrown.output, HasSubstr("probe: the sensor does not answer"));

  const Finished crashed = run({"--daemon", "--do=crash"});
  EXPECT_NE(crashed.status.value(), 0);
  EXPECT_THAT(crashed.output, HasSubstr("SIGSEGV"));

  const Finished ended = run({"--daemon", "--do=exit3"});
  EXPECT_EQ(ended.status, perdure::ExitStatus::exited(3));
  EXPECT_THAT(ended.output, HasSubstr("ended with code 3 before it was ready"));

  options.env.emplace_back("PROBE_STOP_MS", "200");
  const Finished late = run({"--daemon", "--do=never-ready", "--within=200ms"});
  EXPECT_NE(late.status.value(), 0);
  EXPECT_THAT(late.output, HasSubstr("neither waited nor said that it is ready"));

  EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
  EXPECT_FALSE(read_file(pid_file).has_value()) << "nothing is left behind";
}

TEST_F(Daemon, ABodyThatHasDoneItsWorkAtOnceIsASuccess) {
  EXPECT_TRUE(run({"--daemon", "--do=finish"}).status.success());
  EXPECT_TRUE(run({"--foreground", "--do=finish"}).status.success());
}

TEST_F(Daemon, AThreadBeforeRunIsRefusedByName) {
  const Finished refused = run({"--daemon", "--do=early-thread"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(70));
  EXPECT_THAT(refused.output, HasSubstr("1 other thread"));
  EXPECT_THAT(refused.output, HasSubstr("probe"));
}

TEST_F(Daemon, ClosedStandardDescriptorsAreNoHindrance) {
  options.closed_fds = {0, 1, 2};
  Process start{command({"--daemon", "--do=stdio"}), options};
  EXPECT_TRUE(start.wait().success());
  EXPECT_TRUE(log_has("first descriptor")) << log_text();
  const std::string text = log_text();
  EXPECT_GE(std::stoi(text.substr(text.find("first descriptor ") + 17)), 3);
  EXPECT_EQ(read_file(dir / "first.open"), "") << "printf landed in a file";
  options.closed_fds = {};
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Daemon, InheritedDescriptorsDoNotSurviveWhateverTheLimit) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit most{before.rlim_max, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &most), 0);
  std::vector<int> many;
  for (int i = 0; i < 500; ++i) {
    many.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    options.pass_fds.emplace_back(many.back(), 100 + i);
  }
  const pid_t pid = detached();
  for (const int fd : many) ::close(fd);
  options.pass_fds = {};
  for (int fd = 100; fd < 600; ++fd) ASSERT_EQ(link_of(pid, "fd/" + std::to_string(fd)), "") << fd;
  EXPECT_TRUE(run({"stop"}).status.success());
  ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(Daemon, AnIdleOneHoldsOnlyTheDescriptorsItsTableNames) {
  const pid_t pid = detached();
  const auto count = [&] {
    int open = 0;
    for (int fd = 0; fd < 1024; ++fd) open += link_of(pid, "fd/" + std::to_string(fd)).empty() ? 0 : 1;
    return open;
  };
  // The line to the first process closes once it has been told that we are ready.
  EXPECT_TRUE(eventually([&] { return count() <= 9; }))
      << "docs/reference/descriptors.md: 0-2, lock, wake-up, stop, epoll, listener, log";
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Daemon, AChildOfTheBodyHasAnEmptySignalMask) {
  detached({"--do=mask"});
  ASSERT_TRUE(eventually([&] { return read_file(dir / "child.mask").value_or("").find('\n') != std::string::npos; }));
  EXPECT_EQ(read_file(dir / "child.mask"), "SigBlk:\t0000000000000000\n");
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Daemon, ADaemonThatIsKilledLeavesNothingThatHindersTheNext) {
  for (int round = 0; round < 5; ++round) {
    const pid_t pid = detached();
    ASSERT_GT(pid, 1);
    EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGKILL), perdure::ExitStatus::killed(SIGKILL));
    EXPECT_TRUE(read_file(pid_file).has_value()) << "the file of a crash stays";
    EXPECT_EQ(run({"status"}).status, perdure::ExitStatus::exited(1)) << "dead, and its PID file is there";
  }
  EXPECT_GT(detached(), 1);
  EXPECT_TRUE(run({"stop"}).status.success());
}

/// A terminal of the test's own. Its end hangs up whoever belongs to it.
struct Terminal {
  Terminal() : keyboard{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)} {
    char name[64] = "";
    if (::grantpt(keyboard.get()) == 0 && ::unlockpt(keyboard.get()) == 0) ::ptsname_r(keyboard.get(), name, sizeof name);
    path = name;
  }
  perdure::UniqueFd keyboard;
  std::string path;
};

TEST_F(Daemon, ATerminalThatInterruptsAndHangsUpLeavesItAlone) {
  for (const bool hang_up : {false, true}) {
    Terminal terminal;
    ASSERT_NE(terminal.path, "");
    // The terminal is this session's own, and the daemon is started by its foreground group, as from a person's shell.
    Process shell{
        {"/bin/sh", "-c", R"(exec setsid --ctty --wait /bin/sh -c '"$0" "$@" && echo it runs && exec cat' "$@" <"$0")",
         terminal.path, PROBE, "--daemon", "--config", config, "--log-file", log},
        options};
    ASSERT_TRUE(shell.wait_for_output("it runs")) << shell.output();
    const pid_t pid = perdure::PidFile::holder(pid_file).value_or(0);
    ASSERT_GT(pid, 1);
    EXPECT_EQ(stat_field(pid, 7), 0) << "no controlling terminal";
    if (hang_up) terminal.keyboard.reset();
    else ASSERT_EQ(::write(terminal.keyboard.get(), "\x03", 1), 1);
    EXPECT_FALSE(shell.wait().success()) << "the terminal's own have heard it";
    EXPECT_FALSE(perdure::testing::has_ended(pid));
    EXPECT_TRUE(run({"health"}).status.success());
    EXPECT_TRUE(run({"stop"}).status.success());
  }
}

TEST_F(Daemon, TheTerminalGoingAwayDoesNotEndIt) {
  // The first process in a session of its own, whose end would hang up everybody who still belongs to it.
  Process shell{
      {"/bin/sh", "-c", std::string{"exec setsid --wait "} + PROBE + " --daemon --config " + config + " --log-file " + log},
      options};
  ASSERT_TRUE(shell.wait().success()) << shell.output();
  const auto pid = perdure::PidFile::holder(pid_file);
  ASSERT_TRUE(pid);
  EXPECT_FALSE(perdure::testing::has_ended(*pid));
  EXPECT_TRUE(run({"stop"}).status.success());
}

}  // namespace
}  // namespace probe
