#include "perdure/rotating_file.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "logbook/logbook_testing.hpp"
#include "os/fault_plan.hpp"

namespace perdure {
namespace {

using logbook::testing::mode_of;
using logbook::testing::open_descriptors;
using logbook::testing::read_lines;
using logbook::testing::read_whole;
using logbook::testing::TempDirectory;
using logbook::testing::with_text_replaced;
using os::Call;
using os::testing::FaultPlan;
using ::testing::ElementsAre;

void put(const std::string& path, const std::string& text) { std::ofstream{path, std::ios::binary} << text; }

RotatingFile open_or_die(RotatingFileOptions options) { return *RotatingFile::open(std::move(options)); }

TEST(RotatingFile, ExactlyTheLimitDoesNotRotate) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 10'000});
  ASSERT_TRUE(file.write(std::string(9'999, 'x') + "\n"));
  EXPECT_EQ(file.size(), 10'000U);
  EXPECT_THAT(directory.names(), ElementsAre("x.log"));
  ASSERT_TRUE(file.write("\n"));
  EXPECT_THAT(directory.names(), ElementsAre("x.log", "x.log.1"));
  EXPECT_EQ(read_whole(directory / "x.log.1").size(), 10'001U);
  EXPECT_EQ(file.size(), 0U);
}

TEST(RotatingFile, CountsWhatItFindsAtOpening) {
  const TempDirectory directory;
  put(directory / "x.log", std::string(99, 'x') + "\n");
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 100});
  EXPECT_EQ(file.size(), 100U);
  ASSERT_TRUE(file.write("y\n"));
  EXPECT_EQ(read_whole(directory / "x.log.1"), std::string(99, 'x') + "\ny\n");
}

TEST(RotatingFile, TenThousandLinesAreKeptInOrderNoneLostOrSplit) {
  const TempDirectory directory;
  constexpr int count = 10'000;
  constexpr unsigned backups = 5;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 10'000, .backups = backups});
  for (int i = 0; i < count; ++i) ASSERT_TRUE(file.write("line " + std::to_string(i) + "\n"));

  std::vector<std::string> kept;
  for (unsigned number = backups; number > 0; --number) {
    const auto lines = read_lines(directory / ("x.log." + std::to_string(number)));
    kept.insert(kept.end(), lines.begin(), lines.end());
  }
  const auto last = read_lines(directory / "x.log");
  kept.insert(kept.end(), last.begin(), last.end());

  ASSERT_GT(kept.size(), 5'000U / 11 * 10);
  const int first = count - static_cast<int>(kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) ASSERT_EQ(kept[i], "line " + std::to_string(first + static_cast<int>(i)));
  EXPECT_THAT(directory.names(), ElementsAre("x.log", "x.log.1", "x.log.2", "x.log.3", "x.log.4", "x.log.5"));
}

TEST(RotatingFile, WithOneBackupTheOldOneIsReplaced) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 3});
  for (const char* line : {"one\n", "two\n", "three\n"}) ASSERT_TRUE(file.write(line));
  EXPECT_THAT(directory.names(), ElementsAre("x.log", "x.log.1"));
  EXPECT_EQ(read_whole(directory / "x.log.1"), "three\n");
}

TEST(RotatingFile, WithoutBackupsAFullFileIsStartedAfresh) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 3, .backups = 0});
  ASSERT_TRUE(file.write("full\n"));
  ASSERT_TRUE(file.write("new"));
  EXPECT_THAT(directory.names(), ElementsAre("x.log"));
  EXPECT_EQ(read_whole(directory / "x.log"), "new");
}

TEST(RotatingFile, WithoutALimitItNeverRotatesByItself) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(file.write(std::string(1000, 'x')));
  EXPECT_THAT(directory.names(), ElementsAre("x.log"));
}

TEST(RotatingFile, RotatesNowAtAnySize) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  ASSERT_TRUE(file.write("old\n"));
  ASSERT_TRUE(file.rotate());
  ASSERT_TRUE(file.write("new\n"));
  EXPECT_EQ(read_whole(directory / "x.log.1"), "old\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "new\n");
}

