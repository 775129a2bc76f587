#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::TempDir;

TEST(Logging, ALineFromOutsideStaysOneLineAndUsr1Rotates) {
  TempDir dir;
  const std::string file = dir / "l.log";
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--log-file", file},
                  {.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}}};
  ASSERT_TRUE(eventually([&] { return read_file(file).value_or("").find("round 3") != std::string::npos; }));
  EXPECT_NE(read_file(file)->find("eve\\n2026"), std::string::npos);
  program.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return read_file(file + ".1").value_or("").find("started") != std::string::npos; }));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
  EXPECT_NE(read_file(file)->find("INFO - stopped"), std::string::npos);
}
