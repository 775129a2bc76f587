// A worker that fails is started again as often as the document says, and no oftener.
#include <csignal>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using testing::HasSubstr;
using testing::Not;

struct Supervised : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "pid", log = dir / "log", counter = dir / "starts";

  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file", pid_file, "--log-file", log, "--counter", counter};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Process start(std::vector<std::string> more) const {
    more.emplace_back("--foreground");
    return Process{command(more)};
  }
  struct Start {
    pid_t pid = 0;
    long at_ms = 0;
  };
  /// The crash counter: one line per start of the worker.
  std::vector<Start> starts() const {
    std::istringstream lines{read_file(counter).value_or("")};
    std::vector<Start> found;
    for (Start s; lines >> s.pid >> s.at_ms;) found.push_back(s);
    return found;
  }
  bool started(std::size_t times) const {
    return eventually([&] { return starts().size() == times && read_file(counter)->ends_with('\n'); });
  }
};

TEST_F(Supervised, GivesUpAfterFiveStartsWithStatusOne) {
  auto supervisor = start({"--fail", "1000", "--delay-ms", "20"});
  EXPECT_EQ(supervisor.wait().text(), "exited with 1");
  EXPECT_EQ(starts().size(), 5u);
  const std::string text = *read_file(log);
  for (int i = 1; i <= 5; ++i)
    EXPECT_THAT(text, HasSubstr("Daemon crashed with exception: planted failure " + std::to_string(i) + "\n"));
  for (int i = 1; i <= 4; ++i) EXPECT_THAT(text, HasSubstr("Daemon restart attempt " + std::to_string(i) + "/5 in 20 ms\n"));
  EXPECT_THAT(text, HasSubstr("Daemon failed after 5 attempts\n"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(Supervised, WaitsTheWholeDelayBeforeEachRestart) {
  auto supervisor = start({"--fail", "1000", "--delay-ms", "200", "--attempts", "4"});
  EXPECT_EQ(supervisor.wait().text(), "exited with 1");
  const auto all = starts();
  ASSERT_EQ(all.size(), 4u);
  for (std::size_t i = 1; i < all.size(); ++i) {
    EXPECT_GE(all[i].at_ms - all[i - 1].at_ms, 200) << i;
    EXPECT_NE(all[i].pid, all[i - 1].pid);
  }
}

TEST_F(Supervised, OneThatRecoversGoesOnAndExitZeroIsTheEnd) {
  auto supervisor = start({"--fail", "2", "--delay-ms", "1", "--lifetime-ms", "50"});
  EXPECT_EQ(supervisor.wait().text(), "exited with 0");
  EXPECT_EQ(starts().size(), 3u);
  EXPECT_THAT(*read_file(log), Not(HasSubstr("failed after")));
}

TEST_F(Supervised, AWorkerThatIsKilledIsStartedAgain) {
  auto supervisor = start({"--delay-ms", "1"});
  ASSERT_TRUE(started(1));
  trial::send_signal(starts()[0].pid, SIGKILL);
  ASSERT_TRUE(started(2));
  EXPECT_TRUE(trial::file_says(log, "worker " + std::to_string(starts()[0].pid) + " was killed by SIGKILL"));
  supervisor.signal(SIGTERM);
  EXPECT_EQ(supervisor.wait().text(), "exited with 0");
  EXPECT_TRUE(perdure::testing::has_ended(starts()[1].pid));
  EXPECT_EQ(starts().size(), 2u) << "a stop that was asked for is no failure";
}

TEST_F(Supervised, AStopInThePauseEndsItAtOnce) {
  auto supervisor = start({"--fail", "1000", "--delay-ms", "3600000"});
  ASSERT_TRUE(trial::file_says(log, "Daemon restart attempt 1/5 in 3600000 ms\n"));
  supervisor.signal(SIGTERM);
  EXPECT_EQ(supervisor.wait().text(), "exited with 0");
  EXPECT_EQ(starts().size(), 1u);
}

TEST_F(Supervised, DetachesOnceAndTheParentIsWhomThePidFileNames) {
  const auto launched = perdure::testing::run(command({"--delay-ms", "1"}));
  ASSERT_EQ(launched.status.text(), "exited with 0") << launched.output;
  const pid_t parent = trial::pid_in(pid_file);
  ASSERT_GT(parent, 0);
  for (std::size_t i = 1; i <= 3; ++i) {
    ASSERT_TRUE(started(i));
    const pid_t worker = starts().back().pid;
    EXPECT_EQ(perdure::testing::proc_status(worker, "PPid"), std::to_string(parent));
    EXPECT_EQ(trial::pid_in(pid_file), parent);
    if (i < 3) trial::send_signal(worker, SIGKILL);
  }
  const auto second = perdure::testing::run(command({}));
  EXPECT_EQ(second.status.text(), "exited with 75") << second.output;
  EXPECT_EQ(perdure::testing::kill_adopted(parent, SIGTERM).text(), "exited with 0");
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(Supervised, ALogThatCannotBeOpenedIsSaidOnTheTerminal) {
  log = dir / "missing/log";
  const auto refused = perdure::testing::run(command({}));
  EXPECT_EQ(refused.status.text(), "exited with 73");
  EXPECT_THAT(refused.output, HasSubstr(log));
  EXPECT_EQ(starts().size(), 0u);
}

TEST_F(Supervised, HasTheDocumentsFiveAttemptsAndTenSecondsByDefault) {
  auto supervisor = start({"--fail", "1000"});
  EXPECT_TRUE(trial::file_says(log, "Daemon restart attempt 1/5 in 10000 ms\n"));
}

}  // namespace
