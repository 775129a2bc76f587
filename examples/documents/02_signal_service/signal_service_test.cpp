#include <signal.h>

#include <cstdlib>

#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using namespace perdure::testing;
using perdure::ExitStatus;

class SignalService : public testing::TestWithParam<int> {};

TEST_P(SignalService, SurvivesHupAndStopsInOrder) {
  Process program{{EXAMPLE_PROGRAM, "--foreground"}};
  ASSERT_TRUE(program.wait_for_output("started"));
  program.signal(SIGHUP);
  EXPECT_TRUE(program.wait_for_output("asked to reload"));
  program.signal(GetParam());
  EXPECT_EQ(program.wait(), ExitStatus::exited(0));
  EXPECT_NE(program.output().find(GetParam() == SIGINT ? "asked to stop by SIGINT" : "asked to stop by SIGTERM"),
            std::string::npos);
}

TEST_P(SignalService, TheParentPassesTheSignalsOn) {
  adopt_orphans();
  const TempDir dir;
  ASSERT_EQ(run({EXAMPLE_PROGRAM, "--pid-file", dir / "s.pid"}).status, ExitStatus::exited(0));
  const pid_t parent = std::atoi(read_file(dir / "s.pid").value_or("").c_str());
  ASSERT_GT(parent, 0);
  EXPECT_EQ(kill_adopted(parent, GetParam()), ExitStatus::exited(0));
  EXPECT_FALSE(read_file(dir / "s.pid").has_value());
}

INSTANTIATE_TEST_SUITE_P(StopSignals, SignalService, testing::Values(SIGTERM, SIGINT));

}  // namespace
