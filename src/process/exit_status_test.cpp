#include "perdure/exit_status.hpp"

#include <csignal>

#include <gtest/gtest.h>

namespace perdure {
namespace {

TEST(ExitStatus, SaysHowAProcessEnded) {
  EXPECT_EQ(ExitStatus::exited(3).text(), "exited with 3");
  EXPECT_EQ(ExitStatus::killed(SIGSEGV, true).text(), "was killed by SIGSEGV (core dumped)");
  EXPECT_EQ(ExitStatus::killed(SIGTERM).text(), "was killed by SIGTERM");
  EXPECT_EQ(ExitStatus::killed(SIGRTMIN).text(), "was killed by SIGRTMIN");
  EXPECT_EQ(ExitStatus::killed(SIGRTMIN + 3).text(), "was killed by SIGRTMIN+3");
  EXPECT_EQ(ExitStatus::killed(99).text(), "was killed by signal 99");
  EXPECT_EQ(ExitStatus{}.text(), "ended, nobody saw how");
}

TEST(ExitStatus, HasTheCodeAShellWouldReport) {
  EXPECT_EQ(ExitStatus::exited(0).shell_code(), 0);
  EXPECT_EQ(ExitStatus::exited(255).shell_code(), 255);
  EXPECT_EQ(ExitStatus::killed(SIGKILL).shell_code(), 137);
  EXPECT_EQ(ExitStatus{}.shell_code(), 255);
}

TEST(ExitStatus, OnlyAnExitWithZeroIsASuccess) {
  EXPECT_TRUE(ExitStatus::exited(0).success());
  EXPECT_FALSE(ExitStatus::exited(1).success());
  EXPECT_FALSE(ExitStatus::killed(SIGTERM).success());
  EXPECT_FALSE(ExitStatus{}.success());
}

}  // namespace
}  // namespace perdure
