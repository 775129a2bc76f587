#include "os/file.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::FaultPlan;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

std::string error_of(const Result<std::string>& result) { return result ? "no error" : result.error().message(); }
std::string error_of(const Result<void>& result) { return result ? "no error" : result.error().message(); }

mode_t mode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0);
  return status.st_mode & 07777U;
}

TEST(ReadFile, AWholeFileUpToTheLimitIsRead) {
  const ScratchDirectory dir;
  const std::string content(40'000, 'x');
  dir.put("f", content);
  EXPECT_EQ(read_file(dir / "f", 40'000).value(), content);
  EXPECT_EQ(read_file(dir / "f", std::numeric_limits<std::size_t>::max()).value(), content);
  dir.put("empty", "");
  EXPECT_EQ(read_file(dir / "empty", 0).value(), "");
}

TEST(ReadFile, BytesArePassedOnAsTheyAre) {
  const ScratchDirectory dir;
  const std::string bytes{"a\0\xff\n", 4};
  dir.put("f", bytes);
  EXPECT_EQ(read_file(dir / "f", 100).value(), bytes);
}

TEST(ReadFile, ALargerFileIsRefused) {
  const ScratchDirectory dir;
  dir.put("f", "12345");
  EXPECT_EQ(error_of(read_file(dir / "f", 4)),
            "cannot read " + dir / "f" + ": it is larger than the 4 bytes that are accepted (EFBIG)");
}

TEST(ReadFile, AFileOfAGigabyteIsRefusedUnread) {
  const ScratchDirectory dir;
  dir.put("f", "");
  ASSERT_EQ(::truncate((dir / "f").c_str(), off_t{1} << 30), 0);
  FaultPlan plan{{.call = Call::read, .nth = 0}};
  EXPECT_THAT(error_of(read_file(dir / "f", 1'000'000)), HasSubstr("larger than the 1000000 bytes"));
  EXPECT_EQ(plan.calls(), 0U);
}

TEST(ReadFile, AFileThatHidesItsSizeIsStillBounded) {
  EXPECT_TRUE(read_file("/proc/self/status", 100'000));
  EXPECT_THAT(error_of(read_file("/proc/self/status", 10)), HasSubstr("(EFBIG)"));
}

TEST(ReadFile, AMissingFileIsNamed) {
  EXPECT_EQ(error_of(read_file("/nowhere/x", 1)), "cannot read /nowhere/x: No such file or directory (ENOENT)");
}

TEST(ReadFile, ADirectoryIsRefused) {
  const ScratchDirectory dir;
  EXPECT_EQ(error_of(read_file(dir.path(), 100)), "cannot read " + dir.path() + ": Is a directory (EISDIR)");
}

TEST(ReadFile, AFifoIsRefusedWithoutWaitingForItsWriter) {
  const ScratchDirectory dir;
  ASSERT_EQ(::mkfifo((dir / "f").c_str(), 0600), 0);
  EXPECT_EQ(error_of(read_file(dir / "f", 100)),
            "cannot read " + dir / "f" + ": it is a FIFO, and only a regular file is accepted");
}

TEST(ReadFile, ADeviceIsRefused) {
  EXPECT_EQ(error_of(read_file("/dev/zero", 100)),
            "cannot read /dev/zero: it is a character device, and only a regular file is accepted");
}

TEST(ReadFile, ALinkIsFollowedUnlessRefused) {
  const ScratchDirectory dir;
  dir.put("f", "content");
  ASSERT_EQ(::symlink("f", (dir / "link").c_str()), 0);
  EXPECT_EQ(read_file(dir / "link", 100).value(), "content");
  EXPECT_EQ(error_of(read_file(dir / "link", 100, Links::Refuse)),
            "cannot read " + dir / "link" + ": it is a symbolic link, and those are not followed here (ELOOP)");
}

TEST(ReadFile, APathThatTheKernelWouldCutShortIsRefused) {
  EXPECT_EQ(error_of(read_file(std::string{"/etc/passwd\0.conf", 17}, 100'000)),
            "cannot read \"/etc/passwd\\x00.conf\": the path contains a NUL byte");
  EXPECT_EQ(error_of(read_file("", 1)), "cannot read \"\": the path is empty");
}

TEST(ReadFile, EveryCallThatFailsIsReported) {
  const ScratchDirectory dir;
  dir.put("f", "content");
  for (unsigned n = 1;; ++n) {
    FaultPlan plan{{.nth = n, .error = EIO}};
    const auto content = read_file(dir / "f", 100);
    if (!plan.fired()) break;
    SCOPED_TRACE(plan.failed_call());
    if (std::string_view{plan.failed_call()} == "close") {
      EXPECT_TRUE(content);  // everything was read by then
    } else {
      EXPECT_EQ(error_of(content), "cannot read " + dir / "f" + ": Input/output error (EIO)");
    }
  }
}

TEST(WriteFileAtomically, TheFileHasTheContentAndExactlyTheMode) {
  const ScratchDirectory dir;
  const mode_t before = ::umask(077);
  EXPECT_TRUE(write_file_atomically(dir / "f", "first", 0644));
  ::umask(before);
  EXPECT_EQ(dir.get("f"), "first");
  EXPECT_EQ(mode_of(dir / "f"), 0644U);
  EXPECT_TRUE(write_file_atomically(dir / "f", "second", 0600, Sync::Yes));
  EXPECT_EQ(dir.get("f"), "second");
  EXPECT_EQ(mode_of(dir / "f"), 0600U);
  EXPECT_THAT(dir.names(), ElementsAre("f"));
}

TEST(WriteFileAtomically, ARelativePathIsRelativeToTheCurrentDirectory) {
  const ScratchDirectory dir;
  const std::string before = absolute_path(".").value();
  ASSERT_EQ(::chdir(dir.path().c_str()), 0);
  EXPECT_TRUE(write_file_atomically("f", "content", 0600, Sync::Yes));
  ASSERT_EQ(::chdir(before.c_str()), 0);
  EXPECT_EQ(dir.get("f"), "content");
}

TEST(WriteFileAtomically, APlantedLinkIsReplacedAndItsTargetUntouched) {
  const ScratchDirectory dir;
  dir.put("victim", "precious");
  ASSERT_EQ(::symlink("victim", (dir / "f").c_str()), 0);
  EXPECT_TRUE(write_file_atomically(dir / "f", "content", 0600));
  EXPECT_EQ(dir.get("victim"), "precious");
  EXPECT_EQ(dir.get("f"), "content");
  struct stat status {};
  ASSERT_EQ(::lstat((dir / "f").c_str(), &status), 0);
  EXPECT_TRUE(S_ISREG(status.st_mode));
}

TEST(WriteFileAtomically, AnOldReaderKeepsTheOldContent) {
  const ScratchDirectory dir;
  dir.put("f", "old");
  const UniqueFd reader{::open((dir / "f").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(write_file_atomically(dir / "f", "new", 0600));
  char text[4]{};
  EXPECT_EQ(::read(reader.get(), text, 3), 3);
  EXPECT_STREQ(text, "old");
}

TEST(WriteFileAtomically, ADirectoryIsNeverReplaced) {
  const ScratchDirectory dir;
  ASSERT_EQ(::mkdir((dir / "d").c_str(), 0700), 0);
  EXPECT_EQ(error_of(write_file_atomically(dir / "d", "x", 0600)),
            "cannot replace " + dir / "d" + ": Is a directory (EISDIR); nothing was changed");
  EXPECT_THAT(dir.names(), ElementsAre("d"));
}

TEST(WriteFileAtomically, AMissingDirectoryIsReported) {
  EXPECT_EQ(error_of(write_file_atomically("/nowhere/f", "x", 0600)),
            "cannot create a file beside /nowhere/f: No such file or directory (ENOENT); nothing was changed");
}

TEST(WriteFileAtomically, AFullDiskLeavesTheOldContent) {
  const ScratchDirectory dir;
  dir.put("f", "old");
  FaultPlan plan{{.call = Call::write, .error = ENOSPC}};
  EXPECT_EQ(error_of(write_file_atomically(dir / "f", "new", 0600)),
            "cannot write " + dir / "f" + ": No space left on device (ENOSPC); nothing was changed");
  EXPECT_TRUE(plan.fired());
  EXPECT_EQ(dir.get("f"), "old");
  EXPECT_THAT(dir.names(), ElementsAre("f"));
}

TEST(WriteFileAtomically, WhicheverCallFailsThereIsTheOldContentOrTheNew) {
  const ScratchDirectory dir;
  for (unsigned n = 1;; ++n) {
    dir.put("f", "old");
    FaultPlan plan{{.nth = n, .error = EIO}};
    const auto written = write_file_atomically(dir / "f", "new", 0600, Sync::Yes);
    SCOPED_TRACE(plan.failed_call());
    EXPECT_THAT(dir.names(), ElementsAre("f"));
    if (written) {
      EXPECT_EQ(dir.get("f"), "new");
    } else if (written.error().message().ends_with("its new content is in place")) {
      EXPECT_EQ(dir.get("f"), "new");
    } else {
      EXPECT_THAT(written.error().message(), EndsWith("; nothing was changed"));
      EXPECT_EQ(dir.get("f"), "old");
    }
    if (!plan.fired()) break;
  }
}

TEST(WriteFileAtomically, ANameThatIsTakenIsDrawnAgain) {
  const ScratchDirectory dir;
  FaultPlan plan{{.call = Call::open, .error = EEXIST, .times = 3}};
  EXPECT_TRUE(write_file_atomically(dir / "f", "x", 0600));
  EXPECT_EQ(plan.calls(), 4U);
}

TEST(WriteFileAtomically, NamesThatAreAlwaysTakenEndInAnError) {
  const ScratchDirectory dir;
  FaultPlan plan{{.call = Call::open, .error = EEXIST, .times = 1000}};
  EXPECT_THAT(error_of(write_file_atomically(dir / "f", "x", 0600)), HasSubstr("(EEXIST)"));
  EXPECT_LT(plan.calls(), 100U);
}

// A full disk of our own, in namespaces of our own; answers with an exit code, because it runs in a forked copy of the test.
enum TinyDisk : int { Kept = 0, NotPermitted = 2, Lost = 3, Written = 4, Littered = 5 };

bool put_text(const char* path, const std::string& text) {
  const UniqueFd file{::open(path, O_WRONLY | O_CLOEXEC)};
  return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

TinyDisk replace_on_a_tiny_disk(const std::string& place, const ScratchDirectory& dir) {
  const std::string user = std::to_string(::geteuid());
  const std::string group = std::to_string(::getegid());
  if (user == "0") {
    if (::unshare(CLONE_NEWNS) != 0) return NotPermitted;
  } else {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return NotPermitted;
    if (!put_text("/proc/self/setgroups", "deny") || !put_text("/proc/self/uid_map", "0 " + user + " 1") ||
        !put_text("/proc/self/gid_map", "0 " + group + " 1")) {
      return NotPermitted;
    }
  }
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return NotPermitted;
  if (::mount("tmpfs", place.c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0) return NotPermitted;
  dir.put("disk/f", "old");
  const auto written = write_file_atomically(place + "/f", std::string(1'000'000, 'x'), 0600);
  if (written) return Written;
  if (written.error().code() != ENOSPC || dir.get("disk/f") != "old") return Lost;
  const auto entries = std::filesystem::directory_iterator{place};
  return std::distance(begin(entries), end(entries)) == 1 ? Kept : Littered;
}

TEST(WriteFileAtomically, OnAReallyFullDiskTheOldContentStays) {
  const ScratchDirectory dir;
  const std::string place = dir / "disk";
  ASSERT_EQ(::mkdir(place.c_str(), 0700), 0);
  const pid_t copy = ::fork();
  ASSERT_GE(copy, 0);
  if (copy == 0) ::_exit(replace_on_a_tiny_disk(place, dir));
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == NotPermitted) GTEST_SKIP() << "a private mount namespace is not permitted here";
  EXPECT_EQ(WEXITSTATUS(status), Kept);
}

TEST(WriteAll, ShortWritesAreContinued) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader{fds[0]};
  const UniqueFd writer{fds[1]};
  EXPECT_TRUE(write_all(writer.get(), "content"));
  char text[8]{};
  EXPECT_EQ(::read(reader.get(), text, 7), 7);
  EXPECT_STREQ(text, "content");
  // A pipe that is full takes a part and then nothing.
  EXPECT_EQ(error_of(write_all(writer.get(), std::string(10'000'000, 'x'), "the pipe")),
            "cannot write the pipe: Resource temporarily unavailable (EAGAIN)");
}

TEST(CheckDirectory, ADirectoryThatOnlyWeAndRootCanChangeIsSafe) {
  const ScratchDirectory dir;
  EXPECT_TRUE(check_directory_is_safe(dir.path()));
  EXPECT_TRUE(check_directory_is_safe("/"));
  ASSERT_EQ(::chmod(dir.path().c_str(), 01777), 0);
  EXPECT_TRUE(check_directory_is_safe(dir.path()));
  ASSERT_EQ(::chmod(dir.path().c_str(), 0775), 0);
  EXPECT_TRUE(check_directory_is_safe(dir.path())) << "the group is our own";
}

TEST(CheckDirectory, OneThatEverybodyMayChangeIsRefused) {
  const ScratchDirectory dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  EXPECT_EQ(
      error_of(check_directory_is_safe(dir.path())),
      "cannot use the directory " + dir.path() +
          ": every user may write in it and it has no sticky bit, so anybody could replace what we put there; take that "
          "right away with chmod o-w, or choose another directory");
}

TEST(CheckDirectory, OneThatAForeignGroupMayChangeIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory to a group that it is not in";
  const ScratchDirectory dir;
  ASSERT_EQ(::chown(dir.path().c_str(), 0, 12345), 0);
  EXPECT_TRUE(check_directory_is_safe(dir.path()));
  ASSERT_EQ(::chmod(dir.path().c_str(), 0770), 0);
  EXPECT_THAT(error_of(check_directory_is_safe(dir.path())), HasSubstr("the group with gid 12345 may write in it"));
}

TEST(CheckDirectory, OneOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  const ScratchDirectory dir;
  ASSERT_EQ(::chown(dir.path().c_str(), 12345, 12345), 0);
  EXPECT_THAT(error_of(check_directory_is_safe(dir.path())), HasSubstr("it belongs to the user with uid 12345"));
}

TEST(CheckDirectory, WhatIsNoDirectoryIsRefused) {
  const ScratchDirectory dir;
  dir.put("f", "");
  EXPECT_EQ(error_of(check_directory_is_safe(dir / "f")),
            "cannot use the directory " + dir / "f" + ": Not a directory (ENOTDIR)");
  EXPECT_EQ(error_of(check_directory_is_safe(dir / "missing")),
            "cannot use the directory " + dir / "missing" + ": No such file or directory (ENOENT)");
}

TEST(AbsolutePath, IsBelowTheCurrentDirectoryAndOtherwiseAsItWas) {
  const ScratchDirectory dir;
  const std::string before = absolute_path(".").value();
  ASSERT_EQ(::chdir(dir.path().c_str()), 0);
  EXPECT_EQ(absolute_path("f").value(), dir / "f");
  EXPECT_EQ(absolute_path("././/f").value(), dir / "f");
  EXPECT_EQ(absolute_path("../f").value(), dir / "../f") << "the kernel knows where .. leads";
  EXPECT_EQ(absolute_path("/a/../b").value(), "/a/../b");
  ASSERT_EQ(::chdir("/"), 0);
  EXPECT_EQ(absolute_path("f").value(), "/f");
  ASSERT_EQ(::chdir(before.c_str()), 0);
  EXPECT_EQ(error_of(absolute_path("")), "cannot make absolute \"\": the path is empty");
}

TEST(AbsolutePath, ADirectoryThatIsGoneHasNoPath) {
  const ScratchDirectory dir;
  const std::string before = absolute_path(".").value();
  ASSERT_EQ(::mkdir((dir / "gone").c_str(), 0700), 0);
  ASSERT_EQ(::chdir((dir / "gone").c_str()), 0);
  ASSERT_EQ(::rmdir((dir / "gone").c_str()), 0);
  EXPECT_EQ(error_of(absolute_path("f")), "cannot find the current directory for f: No such file or directory (ENOENT)");
  ASSERT_EQ(::chdir(before.c_str()), 0);
}

TEST(DirectoryOf, IsWhatStandsBeforeTheLastSlash) {
  EXPECT_EQ(directory_of("/run/x.pid"), "/run");
  EXPECT_EQ(directory_of("/x.pid"), "/");
  EXPECT_EQ(directory_of("x.pid"), ".");
}

}  // namespace
}  // namespace perdure::os
