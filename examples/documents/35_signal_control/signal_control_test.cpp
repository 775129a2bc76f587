// What the document shows of a HUP and a TERM, and what it leaves open.
#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct SignalControl : testing::Test {
  perdure::testing::TempDir dir;

  /// Only what the program itself prints: of its log, errors.
  Process start(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + dir.path() + "/pid", "--control=none",
                                   "--log-file=" + dir.path() + "/log"};
    words.insert(words.end(), more.begin(), more.end());
    Process control{words};
    EXPECT_TRUE(control.wait_for_output("(stop)\n")) << control.output();
    return control;
  }
};

TEST_F(SignalControl, AHangupGivesNewSettingsAndATermEndsIt) {
  Process control = start();
  const std::string pid = std::to_string(control.pid());
  control.signal(SIGHUP);
  ASSERT_TRUE(control.wait_for_output("(interval 1500ms)\n")) << control.output();
  control.signal(SIGTERM);
  EXPECT_EQ(control.wait().text(), "exited with 0");
  EXPECT_THAT(control.output(), MatchesRegex("Daemon pid " + pid +
                                             "\\. Send SIGHUP to reload, SIGTERM to stop\\.\n"
                                             " kill -HUP " +
                                             pid +
                                             " \\(reload\\)\n"
                                             " kill -TERM " +
                                             pid +
                                             " \\(stop\\)\n"
                                             "\\[daemon\\] SIGHUP received, reloading config\\.\\.\\.\n"
                                             "\\[daemon\\] new interval: 1500ms, verbose: true\n"
                                             "(\\[daemon\\] tick [0-9]+ \\(interval 1500ms\\)\n)+"
                                             "\\[daemon\\] SIGTERM received, shutting down\\.\\.\\.\n"
                                             "\\[daemon\\] stopped after [0-9]+ ticks\\. Goodbye!\n"));
}

TEST_F(SignalControl, IsQuietUntilItIsReloaded) {
  Process control = start({"--interval=5ms"});
  // Ticks are counted, so the end shows that there were some.
  EXPECT_TRUE(perdure::testing::eventually(
      [&] { return std::stoul("0" + perdure::testing::proc_status(control.pid(), "voluntary_ctxt_switches")) > 20; }));
  control.signal(SIGTERM);
  EXPECT_EQ(control.wait().text(), "exited with 0");
  EXPECT_THAT(control.output(), Not(HasSubstr("[daemon] tick")));
  EXPECT_THAT(control.output(), Not(HasSubstr("stopped after 0 ticks")));
}

TEST_F(SignalControl, AThousandHangupsBlockNothingAndTheStopIsNotLost) {
  Process control = start();
  for (int i = 0; i < 1000; ++i) control.signal(SIGHUP);
  control.signal(SIGTERM);
  EXPECT_EQ(control.wait().text(), "exited with 0");
  EXPECT_THAT(control.output(), HasSubstr("Goodbye!\n"));
}

TEST_F(SignalControl, AFileIsReadAgainAndABadOneChangesNothing) {
  const std::string config = dir / "control.conf";
  perdure::testing::write_file(config, "interval = 1h\nreload_interval = 20ms\n");
  Process control = start({"--config=" + config});
  control.signal(SIGHUP);
  ASSERT_TRUE(control.wait_for_output("[daemon] new interval: 20ms, verbose: true\n")) << control.output();
  perdure::testing::write_file(config, "reload_interval = soon\n");
  control.signal(SIGHUP);
  ASSERT_TRUE(control.wait_for_output("[daemon] refused, nothing has changed\n")) << control.output();
  EXPECT_TRUE(trial::file_says(dir / "log", "reload refused: " + config + ":1:"));
  const std::size_t before = control.output().size();
  EXPECT_TRUE(
      perdure::testing::eventually([&] { return control.output().find("(interval 20ms)", before) != std::string::npos; }));
  perdure::testing::write_file(config, "reload_interval = 10ms\nreload_verbose = no\n");
  control.signal(SIGHUP);
  EXPECT_TRUE(control.wait_for_output("[daemon] new interval: 10ms, verbose: false\n")) << control.output();
  control.signal(SIGINT);
  EXPECT_EQ(control.wait().text(), "exited with 0");
  EXPECT_THAT(control.output(), HasSubstr("[daemon] SIGINT received, shutting down...\n"));
}

}  // namespace