TEST(RotatingFile, ReopenFollowsSomebodyElsesRotation) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  ASSERT_TRUE(file.write("old\n"));
  ASSERT_EQ(::rename((directory / "x.log").c_str(), (directory / "x.log-20261121").c_str()), 0);
  ASSERT_TRUE(file.write("late\n"));
  ASSERT_TRUE(file.reopen());
  ASSERT_TRUE(file.write("new\n"));
  EXPECT_EQ(read_whole(directory / "x.log-20261121"), "old\nlate\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "new\n");
}

TEST(RotatingFile, DoesNotRenameAFileThatSomebodyElsePutInItsPlace) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  ASSERT_EQ(::rename((directory / "x.log").c_str(), (directory / "x.log.1").c_str()), 0);
  put(directory / "x.log", "fresh\n");
  ASSERT_TRUE(file.rotate());
  ASSERT_TRUE(file.write("ours\n"));
  EXPECT_EQ(read_whole(directory / "x.log"), "fresh\nours\n");
  EXPECT_EQ(read_whole(directory / "x.log.1"), "");
}

TEST(RotatingFile, ARemovedFileComesBackAtTheNextRotation) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 3});
  ASSERT_EQ(::unlink((directory / "x.log").c_str()), 0);
  ASSERT_TRUE(file.write("into nowhere\n"));
  ASSERT_TRUE(file.write("new\n"));
  EXPECT_EQ(read_whole(directory / "x.log.1"), "new\n");
}

TEST(RotatingFile, StandardOutputAndErrorGoAlong) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  {
    const logbook::testing::StderrReplaced replaced{file.fd()};
    ASSERT_TRUE(file.rotate());
    ASSERT_EQ(::write(STDERR_FILENO, "said\n", 5), 5);
  }
  EXPECT_EQ(read_whole(directory / "x.log"), "said\n");
  EXPECT_EQ(read_whole(directory / "x.log.1"), "");
}

TEST(RotatingFile, HasItsModeWhateverTheUmask) {
  const TempDirectory directory;
  for (const mode_t mask : {0000U, 0077U, 0777U}) {
    const mode_t was = ::umask(mask);
    auto file = open_or_die({.path = directory / ("x" + std::to_string(mask))});
    ::umask(was);
    EXPECT_EQ(mode_of(file.path()), 0640U);
  }
}

TEST(RotatingFile, LeavesTheModeOfAnExistingFileAlone) {
  const TempDirectory directory;
  put(directory / "x.log", "old\n");
  ASSERT_EQ(::chmod((directory / "x.log").c_str(), 0604), 0);
  auto file = open_or_die({.path = directory / "x.log"});
  EXPECT_EQ(mode_of(directory / "x.log"), 0604U);
  ASSERT_TRUE(file.write("new\n"));
  EXPECT_EQ(read_whole(directory / "x.log"), "old\nnew\n");
}

TEST(RotatingFile, ARelativePathOutlivesAChangeOfDirectory) {
  const TempDirectory directory;
  char before[4096];
  ASSERT_NE(::getcwd(before, sizeof before), nullptr);
  ASSERT_EQ(::chdir(directory.path().c_str()), 0);
  auto file = open_or_die({.path = "x.log"});
  ASSERT_EQ(::chdir("/"), 0);
  EXPECT_TRUE(file.rotate());
  ASSERT_EQ(::chdir(before), 0);
  EXPECT_THAT(directory.names(), ElementsAre("x.log", "x.log.1"));
}

// The golden texts of what is refused. DIR stands for the directory.
class RefusedPath : public ::testing::Test {
 protected:
  std::string refusal(RotatingFileOptions options) const {
    const auto file = RotatingFile::open(std::move(options));
    return file ? "(opened)" : with_text_replaced(file.error().message(), directory_.path(), "DIR");
  }
  std::string path(const std::string& name) const { return directory_ / name; }
  TempDirectory directory_;
};

TEST_F(RefusedPath, ASymbolicLinkIsNotFollowed) {
  put(path("precious"), "");
  ASSERT_EQ(::symlink(path("precious").c_str(), path("x.log").c_str()), 0);
  EXPECT_EQ(refusal({.path = path("x.log")}),
            "cannot use DIR/x.log as a log file: it is a symbolic link, not a regular file; nothing was written, choose "
            "another path");
}

