#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <stdexcept>

#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace perdure::testing {
namespace {

TEST(TempDir, IsPrivateAndGoesWithEverythingInItButNothingBehindLinks) {
  const TempDir outside;
  write_file(outside / "kept", "x");
  std::optional<TempDir> dir{std::in_place};
  const std::string path = dir->path();
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
  ASSERT_EQ(::mkdir((*dir / "locked").c_str(), 0700), 0);
  write_file(*dir / "locked/file", "x");
  ASSERT_EQ(::chmod((*dir / "locked").c_str(), 0), 0);
  ASSERT_EQ(::symlink(outside.path().c_str(), (*dir / "link").c_str()), 0);
  dir.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
  EXPECT_EQ(read_file(outside / "kept"), "x");
}

TEST(TestFiles, AFileReadsBackAndIsReplaced) {
  const TempDir dir;
  write_file(dir / "f", "a longer first content");
  write_file(dir / "f", std::string_view{"second\0", 7});
  EXPECT_EQ(read_file(dir / "f"), (std::string{"second\0", 7}));
}

TEST(TestFiles, WhatCannotBeReadHasNoValueAndNothingBlocks) {
  const TempDir dir;
  EXPECT_EQ(read_file(dir / "missing"), std::nullopt);
  EXPECT_EQ(read_file(dir.path()), std::nullopt);
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_file(dir / "fifo"), "");
}

TEST(ProcStatus, FieldsAreFoundByTheirWholeName) {
  EXPECT_EQ(proc_status(::getpid(), "Pid"), std::to_string(::getpid()));
  EXPECT_EQ(proc_status(::getpid(), "PPid"), std::to_string(::getppid()));
  EXPECT_EQ(proc_status(::getpid(), "NoSuchField"), "");
  EXPECT_EQ(proc_status(-1, "Pid"), "");
}

TEST(ProcStatus, OnlyAProcessCanHaveEnded) {
  EXPECT_FALSE(has_ended(::getpid()));
  EXPECT_THROW(has_ended(0), std::invalid_argument);
}

TEST(Eventually, LooksAgainUntilItHoldsOrTheLimitPasses) {
  int looks = 0;
  EXPECT_TRUE(eventually([&] { return ++looks == 3; }));
  EXPECT_EQ(looks, 3);
  EXPECT_FALSE(eventually([] { return false; }, std::chrono::milliseconds{1}));
}

}  // namespace
}  // namespace perdure::testing
