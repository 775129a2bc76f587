#include <perdure/testing/process.hpp>

#include <csignal>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;
using perdure::testing::write_file;

namespace {
struct Settings : ::testing::Test {
  TempDir dir;
  std::string file = dir / "settings.conf";
  perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};
};
}  // namespace

TEST_F(Settings, FileEnvironmentAndCommandLineOverrideEachOtherInThisOrder) {
  write_file(file, "period = 300ms\nport = 1000\ntoken = hunter2\n");
  here.env.emplace_back("SETTINGS_PERIOD", "200ms");
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--config", file, "--port=7", "--print-config"}, here);
  ASSERT_TRUE(printed.status.success()) << printed.output;
  EXPECT_NE(printed.output.find("period = 200ms"), std::string::npos) << printed.output;
  EXPECT_NE(printed.output.find("port = 7"), std::string::npos) << printed.output;
  EXPECT_EQ(printed.output.find("hunter2"), std::string::npos) << "a secret was printed";
}

TEST_F(Settings, ABadFileIsRefusedWithLineAndColumn) {
  write_file(file, "port = 70000\nperid = 1s\n");
  const auto refused = perdure::testing::run({EXAMPLE_PROGRAM, "--config", file, "--check-config"}, here);
  EXPECT_EQ(refused.status.value(), 78);
  EXPECT_NE(refused.output.find("settings.conf:1:"), std::string::npos) << refused.output;
  EXPECT_NE(refused.output.find("period"), std::string::npos) << "did you mean: " << refused.output;
}

TEST_F(Settings, AReloadTakesAGoodFileAndRefusesABadOne) {
  write_file(file, "period = 10ms\nport = 1001\n");
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--config", file}, here};
  ASSERT_TRUE(program.wait_for_output("port 1001")) << program.output();
  write_file(file, "period = 10ms\nport = nonsense\n");
  program.signal(SIGHUP);
  ASSERT_TRUE(program.wait_for_output("reload refused")) << program.output();
  write_file(file, "period = 10ms\nport = 1002\n");
  const auto reload = perdure::testing::run({EXAMPLE_PROGRAM, "reload", "--config", file}, here);
  EXPECT_EQ(reload.output, "OK\n");
  EXPECT_TRUE(program.wait_for_output("port 1002")) << program.output();
  write_file(file, "device = /dev/null\nport = 1002\nperiod = 10ms\n");
  const auto refused = perdure::testing::run({EXAMPLE_PROGRAM, "reload", "--config", file}, here);
  EXPECT_EQ(refused.status.value(), 1);
  EXPECT_NE(refused.output.find("restart"), std::string::npos) << refused.output;
}
