#include <signal.h>

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using namespace perdure::testing;
using perdure::ExitStatus;
using testing::HasSubstr;

struct ServiceManager : testing::Test {
  ServiceManager() { write_file(dir / "service.conf", "answer = 42\n"); }
  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> all{EXAMPLE_PROGRAM, "--config", dir / "service.conf", "--pid-file", dir / "service.pid"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  TempDir dir;
};

TEST_F(ServiceManager, RefusesASecondInstance) {
  Process first{command({"--foreground"})};
  ASSERT_TRUE(first.wait_for_output("serving"));
  EXPECT_EQ(read_file(dir / "service.pid"), std::to_string(first.pid()) + "\n");

  const auto second = run(command({"--foreground"}));
  EXPECT_EQ(second.status, ExitStatus::exited(1));
  EXPECT_THAT(second.output, HasSubstr("Service already running"));
  const auto detached = run(command({}));
  EXPECT_EQ(detached.status, ExitStatus::exited(75));
  EXPECT_THAT(detached.output, HasSubstr(std::to_string(first.pid())));

  first.signal(SIGTERM);
  EXPECT_EQ(first.wait(), ExitStatus::exited(0));
  EXPECT_FALSE(read_file(dir / "service.pid").has_value());
}

TEST_F(ServiceManager, NeedsItsConfiguration) {
  const auto finished = run({EXAMPLE_PROGRAM, "--foreground", "--config", dir / "none", "--pid-file", dir / "service.pid"});
  EXPECT_EQ(finished.status, ExitStatus::exited(1));
  EXPECT_THAT(finished.output, HasSubstr("Failed to load configuration"));
  EXPECT_FALSE(read_file(dir / "service.pid").has_value());
}

TEST_F(ServiceManager, AFileLeftByACrashIsNoObstacle) {
  Process crashed{command({"--foreground"})};
  ASSERT_TRUE(crashed.wait_for_output("serving"));
  crashed.signal(SIGKILL);
  crashed.wait();
  ASSERT_TRUE(read_file(dir / "service.pid").has_value());

  Process next{command({"--foreground"})};
  EXPECT_TRUE(next.wait_for_output("serving"));
}

TEST_F(ServiceManager, RunsDetachedOnce) {
  adopt_orphans();
  ASSERT_EQ(run(command({})).status, ExitStatus::exited(0));
  const pid_t parent = std::atoi(read_file(dir / "service.pid").value_or("").c_str());
  ASSERT_GT(parent, 0);
  EXPECT_EQ(run(command({"--foreground"})).status, ExitStatus::exited(1));
  EXPECT_EQ(run(command({})).status, ExitStatus::exited(75));
  EXPECT_EQ(kill_adopted(parent, SIGTERM), ExitStatus::exited(0));
}

}  // namespace
