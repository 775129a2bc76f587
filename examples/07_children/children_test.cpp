#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;

TEST(Children, AreRunInAnotherRoleAndStoppedWithUs) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};
  const auto done = perdure::testing::run({EXAMPLE_PROGRAM, "--foreground", "--", "/bin/echo", "-n", "from a child"}, here);
  EXPECT_TRUE(done.status.success()) << done.output;
  EXPECT_NE(done.output.find("report from the other role"), std::string::npos) << done.output;
  EXPECT_NE(done.output.find("it said: from a child"), std::string::npos) << done.output;

  Process program{{EXAMPLE_PROGRAM, "--foreground", "--log-level=debug", "--", "/bin/cat", "/dev/zero"}, here};
  ASSERT_TRUE(program.wait_for_output("BodyReady")) << program.output();
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0") << program.output();
}

TEST(Children, AProgramThatDoesNotExistIsNamed) {
  TempDir dir;
  const auto done = perdure::testing::run({EXAMPLE_PROGRAM, "--foreground", "--", "no-such-program"},
                                          {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}});
  EXPECT_NE(done.output.find("no-such-program"), std::string::npos) << done.output;
  EXPECT_NE(done.output.find("ENOENT"), std::string::npos) << done.output;
}
