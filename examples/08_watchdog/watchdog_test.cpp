#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::TempDir;

TEST(Watchdog, ABodyThatHangsIsNoticed) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}},
                                              .working_directory = dir.path()};
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--hang-at=3"}, here};
  ASSERT_TRUE(program.wait_for_output("counts as stuck")) << program.output();
  const auto health = perdure::testing::run({EXAMPLE_PROGRAM, "health"}, here);
  EXPECT_EQ(health.status.value(), 2) << health.output;
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
  EXPECT_FALSE(perdure::testing::read_file(dir / "watchdog.health").has_value()) << "removed at a clean end";
}

TEST(Watchdog, ABodyThatWaitsIsHealthy) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}},
                                              .working_directory = dir.path()};
  Process program{{EXAMPLE_PROGRAM, "--foreground"}, here};
  ASSERT_TRUE(eventually([&] { return perdure::testing::read_file(dir / "watchdog.health").has_value(); }));
  EXPECT_TRUE(eventually([&] { return perdure::testing::run({EXAMPLE_PROGRAM, "health"}, here).status.success(); }));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
}
