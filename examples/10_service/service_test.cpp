#include <perdure/testing/process.hpp>
#include <sys/stat.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::read_file;
using ::testing::HasSubstr;

namespace {

struct Counter : ::testing::Test {
  perdure::testing::TempDir dir;
  perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}},
                                        .working_directory = dir.path()};
  std::string ask(const std::string& verb) { return perdure::testing::run({EXAMPLE_PROGRAM, verb}, here).output; }
};

TEST_F(Counter, RunsReloadsAndStopsByItsOwnMethods) {
  Process counter{{EXAMPLE_PROGRAM, "--foreground"}, here};
  ASSERT_TRUE(perdure::testing::eventually([&] {
    return read_file(dir / "count").value_or("").find("3\n") != std::string::npos;
  })) << counter.output();
  EXPECT_EQ(ask("health"), "healthy\n");
  EXPECT_EQ(ask("reload"), "OK\n");
  ASSERT_TRUE(counter.wait_for_output("counting from the start")) << counter.output();
  counter.signal(SIGTERM);
  EXPECT_EQ(counter.wait().text(), "exited with 0");
  EXPECT_THAT(counter.output(), HasSubstr("counted to "));
}

TEST_F(Counter, WhatItsStartThrowsEndsWithSeventyAndNamesTheReason) {
  ASSERT_EQ(::mkdir((dir / "count").c_str(), 0700), 0);
  Process counter{{EXAMPLE_PROGRAM, "--foreground"}, here};
  EXPECT_EQ(counter.wait().text(), "exited with 70");
  EXPECT_THAT(counter.output(), HasSubstr("cannot open count"));
}

}  // namespace
