// Which files are opened for others, and which are not although their path is the right one.
#include "whitelist.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;

struct WhitelistTest : testing::Test {
  perdure::testing::TempDir dir;
  std::string shared = dir / "shared", secret = dir / "secret";  // as /tmp is, and something in another directory

  WhitelistTest() {
    EXPECT_EQ(mkdir(shared.c_str(), 0700), 0);
    EXPECT_EQ(chmod(shared.c_str(), 01777), 0);
    write_file(secret, "secret");
  }
  static std::string content_of(const perdure::Result<perdure::UniqueFd>& file) {
    if (!file) return file.error().message();
    char buffer[100];
    const ssize_t count = read(file->get(), buffer, sizeof buffer);
    return {buffer, static_cast<std::size_t>(count)};
  }
};

TEST_F(WhitelistTest, APathIsAllowedByteForByte) {
  const Whitelist list{{"/etc/hostname", "/proc/version"}};
  EXPECT_TRUE(list.contains("/etc/hostname"));
  for (const char* path : {"/etc/passwd", "/etc/hostname/", "/etc//hostname", "/etc/../etc/hostname", "etc/hostname",
                           "/etc/hostnam", "/etc/hostname ", "/ETC/hostname", "", "/"})
    EXPECT_FALSE(list.contains(path)) << path;
  EXPECT_FALSE(list.contains(std::string_view{"/etc/hostname\0", 14}));
}

TEST_F(WhitelistTest, OpensForReadingAndLeavesNothingToChildren) {
  const auto file = Whitelist::open(secret);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(fcntl(file->get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(fcntl(file->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(content_of(file), "secret");
}

TEST_F(WhitelistTest, FollowsALinkOnlyWhereNobodyElseCouldHavePutIt) {
  std::filesystem::create_symlink("secret", dir / "link");
  EXPECT_EQ(content_of(Whitelist::open(dir / "link")), "secret");
  std::filesystem::create_symlink(secret, shared + "/link");
  EXPECT_THAT(content_of(Whitelist::open(shared + "/link")), HasSubstr("it is a link that others could have put there"));
}

TEST_F(WhitelistTest, ASecondNameOfASecretIsNotTakenFromASharedDirectory) {
  write_file(shared + "/ours", "ours");
  EXPECT_EQ(content_of(Whitelist::open(shared + "/ours")), "ours");
  std::filesystem::create_hard_link(secret, shared + "/second");
  EXPECT_THAT(content_of(Whitelist::open(shared + "/second")), HasSubstr("others could have put it there"));
}

TEST_F(WhitelistTest, OnlyRegularFiles) {
  ASSERT_EQ(mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(content_of(Whitelist::open(dir / "fifo")), HasSubstr("it is not a regular file"));
  std::filesystem::create_directory(dir / "directory");
  EXPECT_THAT(content_of(Whitelist::open(dir / "directory")), HasSubstr("it is not a regular file"));
  EXPECT_THAT(content_of(Whitelist::open("/dev/null")), HasSubstr("it is not a regular file"));
  EXPECT_THAT(content_of(Whitelist::open(dir / "missing")), HasSubstr("(ENOENT)"));
}

TEST_F(WhitelistTest, WhatTheSystemHasIsOpened) {
  for (const char* path : {"/etc/hostname", "/etc/os-release", "/proc/version"}) {
    const auto expected = read_file(path);
    if (!expected) continue;  // not every system has all of them
    EXPECT_EQ(content_of(Whitelist::open(path)), expected->substr(0, 100)) << path;
  }
}

TEST_F(WhitelistTest, TheTestFileReplacesItsFormerSelfAndNothingElse) {
  ASSERT_TRUE(write_test_file(shared + "/test", "a longer text"));
  ASSERT_TRUE(write_test_file(shared + "/test", "text"));
  EXPECT_EQ(read_file(shared + "/test"), "text");
  EXPECT_EQ(std::filesystem::status(shared + "/test").permissions(), std::filesystem::perms{0600});

  std::filesystem::create_symlink(secret, shared + "/link");
  EXPECT_FALSE(write_test_file(shared + "/link", "text"));
  std::filesystem::create_hard_link(secret, shared + "/second");
  EXPECT_THAT(write_test_file(shared + "/second", "text").error().message(),
              HasSubstr("it is no plain file of ours; it stays as it is"));
  EXPECT_EQ(read_file(secret), "secret");
}

}  // namespace
