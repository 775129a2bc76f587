#include "supervisor/main_pid_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;

constexpr uid_t somebody = 41000;
constexpr uid_t another = 41001;

class MainPidFile : public ::testing::Test {
 protected:
  MainPidFile() { EXPECT_EQ(::chmod(directory.path().c_str(), 0755), 0); }
  Result<pid_t> read(const std::string& name) { return read_pid_file(directory / name); }
  int error_of(const std::string& name) {
    const auto claim = read(name);
    return claim ? 0 : claim.error().code();
  }
  void give(const std::string& name, uid_t user) { ASSERT_EQ(::lchown((directory / name).c_str(), user, user), 0); }
  os::testing::ScratchDirectory directory;
};

TEST_F(MainPidFile, ANumberOnTheFirstLineIsAClaim) {
  for (const char* const text : {"812\n", "812", " 812 \n", "812\r\n", "0812\n", "812\nmore\n"}) {
    directory.put("pid", text);
    EXPECT_EQ(read("pid").value(), 812) << text;
  }
  directory.put("pid", "4194304\n");
  EXPECT_EQ(read("pid").value(), 4'194'304);
}

TEST_F(MainPidFile, NothingElseIsOne) {
  for (const char* const text : {"0", "1", "-1", "-812", "+812", "8 12", "0x32c", "812abc", "4194305", "1099511627776",
                                 "18446744073709551615", "99999999999999999999", "pid", "\xff\xfe"}) {
    directory.put("pid", text);
    EXPECT_EQ(error_of("pid"), EINVAL) << text;
  }
  directory.put("pid", std::string("8\0"
                                   "12\n",
                                   5));
  EXPECT_EQ(error_of("pid"), EINVAL);
  directory.put("pid", "-1\n");
  EXPECT_EQ(read("pid").error().message(),
            "PIDFile=" + (directory / "pid") + ": it holds \"-1\" and not the number of a process (EINVAL)");
  for (const char* const text : {"", "\n", "  \n812\n"}) {
    directory.put("pid", text);
    EXPECT_EQ(error_of("pid"), ENODATA) << text;
  }
  directory.put("pid", std::string(1 << 20, '1'));
  EXPECT_EQ(error_of("pid"), EFBIG);
}

TEST_F(MainPidFile, WhatIsNoRegularFileIsNeverWaitedFor) {
  EXPECT_EQ(error_of("none"), ENOENT);
  EXPECT_EQ(error_of("none/pid"), ENOENT);
  ASSERT_EQ(::mkdir((directory / "directory").c_str(), 0755), 0);
  EXPECT_NE(error_of("directory"), 0);
  EXPECT_NE(error_of("directory/"), 0);
  ASSERT_EQ(::mkfifo((directory / "fifo").c_str(), 0644), 0);
  EXPECT_EQ(error_of("fifo"), EINVAL);
  directory.put("file", "812");
  EXPECT_EQ(error_of("file/pid"), ENOTDIR);
  EXPECT_EQ(read_pid_file("relative").error().code(), EINVAL);
  EXPECT_EQ(read_pid_file("/" + std::string(10'000, 'x')).error().code(), EINVAL);
  EXPECT_NE(read_pid_file("/").error().code(), 0);
}

TEST_F(MainPidFile, LinksThatOnlyRootAndWeCanMakeAreFollowed) {
  ASSERT_EQ(::mkdir((directory / "run").c_str(), 0755), 0);
  directory.put("run/pid", "812\n");
  ASSERT_EQ(::symlink("run", (directory / "var").c_str()), 0);
  ASSERT_EQ(::symlink((directory / "run/pid").c_str(), (directory / "absolute").c_str()), 0);
  EXPECT_EQ(read("var/pid").value(), 812);
  EXPECT_EQ(read("absolute").value(), 812);
  EXPECT_EQ(read("run/../var/./pid").value(), 812);
  ASSERT_EQ(::symlink("loop", (directory / "loop").c_str()), 0);
  EXPECT_EQ(error_of("loop"), ELOOP);
}

TEST_F(MainPidFile, WhoCouldNotHaveChosenItIsBelievedToHaveWrittenIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  directory.put("pid", "812\n");
  give("pid", somebody);
  EXPECT_EQ(read("pid").value(), 812) << "a daemon that starts as root and goes on as somebody";

  ASSERT_EQ(::mkdir((directory / "his").c_str(), 0755), 0);
  directory.put("his/pid", "812\n");
  give("his", somebody);
  EXPECT_EQ(error_of("his/pid"), EPERM) << "root's file in a directory of somebody's: a hard link, perhaps";
  give("his/pid", somebody);
  EXPECT_EQ(read("his/pid").value(), 812);

  directory.put("root", "1234\n");
  ASSERT_EQ(::symlink((directory / "root").c_str(), (directory / "his/link").c_str()), 0);
  give("his/link", somebody);
  EXPECT_EQ(error_of("his/link"), EPERM) << "a link of somebody's to a file of root's";
  ASSERT_EQ(::symlink((directory / "his").c_str(), (directory / "way").c_str()), 0);
  give("way", another);
  EXPECT_EQ(error_of("way/pid"), EPERM) << "a link of another one's to somebody's directory";
}

TEST_F(MainPidFile, EveryFailureIsAnError) {
  directory.put("pid", "812\n");
  for (unsigned n = 1; n < 200; ++n) {
    const os::testing::FaultPlan plan{{.nth = n, .error = EIO}};
    const auto claim = read("pid");
    if (!plan.fired()) {
      EXPECT_EQ(claim.value(), 812);
      return;
    }
    if (claim) {
      EXPECT_STREQ(plan.failed_call(), "close");
    }
  }
}

TEST_F(MainPidFile, NoBytesAreANumberThatTheyAreNot) {
  std::mt19937 random{76};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (std::size_t n = random() % 12; n > 0; --n) text += "0123456789 \n-x"[random() % 14];
    directory.put("pid", text);
    const auto claim = read("pid");
    if (claim) {
      ASSERT_GT(*claim, 1) << text;
    }
  }
}

}  // namespace
}  // namespace perdure::supervisor
