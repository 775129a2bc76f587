// Twelve good rounds; and a hang that everybody notices who does not hang as well.
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
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct WatchdogDemo : testing::Test {
  perdure::testing::TempDir dir;
  std::string health = dir / "health";

  std::vector<std::string> command(std::vector<std::string> more) const {
    more.insert(more.begin(), EXAMPLE_PROGRAM);
    more.insert(more.end(), {"--pid-file=" + dir.path() + "/pid", "--control=none", "--log-file=" + dir.path() + "/log",
                             "--health-file=" + health});
    return more;
  }
};

TEST_F(WatchdogDemo, TwelveRoundsAreHealthyAndTheHealthFileGoesAtTheEnd) {
  Process demo{command({"--period=20ms", "--hang=5ms"})};
  std::string seen;
  EXPECT_TRUE(eventually([&] {
    seen = read_file(health).value_or("");
    return !seen.empty();
  }));
  EXPECT_THAT(seen, MatchesRegex("[0-9]+\n"));
  EXPECT_EQ(demo.wait().text(), "exited with 0");
  std::string expected = "Daemon with watchdog (timeout: 10s)\nHealth file: " + health + "\n";
  for (int i = 0; i < 12; ++i) expected += "[" + std::to_string(i) + "] healthy (last kick 0s ago)\n";
  EXPECT_EQ(demo.output(), expected + "Done. Cleaning up health file.\n");
  EXPECT_FALSE(trial::exists(health));
}

TEST_F(WatchdogDemo, ARealHangIsSeenByTheWatcherByTheLogAndByAMonitor) {
  Process demo{command({"--period=10ms", "--timeout=200ms", "--hang=1h"})};
  ASSERT_TRUE(demo.wait_for_output("[7] WARNING: watchdog timeout exceeded!\n")) << demo.output();
  EXPECT_THAT(demo.output(), HasSubstr("[6] healthy"));
  EXPECT_THAT(demo.output(), Not(HasSubstr("[7] healthy")));
  EXPECT_TRUE(trial::file_says(dir / "log", "it counts as stuck"));
  // Nobody writes it any more, so its age reaches any number.
  EXPECT_TRUE(eventually([&] { return perdure::testing::run(command({"health", "--max-age=0"})).status.value() == 2; }));
}

TEST_F(WatchdogDemo, AHangThatEndsIsWarnedOfOnceAndTheRoundIsHealthyAfterwards) {
  Process demo{command({"--period=10ms", "--timeout=100ms", "--hang=1s"})};
  EXPECT_EQ(demo.wait().text(), "exited with 0");
  const std::string said = demo.output(), warning = "[7] WARNING: watchdog timeout exceeded!\n";
  EXPECT_THAT(said, HasSubstr("\n" + warning + "[7] healthy (last kick 0s ago)\n"));
  EXPECT_EQ(said.find(warning), said.rfind(warning));
}

TEST_F(WatchdogDemo, HasTheDocumentsNumbersByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  for (const char* line : {"timeout = 10s", "rounds = 12", "period = 1s", "hang_at = 7", "hang = 500ms",
                           "health_file = /tmp/zig_daemon_health"})
    EXPECT_THAT(printed.output, HasSubstr("\n" + std::string{line} + "\n"));
}

}  // namespace
