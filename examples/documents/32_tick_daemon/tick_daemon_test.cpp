// Seven lines from a process that nobody sees.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

struct TickDaemon : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log", pid_file = dir / "pid";

  perdure::testing::Finished start(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + pid_file, "--log-file=" + log, "--control=none"};
    words.insert(words.end(), more.begin(), more.end());
    return perdure::testing::run(words);
  }
};

TEST_F(TickDaemon, WritesItsSevenLinesIntoALogThatStartsAfresh) {
  write_file(log, "of an earlier run\n");
  perdure::testing::adopt_orphans();
  const auto started = start({"--period=20ms"});
  ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
  ASSERT_TRUE(trial::file_says(log, "Daemon exiting cleanly.\n"));
  const std::string first = "Daemon running as pid ", lines = *read_file(log);
  const std::string pid = lines.substr(first.size(), lines.find('\n') - first.size());
  EXPECT_EQ(lines, first + pid + "\ntick 0\ntick 1\ntick 2\ntick 3\ntick 4\nDaemon exiting cleanly.\n");
  EXPECT_EQ(perdure::testing::wait_adopted(std::stoi(pid)).text(), "exited with 0") << "the daemon's own pid";
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(TickDaemon, ReturnsToTheShellAndGoesOnDetached) {
  const auto started = start({"--period=1h"});
  ASSERT_EQ(started.status.text(), "exited with 0");
  EXPECT_THAT(started.output, MatchesRegex("Starting daemon \\(pid [0-9]+\\)\\.\\.\\.\n"));
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);
  EXPECT_THAT(started.output, Not(HasSubstr(std::to_string(pid)))) << "that is the launcher's";
  EXPECT_EQ(perdure::testing::proc_status(pid, "Name"), "tick_daemon") << "so ps(1) shows it";
  EXPECT_NE(getsid(pid), getsid(0));
  EXPECT_NE(getsid(pid), pid);
  for (const char* fd : {"0", "1", "2"})
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/" + fd), "/dev/null");
}

TEST_F(TickDaemon, ASecondStartIsRefusedAndLeavesTheLogAlone) {
  ASSERT_TRUE(start({"--period=1h"}).status.success());
  ASSERT_TRUE(trial::file_says(log, "Daemon running as pid "));
  EXPECT_EQ(start({}).status.value(), 75);
  EXPECT_THAT(*read_file(log), StartsWith("Daemon running as pid " + std::to_string(trial::pid_in(pid_file))));
}

TEST_F(TickDaemon, EndsCleanlyInTheMiddleOfASecond) {
  ASSERT_TRUE(start({"--period=1h"}).status.success());
  EXPECT_EQ(perdure::testing::kill_adopted(trial::pid_in(pid_file), SIGTERM).text(), "exited with 0");
  EXPECT_THAT(*read_file(log), EndsWith("\nDaemon exiting cleanly.\n"));
}

TEST_F(TickDaemon, HasTheDocumentsNumbersByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("\nticks = 5\n"));
  EXPECT_THAT(printed.output, HasSubstr("\nperiod = 1s\n"));
}

}  // namespace
