#include <perdure/testing/process.hpp>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <string>

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

TEST(Watchdog, AMonitorWithoutTheSocketAsksForTheHealthFilesAge) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}},
                                              .working_directory = dir.path()};
  const auto ask = [&] { return perdure::testing::run({EXAMPLE_PROGRAM, "health", "--max-age", "5"}, here); };
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--hang-at=3"}, here};
  ASSERT_TRUE(program.wait_for_output("counts as stuck")) << program.output();

  // It hangs, so it writes no more: from here on the file is as the test leaves it.
  perdure::testing::write_file(dir / "watchdog.health", std::to_string(::time(nullptr)) + "\n");
  const auto fresh = ask();
  EXPECT_EQ(fresh.status.value(), 0) << fresh.output;
  EXPECT_NE(fresh.output.find("last sign of life"), std::string::npos) << fresh.output;

  perdure::testing::write_file(dir / "watchdog.health", std::to_string(::time(nullptr) - 100) + "\n");
  const auto stale = ask();
  EXPECT_EQ(stale.status.value(), 2) << stale.output;
  EXPECT_NE(stale.output.find("last sign of life 10"), std::string::npos) << stale.output;

  ASSERT_EQ(::unlink((dir / "watchdog.health").c_str()), 0);
  const auto missing = ask();
  EXPECT_EQ(missing.status.value(), 2) << missing.output;
  EXPECT_NE(missing.output.find(dir / "watchdog.health"), std::string::npos) << missing.output;
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
}