TEST_F(RefusedPath, ADirectoryIsNoLog) {
  EXPECT_EQ(refusal({.path = directory_.path()}),
            "cannot use DIR as a log file: it is a directory, not a regular file; nothing was written, choose another path");
}

TEST_F(RefusedPath, AFifoIsNoLogAndOpeningItDoesNotHang) {
  ASSERT_EQ(::mkfifo(path("x.log").c_str(), 0600), 0);
  const std::string text =
      "cannot use DIR/x.log as a log file: it is a FIFO, not a regular file; nothing was written, choose another path";
  EXPECT_EQ(refusal({.path = path("x.log")}), text);
  const int reader = ::open(path("x.log").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(refusal({.path = path("x.log")}), text);
  ::close(reader);
}

TEST_F(RefusedPath, ASocketOrADeviceIsNoLog) {
  const logbook::testing::FakeSyslog socket{path("x.sock")};
  EXPECT_EQ(
      refusal({.path = path("x.sock")}),
      "cannot use DIR/x.sock as a log file: it is a socket, not a regular file; nothing was written, choose another path");
  EXPECT_EQ(
      refusal({.path = "/dev/full"}),
      "cannot use /dev/full as a log file: it is a device, not a regular file; nothing was written, choose another path");
}

TEST_F(RefusedPath, WhatCannotBeOpenedIsNamedWithItsCause) {
  EXPECT_EQ(refusal({.path = path("none/x.log")}),
            "cannot open the log file DIR/none/x.log: No such file or directory (ENOENT)");
  EXPECT_EQ(refusal({.path = ""}), "cannot open a log file: its path is empty");
  EXPECT_EQ(refusal({.path = std::string{"a\0b", 3}}), "cannot open the log file a\\x00b: its path has a NUL byte in it");
  EXPECT_EQ(refusal({.path = path("x"), .backups = 1001}), "cannot keep 1001 old files of DIR/x: 1000 is the most");
}

TEST(RotatingFileFailure, AFullDiskIsSaidCountedAndForgotten) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  ASSERT_TRUE(file.write("one\n"));
  {
    const FaultPlan plan{{.call = Call::write, .error = ENOSPC}};
    EXPECT_EQ(with_text_replaced(file.write("two\n").error().message(), directory.path(), "DIR"),
              "cannot write to the log file DIR/x.log: No space left on device (ENOSPC)");
  }
  EXPECT_EQ(file.lost_bytes(), 4U);
  ASSERT_TRUE(file.write("three\n"));
  EXPECT_EQ(read_whole(directory / "x.log"), "one\nthree\n");
}

// RLIMIT_FSIZE cuts a write short as a full disk does.
TEST(RotatingFileFailure, AfterAHalfWrittenLineTheNextOneStartsOnItsOwn) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log"});
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto previous = ::signal(SIGXFSZ, SIG_IGN);  // tidy: allow signal — the test process's own
  rlimit small = before;
  small.rlim_cur = 6;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto outcome = file.write("half a line\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, previous);  // tidy: allow signal — the test process's own
  EXPECT_EQ(outcome.error().code(), EFBIG);
  EXPECT_EQ(file.lost_bytes(), 6U);
  ASSERT_TRUE(file.write("next\n"));
  EXPECT_EQ(read_whole(directory / "x.log"), "half a\nnext\n");
}

TEST(RotatingFileFailure, ARenameThatFailsKeepsLoggingAndIsTriedAgain) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .max_bytes = 3});
  {
    const FaultPlan plan{{.call = Call::rename, .error = EACCES}};
    ASSERT_TRUE(file.write("one\n"));
    EXPECT_TRUE(plan.fired());
  }
  ASSERT_TRUE(file.rotation_failure().has_value());
  EXPECT_EQ(
      with_text_replaced(file.rotation_failure()->message(), directory.path(), "DIR"),
      "cannot rename DIR/x.log to DIR/x.log.1: Permission denied (EACCES); the log goes on in the old file, which grows");
  ASSERT_TRUE(file.write("two\n"));
  EXPECT_FALSE(file.rotation_failure().has_value());
  EXPECT_EQ(read_whole(directory / "x.log.1"), "one\ntwo\n");
}

