#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/portable_testing.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace atom::async {
namespace {

using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::TempDir;
using perdure::testing::write_file;
using testing::HasSubstr;

/// Runs `body` in a forked child that ends through exit(3) with its result.
int in_a_child(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) std::exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string own_pid_line() { return std::to_string(::getpid()) + "\n"; }

struct CompatPidFile : testing::Test {
  TempDir dir;
  std::string path = dir / "service.pid";
};

TEST_F(CompatPidFile, IsTrueRightAfterItWasWritten) {
  const int code = in_a_child([&] {
    if (checkPidFile(path)) return 1;
    writePidFile(path);
    if (!checkPidFile(path)) return 2;
    if (read_file(path) != own_pid_line()) return 3;
    writePidFile(path);  // once more is no mistake
    return checkPidFile(path) && read_file(path) == own_pid_line() ? 0 : 4;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(CompatPidFile, IsRemovedAtExitAndLeftByACrash) {
  EXPECT_EQ(in_a_child([&] { return writePidFile(path), checkPidFile(path) ? 0 : 1; }), 0);
  EXPECT_FALSE(std::filesystem::exists(path));

  EXPECT_EQ(in_a_child([&] { return writePidFile(path), ::raise(SIGKILL); }), 128 + SIGKILL);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_FALSE(checkPidFile(path));
  EXPECT_EQ(in_a_child([&] { return writePidFile(path), checkPidFile(path) ? 0 : 1; }), 0) << "a stale file is no obstacle";
}

TEST_F(CompatPidFile, WhatHoldsNoRunningInstanceIsFalse) {
  EXPECT_FALSE(checkPidFile(path)) << "missing";
  const pid_t ended = ::fork();
  if (ended == 0) ::_exit(0);
  ::waitpid(ended, nullptr, 0);
  const std::string pid = std::to_string(::getpid());
  for (const std::string& content :
       {std::string{}, std::string{"\n"}, std::string{"abc"}, std::string{"-5"}, std::string{"0"}, "+" + pid, " " + pid,
        pid + "x", pid + "\n\n", "0x" + pid, std::string{"99999999999999999999999"}, std::string{"4294967297"},
        std::string(1 << 16, '1'), std::string("\0\0\0", 3), std::to_string(ended), std::string{"1\n2\n"}}) {
    write_file(path, content);
    EXPECT_FALSE(checkPidFile(path)) << "content: " << content.substr(0, 40);
  }
  write_file(path, pid);
  EXPECT_TRUE(checkPidFile(path)) << "the newline may be missing";
}

TEST_F(CompatPidFile, WhatIsNoRegularFileIsFalse) {
  std::filesystem::create_directory(dir / "directory");
  EXPECT_FALSE(checkPidFile(dir / "directory"));
  ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(checkPidFile(dir / "fifo"));
  write_file(dir / "real.pid", own_pid_line());
  std::filesystem::create_symlink(dir / "real.pid", dir / "link.pid");
  EXPECT_FALSE(checkPidFile(dir / "link.pid"));
  EXPECT_FALSE(checkPidFile(""));
}

TEST_F(CompatPidFile, AnotherProgramsPidIsFalse) {
  PERDURE_SKIP_IF_PORTABLE("POSIX has no way to ask which file a process runs");
  const Process stranger{{"sleep", "60"}};
  write_file(path, std::to_string(stranger.pid()) + "\n");
  EXPECT_TRUE(perdure::testing::eventually([&] { return !checkPidFile(path); }));
}

TEST_F(CompatPidFile, AnotherProcessOfThisProgramIsTrue) {
  write_file(path, std::to_string(::getppid()) + "\n");
  const std::string parent = own_pid_line();
  EXPECT_EQ(in_a_child([&] { return write_file(path, parent), checkPidFile(path) ? 0 : 1; }), 0);
}

TEST_F(CompatPidFile, AFailureIsAWarningAndNothingElse) {
  write_file(dir / "file", "");
  testing::internal::CaptureStderr();
  EXPECT_NO_THROW(writePidFile(dir / "file/service.pid"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::AllOf(HasSubstr("warning: cannot "), HasSubstr("(ENOTDIR)"), HasSubstr("goes on without")));

  write_file(dir / "real.pid", "keep me");
  std::filesystem::create_symlink(dir / "real.pid", dir / "link.pid");
  testing::internal::CaptureStderr();
  writePidFile(dir / "link.pid");
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("warning: "));
  EXPECT_EQ(read_file(dir / "real.pid"), "keep me");
}

/// An open file with the lock, as another instance would hold it.
perdure::UniqueFd locked(const std::string& path) {
  perdure::UniqueFd file{::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) file.reset();
  return file;
}

TEST_F(CompatPidFile, ARunningInstancesFileIsNotTakenOver) {
  write_file(path, "1\n");
  const auto other = locked(path);
  ASSERT_TRUE(other);
  testing::internal::CaptureStderr();
  writePidFile(path);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("warning: "));
  EXPECT_EQ(read_file(path), "1\n");
}

TEST_F(CompatPidFile, StaysLockedWhileTheWriterLives) {
  EXPECT_EQ(in_a_child([&] { return writePidFile(path), locked(path) ? 1 : 0; }), 0);
}

TEST_F(CompatPidFile, TheModeDoesNotDependOnTheUmask) {
  EXPECT_EQ(in_a_child([&] {
              ::umask(0);
              writePidFile(dir / "made/for/it/service.pid");
              struct stat file {
              }, directory{};
              if (::stat((dir / "made/for/it/service.pid").c_str(), &file) != 0) return 1;
              if (::stat((dir / "made/for/it").c_str(), &directory) != 0) return 2;
              return (file.st_mode & 0777) == 0644 && (directory.st_mode & 0777) == 0755 ? 0 : 3;
            }),
            0);
}

TEST_F(CompatPidFile, TheDefaultIsNamedAfterTheProgram) {
  PERDURE_SKIP_IF_PORTABLE("the name is what the guard was started with");
  const DaemonGuard guard;
  const std::string name = std::string{"/"} + program_invocation_short_name + ".pid";
  EXPECT_THAT(guard.getPidFilePath(), testing::EndsWith(name));
  if (::geteuid() == 0) {
    EXPECT_EQ(guard.getPidFilePath(), "/run" + name);
  } else {
    EXPECT_EQ(in_a_child([&] { return ::unsetenv("XDG_RUNTIME_DIR"), guard.getPidFilePath() == "/tmp" + name ? 0 : 1; }), 0);
    EXPECT_EQ(in_a_child([&] {
                ::setenv("XDG_RUNTIME_DIR", dir.path().c_str(), 1);
                return guard.getPidFilePath() == dir.path() + name ? 0 : 1;
              }),
              0);
  }
}

#ifdef PERDURE_TESTS_OF_PORTABLE
TEST_F(CompatPidFile, TheDefaultOfAPortableBuildHasTheNameOfTheStart) {
  EXPECT_EQ(in_a_child([&] {
              DaemonGuard guard;
              if (!guard.getPidFilePath().ends_with("/daemon.pid")) return 1;
              for (const char* name : {"/opt/thermod", "other"}) {  // the first one counts: the file must not move
                char* arguments[] = {const_cast<char*>(name), nullptr};
                guard.realStart(1, arguments, [](int, char**) { return 0; });
                if (!guard.getPidFilePath().ends_with("/thermod.pid")) return 2;
              }
              return 0;
            }),
            0);
}
#endif

TEST_F(CompatPidFile, AGuardsPathIsWhatTheFreeFunctionsMean) {
  EXPECT_EQ(in_a_child([&] {
              DaemonGuard guard;
              std::filesystem::current_path(dir.path());
              guard.setPidFilePath("relative.pid");
              std::filesystem::current_path("/");
              if (guard.getPidFilePath() != dir / "relative.pid") return 1;
              writePidFile();
              return checkPidFile() && read_file(dir / "relative.pid") == own_pid_line() ? 0 : 2;
            }),
            0);
}

}  // namespace
}  // namespace atom::async
