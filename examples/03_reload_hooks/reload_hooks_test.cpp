#include <perdure/testing/process.hpp>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;
using perdure::testing::write_file;

TEST(ReloadHooks, AHookMayRefuseAndThenNothingChanges) {
  TempDir dir;
  const std::string file = dir / "r.conf";
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};
  const auto reload = [&] { return perdure::testing::run({EXAMPLE_PROGRAM, "reload"}, here); };
  write_file(file, "workers = 4\nqueue = 5\n");
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--config", file}, here};
  ASSERT_TRUE(program.wait_for_output("capacity 20")) << program.output();

  write_file(file, "workers = 2\nqueue = 5\n");
  auto answer = reload();
  EXPECT_NE(answer.output.find("cannot be taken away"), std::string::npos) << answer.output;
  write_file(file, "workers = 6\nqueue = 5\n");
  answer = reload();
  EXPECT_NE(answer.output.find("queue must be at least"), std::string::npos) << answer.output;
  EXPECT_EQ(program.output().find("capacity 30"), std::string::npos);

  write_file(file, "workers = 5\nqueue = 6\n");
  EXPECT_EQ(reload().output, "OK\n");
  EXPECT_TRUE(program.wait_for_output("capacity 30")) << program.output();
}