TEST(RotatingFileFailure, NoCallThatFailsLosesALineOrADescriptor) {
  for (unsigned nth = 1; nth < 100; ++nth) {
    SCOPED_TRACE(nth);
    const TempDirectory directory;
    const std::size_t before = open_descriptors();
    {
      auto file = open_or_die({.path = directory / "x.log", .max_bytes = 12, .backups = 3});
      for (const char* line : {"line 1\n", "line 2\n"}) ASSERT_TRUE(file.write(line));
      bool fired = false;
      {
        const FaultPlan plan{{.nth = nth, .error = EIO}};
        for (const char* line : {"line 3\n", "line 4\n", "line 5\n", "line 6\n"}) {
          if (!file.write(line)) {
            ASSERT_STREQ(plan.failed_call(), "write");
            ASSERT_TRUE(file.write(line));
          }
        }
        fired = plan.fired();
      }
      for (const char* line : {"line 7\n", "line 8\n"}) ASSERT_TRUE(file.write(line));
      std::string all;
      for (const char* name : {"x.log.3", "x.log.2", "x.log.1", "x.log"}) all += read_whole(directory / name);
      // One more or one fewer rotation may have dropped the oldest file, nothing else.
      const std::string expected = "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n";
      ASSERT_GE(all.size(), expected.size() - 14);
      ASSERT_TRUE(expected.ends_with(all)) << all;
      if (!fired) return;
    }
    ASSERT_EQ(open_descriptors(), before);
  }
  FAIL() << "the plan still fired at the 99th call";
}

// ---- by time -----------------------------------------------------------------------------------------------------------------

constexpr std::chrono::hours day{24};
const auto today = std::chrono::system_clock::now();

TEST(RotatingFile, ALineOfAnotherDayBeginsAFreshFile) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .rotate_every = RotateEvery::Day, .backups = 3});
  ASSERT_TRUE(file.write("one\n", today));
  ASSERT_TRUE(file.write("two\n", today + day * 2));
  ASSERT_TRUE(file.write("three\n", today + day * 2));
  ASSERT_TRUE(file.write("four\n", today + day * 4));
  EXPECT_THAT(directory.names(), ElementsAre("x.log", "x.log.1", "x.log.2"));
  EXPECT_EQ(read_whole(directory / "x.log.2"), "one\n");
  EXPECT_EQ(read_whole(directory / "x.log.1"), "two\nthree\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "four\n");
}

TEST(RotatingFile, WhatItFindsAtOpeningIsOfTheDayInWhichItWasWritten) {
  const TempDirectory directory;
  put(directory / "x.log", "old\n");
  auto file = open_or_die({.path = directory / "x.log", .rotate_every = RotateEvery::Day});
  ASSERT_TRUE(file.write("new\n", today + day * 2));
  EXPECT_EQ(read_whole(directory / "x.log.1"), "old\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "new\n");
}

TEST(RotatingFile, AnEmptyFileIsNotRotatedByTime) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .rotate_every = RotateEvery::Hour});
  ASSERT_TRUE(file.write("one\n", today + day * 2));
  EXPECT_THAT(directory.names(), ElementsAre("x.log"));
}

TEST(RotatingFile, ARotationByTimeThatFailsIsTriedAgainAtTheNextWrite) {
  const TempDirectory directory;
  auto file = open_or_die({.path = directory / "x.log", .rotate_every = RotateEvery::Day});
  ASSERT_TRUE(file.write("one\n", today));
  {
    const FaultPlan plan{{.call = Call::rename, .error = EIO}};
    ASSERT_TRUE(file.write("two\n", today + day * 2));
    EXPECT_TRUE(file.rotation_failure());
  }
  EXPECT_EQ(read_whole(directory / "x.log"), "one\ntwo\n");
  ASSERT_TRUE(file.write("three\n", today + day * 2));
  EXPECT_FALSE(file.rotation_failure());
  EXPECT_EQ(read_whole(directory / "x.log.1"), "one\ntwo\n");
  EXPECT_EQ(read_whole(directory / "x.log"), "three\n");
}

}  // namespace
}  // namespace perdure
