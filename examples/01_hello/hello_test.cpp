#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;

TEST(Hello, TenLinesAreADaemonThatStopsWhenAsked) {
  TempDir dir;
  Process hello{{EXAMPLE_PROGRAM, "--foreground"},
                {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}}};
  ASSERT_TRUE(hello.wait_for_output("still here")) << hello.output();
  hello.signal(SIGTERM);
  EXPECT_EQ(hello.wait().text(), "exited with 0");
}

TEST(Hello, TheBinaryIsItsOwnClient) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};
  EXPECT_EQ(perdure::testing::run({EXAMPLE_PROGRAM, "status"}, here).status.value(), 3);

  const auto started = perdure::testing::run({EXAMPLE_PROGRAM, "start"}, here);
  ASSERT_TRUE(started.status.success()) << started.output;
  const auto status = perdure::testing::run({EXAMPLE_PROGRAM, "status"}, here);
  EXPECT_TRUE(status.status.success()) << status.output;
  EXPECT_NE(status.output.find("running"), std::string::npos) << status.output;

  const auto second = perdure::testing::run({EXAMPLE_PROGRAM, "start"}, here);
  EXPECT_EQ(second.status.value(), 75) << second.output;
  EXPECT_NE(second.output.find("another instance runs"), std::string::npos) << second.output;

  const auto stopped = perdure::testing::run({EXAMPLE_PROGRAM, "stop"}, here);
  EXPECT_TRUE(stopped.status.success()) << stopped.output;
  EXPECT_EQ(perdure::testing::run({EXAMPLE_PROGRAM, "stop"}, here).status.value(), 7);
  EXPECT_FALSE(perdure::testing::read_file(dir / "hello.pid").has_value());
}
