#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;

TEST(WorkerPoolExample, ItsTasksRunFailAloneAndAreDoneAtTheStop) {
  TempDir dir;
  Process program{{EXAMPLE_PROGRAM, "--foreground"},
                  {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}}};
  ASSERT_TRUE(program.wait_for_output("a task failed: 13 brings bad luck")) << program.output();
  ASSERT_TRUE(program.wait_for_output("14 squared is 196")) << program.output();
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
  EXPECT_NE(program.output().find("done, 0 dropped"), std::string::npos) << program.output();
}
