// The document's lines on stderr, and what an init hears.
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using testing::HasSubstr;
using testing::MatchesRegex;

struct ForegroundDaemon : testing::Test {
  perdure::testing::TempDir dir;

  Process start(const std::string& period, std::vector<std::pair<std::string, std::string>> env = {}) const {
    return Process{{EXAMPLE_PROGRAM, "--pid-file=" + dir.path() + "/pid", "--control=none", "--period=" + period},
                   {.env = std::move(env), .unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC"}}};
  }
};

TEST_F(ForegroundDaemon, WritesTheDocumentsLinesAndStopsAtOnce) {
  Process daemon = start("1h");
  ASSERT_TRUE(daemon.wait_for_output("Working... tick 1\n")) << daemon.output();
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0") << "not after an hour";
  EXPECT_EQ(daemon.output(),
            "Daemon starting (pid " + std::to_string(daemon.pid()) + ")\nWorking... tick 1\nDaemon stopped after 1 ticks\n");
}

TEST_F(ForegroundDaemon, WorksOncePerPeriod) {
  Process daemon = start("10ms");
  ASSERT_TRUE(daemon.wait_for_output("Working... tick 3\n")) << daemon.output();
  daemon.signal(SIGINT);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(daemon.output(), MatchesRegex("Daemon starting \\(pid [0-9]+\\)\n(Working\\.\\.\\. tick [0-9]+\n)+"
                                            "Daemon stopped after [0-9]+ ticks\n"));
}

TEST_F(ForegroundDaemon, AnInitHearsWhenItIsReadyWhenItLivesAndWhenItStopsAndGetsPriorities) {
  const std::string socket = dir / "notify";
  const trial::Datagrams init{socket};
  Process daemon = start("10ms", {{"NOTIFY_SOCKET", socket}, {"WATCHDOG_USEC", "200000"}});
  const auto hears = [&init](const std::string& message) {
    while (init.next().find(message) == std::string::npos) {
    }  // throws where it does not come
  };
  hears("READY=1");
  hears("WATCHDOG=1");
  daemon.signal(SIGTERM);
  hears("STOPPING=1");
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(daemon.output(), HasSubstr("<6>Working... tick 1\n"));
  EXPECT_THAT(daemon.output(), MatchesRegex("(<6>[^\n]*\n)+")) << "each line has its priority";
}

TEST_F(ForegroundDaemon, HasTheDocumentsPeriodByDefault) {
  EXPECT_THAT(perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"}).output, HasSubstr("\nperiod = 2s\n"));
}

}  // namespace
