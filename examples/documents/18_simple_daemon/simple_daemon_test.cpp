// The life of simple_daemon, and every way in which it can end.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using testing::EndsWith;
using testing::HasSubstr;

struct SimpleDaemon : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "pid", log = dir / "log";

  std::vector<std::string> command(std::vector<std::string> more) const {
    more.insert(more.begin(), EXAMPLE_PROGRAM);
    for (const std::string& word : {"--pid-file=" + pid_file, "--log-file=" + log, std::string{"--control=none"}})
      more.push_back(word);
    return more;
  }
  Process start(const std::string& option) const { return Process{command({"--foreground", option})}; }
  std::size_t count(const std::string& what) const {
    const std::string text = read_file(log).value_or("");
    std::size_t found = 0;
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  }
};

TEST_F(SimpleDaemon, DetachesWorksAndStopsSayingEachThingOnce) {
  const auto started = perdure::testing::run(command({}));
  ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);
  EXPECT_TRUE(trial::file_says(log, "Performing work..."));
  trial::send_signal(pid, SIGHUP);  // changes nothing
  EXPECT_TRUE(trial::file_says(log, "configuration reloaded"));
  EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGTERM).text(), "exited with 0");
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_EQ(count("Daemon started with PID " + std::to_string(pid) + "\n"), 1u);
  EXPECT_EQ(count("Performing work...\n"), 1u) << "once in ten seconds, and once in the log";
  EXPECT_THAT(*read_file(log), EndsWith("Shutting down\n"));
}

TEST_F(SimpleDaemon, WorkThatThrowsEachTimeIsLoggedEachTimeAndEndsNothing) {
  auto daemon = Process{command({"--foreground", "--period=10ms", "--fault=throw"})};
  EXPECT_TRUE(eventually([&] { return count("Error in loop: the work went wrong\n") >= 5; }));
  EXPECT_FALSE(daemon.poll());
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_EQ(count("Error in loop: the work went wrong\n"), count("Performing work...\n"));
}

TEST_F(SimpleDaemon, CtrlCStopsItInTheForeground) {
  auto daemon = start("--period=1h");
  ASSERT_TRUE(trial::file_says(log, "Performing work..."));
  daemon.signal(SIGINT);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), EndsWith("Shutting down\n"));
}

TEST_F(SimpleDaemon, ThePidFileGoesWithItHoweverItEnds) {
  auto leaving = start("--fault=exit");  // exit(3), called deep in the work
  EXPECT_EQ(leaving.wait().text(), "exited with 3");
  EXPECT_EQ(count("Performing work...\n"), 1u);
  EXPECT_FALSE(trial::exists(pid_file));

  auto throwing = start("--fault=escape");
  EXPECT_EQ(throwing.wait().text(), "exited with 70");
  EXPECT_THAT(*read_file(log), HasSubstr("the work went wrong"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SimpleDaemon, SigkillLeavesThePidFileWhichHindersNobody) {
  auto killed = start("--period=1h");
  ASSERT_TRUE(eventually([&] { return trial::pid_in(pid_file) == killed.pid(); }));
  killed.signal(SIGKILL);
  killed.wait();
  ASSERT_EQ(trial::pid_in(pid_file), killed.pid());
  auto next = start("--period=1h");
  EXPECT_TRUE(eventually([&] { return trial::pid_in(pid_file) == next.pid(); })) << next.output();
}

TEST_F(SimpleDaemon, AForkThatFailsIsSaidOnTheTerminal) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become the user whose processes are counted";
  if (access("/usr/bin/setpriv", X_OK) != 0 || access("/usr/bin/prlimit", X_OK) != 0)
    GTEST_SKIP() << "setpriv or prlimit is not installed";
  ASSERT_EQ(chmod(dir.path().c_str(), 0777 | S_ISVTX), 0);
  const auto probe = perdure::testing::run({"setpriv", "--reuid=65533", "--clear-groups", EXAMPLE_PROGRAM, "--version"});
  if (!probe.status.success()) GTEST_SKIP() << "that user may not reach the program: " << probe.output;
  std::vector<std::string> words{"setpriv", "--reuid=65533", "--clear-groups", "prlimit", "--nproc=1"};
  for (const std::string& word : command({"--daemon"})) words.push_back(word);
  const auto refused = perdure::testing::run(words);
  EXPECT_EQ(refused.status.text(), "exited with 71") << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("(EAGAIN)"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SimpleDaemon, HasTheDocumentsPeriodByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("period = 10s"));
}

}  // namespace
