// One instance at a time, told to whoever starts the second.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using testing::HasSubstr;

struct SingleInstance : testing::Test {
  perdure::testing::TempDir dir;
  std::string pid_file = dir / "example_daemon.pid";

  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + pid_file, "--log-file=" + dir.path() + "/log",
                                   "--control=none"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(SingleInstance, ASecondStartIsRefusedOnTheTerminalAlthoughBothDetach) {
  const auto first = perdure::testing::run(command({"--daemon"}));
  ASSERT_EQ(first.status.text(), "exited with 0") << first.output;
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);

  const auto second = perdure::testing::run(command({"--daemon"}));
  EXPECT_EQ(second.status.text(), "exited with 1");
  EXPECT_EQ(second.output,
            "Another instance is running with PID: " + std::to_string(pid) + "\nDaemon already running. Exiting.\n");
  EXPECT_EQ(trial::pid_in(pid_file), pid) << "the first one's file is untouched";
  EXPECT_FALSE(perdure::testing::has_ended(pid));
}

TEST_F(SingleInstance, PrintsItsPidAndPathAndRemovesTheFileAtItsEnd) {
  perdure::testing::Process daemon{command({"--lifetime=200ms"})};
  const pid_t pid = daemon.pid();
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(daemon.output(),
              HasSubstr("Daemon running with PID " + std::to_string(pid) + "\nPID file: " + pid_file + "\n"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SingleInstance, AKilledInstanceDoesNotBlockTheNext) {
  perdure::testing::Process first{command({})};
  ASSERT_TRUE(eventually([&] { return trial::pid_in(pid_file) == first.pid(); }));
  first.signal(SIGKILL);
  first.wait();
  ASSERT_TRUE(trial::exists(pid_file)) << "left behind, as a crash does";

  perdure::testing::Process second{command({})};
  EXPECT_TRUE(eventually([&] { return trial::pid_in(pid_file) == second.pid(); }));
  second.signal(SIGTERM);
  EXPECT_EQ(second.wait().text(), "exited with 0");
}

TEST_F(SingleInstance, TheFileIsPlainAndReadableForEverybodyWhateverTheUmask) {
  perdure::testing::Process daemon{command({})};
  ASSERT_TRUE(eventually([&] { return trial::pid_in(pid_file) == daemon.pid(); }));
  struct stat status {};
  ASSERT_EQ(stat(pid_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
}

TEST_F(SingleInstance, TheDemoSpeaksItsDocumentsWords) {
  perdure::testing::Process first{command({"--demo", "--lifetime=1h"})};
  ASSERT_TRUE(first.wait_for_output("pid = " + std::to_string(first.pid()) + "\n"));
  const auto second = perdure::testing::run(command({"--demo"}));
  EXPECT_EQ(second.status.text(), "exited with 1");
  EXPECT_EQ(second.output, "Error: another instance is already running!\n");
  first.signal(SIGTERM);
  EXPECT_EQ(first.wait().text(), "exited with 0");
  EXPECT_EQ(first.output(), "Daemon started, PID file written to " + pid_file + "\npid = " + std::to_string(first.pid()) +
                                "\nDaemon stopping, PID file removed.\n");
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SingleInstance, MadeOfThePartsTheLockSurvivesTheForksAndAKillFreesIt) {
  perdure::testing::adopt_orphans();
  const auto start = [this] { return perdure::testing::run({EXAMPLE_PROGRAM, "--flock", pid_file}); };
  ASSERT_EQ(start().status.text(), "exited with 0");
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);
  EXPECT_NE(getsid(pid), getsid(0)) << "it has detached";
  const auto second = start();
  EXPECT_EQ(second.status.text(), "exited with 75");
  EXPECT_THAT(second.output, HasSubstr("another instance runs as pid " + std::to_string(pid)));

  EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGKILL).text(), "was killed by SIGKILL");
  ASSERT_TRUE(trial::exists(pid_file)) << "left behind, as a crash does";
  EXPECT_EQ(start().status.text(), "exited with 0");
  EXPECT_NE(trial::pid_in(pid_file), pid);
}

TEST_F(SingleInstance, OfTwentyStartsAtOnceExactlyOneWins) {
  std::vector<std::unique_ptr<perdure::testing::Process>> starts;
  for (int i = 0; i < 20; ++i) starts.push_back(std::make_unique<perdure::testing::Process>(command({"--daemon"})));
  int won = 0;
  for (auto& start : starts) {
    const auto status = start->wait();
    won += status.success() ? 1 : 0;
    EXPECT_TRUE(status.success() || status.value() == 1) << status.text() << start->output();
  }
  EXPECT_EQ(won, 1);
  EXPECT_FALSE(perdure::testing::has_ended(trial::pid_in(pid_file)));
}

}  // namespace
