#include "perdure/pid_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>

#include "os/fault_plan.hpp"
#include "perdure/exit_code.hpp"
#include "process/test_program.hpp"

namespace perdure {
namespace {

using namespace process::test;
using ::testing::HasSubstr;
using ::testing::StartsWith;

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

std::string own_content() { return std::to_string(::getpid()) + "\n"; }

/// A process that holds the lock until it is killed or told to end.
class OtherInstance {
 public:
  explicit OtherInstance(const std::string& path) {
    int ready[2], end[2];
    if (::pipe2(ready, O_CLOEXEC) != 0 || ::pipe2(end, O_CLOEXEC) != 0) std::abort();
    pid_ = in_child([&] {
      ::close(end[1]);
      auto file = PidFile::acquire(path);
      if (!file || !file->write()) return 1;
      char byte = 'x';
      if (::write(ready[1], &byte, 1) != 1) return 2;
      return ::read(end[0], &byte, 1) == 0 ? 0 : 3;
    });
    ::close(ready[1]);
    ::close(end[0]);
    char byte = 0;
    is_ready_ = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
    end_ = UniqueFd{end[1]};
    pidfd_ = UniqueFd{os::sys::pidfd_open(pid_, 0)};
  }
  ~OtherInstance() { end(); }
  bool is_ready() const { return is_ready_; }
  pid_t pid() const { return pid_; }
  void crash() {
    os::sys::pidfd_send_signal(pidfd_.get(), SIGKILL);
    wait_for(std::exchange(pid_, 0));
  }
  void end() {
    end_.reset();
    if (pid_ != 0) wait_for(std::exchange(pid_, 0));
  }

 private:
  pid_t pid_ = 0;
  bool is_ready_ = false;
  UniqueFd end_, pidfd_;
};

TEST(PidFile, HoldsTheNumberOfTheProcessThatWroteIt) {
  const TempDir dir;
  auto file = PidFile::acquire(dir / "d.pid");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(read_file(dir / "d.pid"), "");
  ASSERT_TRUE(file->write());
  EXPECT_EQ(read_file(dir / "d.pid"), own_content());
  EXPECT_TRUE(PidFile::is_locked(dir / "d.pid"));
  EXPECT_EQ(PidFile::holder(dir / "d.pid"), ::getpid());
}

TEST(PidFile, IsRemovedByItsOwnerAndLeavesNothingBeside) {
  const TempDir dir;
  {
    auto file = PidFile::acquire(dir / "d.pid");
    ASSERT_TRUE(file && file->write());
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  EXPECT_FALSE(PidFile::is_locked(dir / "d.pid"));
}

TEST(PidFile, HasItsModeWhateverTheUmask) {
  const TempDir dir;
  for (const mode_t mask : {0000U, 0077U, 0777U}) {
    const mode_t before = ::umask(mask);
    {
      auto file = PidFile::acquire(dir / "d.pid");
      ASSERT_TRUE(file) << file.error().message();
      EXPECT_EQ(mode_of(dir / "d.pid"), 0644U);
      ASSERT_TRUE(file->write());
      EXPECT_EQ(mode_of(dir / "d.pid"), 0644U);
    }
    ::umask(before);
  }
}

TEST(PidFile, ARelativePathMeansTheDirectoryOfTheMoment) {
  const TempDir dir;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  auto file = PidFile::acquire("d.pid");
  std::filesystem::current_path("/");
  ASSERT_TRUE(file && file->write());
  EXPECT_EQ(file->path(), std::filesystem::canonical(dir.path()).string() + "/d.pid");
  EXPECT_EQ(read_file(dir / "d.pid"), own_content());
  std::filesystem::current_path(before);
}

TEST(PidFile, ASecondInstanceIsRefusedAndToldWhoRuns) {
  const TempDir dir;
  const std::string path = dir / "d.pid";
  OtherInstance other{path};
  ASSERT_TRUE(other.is_ready());
  auto second = PidFile::acquire(path);
  ASSERT_FALSE(second);
  EXPECT_TRUE(second.error().is_already_running());
  EXPECT_EQ(second.error().holder(), other.pid());
  EXPECT_EQ(second.error().exit_code(), exit_already_running);
  EXPECT_EQ(second.error().message(), "cannot lock " + path + ": another instance runs as pid " +
                                          std::to_string(other.pid()) + " (EWOULDBLOCK); nothing was started");
  EXPECT_EQ(read_file(path), std::to_string(other.pid()) + "\n");
}

TEST(PidFile, ARefusalNamesNoPidThatIsOnlyLeftFromBefore) {
  const TempDir dir;
  const pid_t gone = in_child([] { return 0; });
  wait_for(gone);
  write_file(dir / "d.pid", std::to_string(gone) + "\n");
  auto first = PidFile::acquire(dir / "d.pid");  // has not written yet
  ASSERT_TRUE(first);
  auto second = PidFile::acquire(dir / "d.pid");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().holder(), std::nullopt);
  EXPECT_THAT(second.error().message(), HasSubstr(": another instance runs (EWOULDBLOCK); nothing was started"));
}

TEST(PidFile, IsFreeAtOnceWhenItsHolderIsKilled) {
  const TempDir dir;
  OtherInstance other{dir / "d.pid"};
  ASSERT_TRUE(other.is_ready());
  other.crash();
  EXPECT_FALSE(PidFile::is_locked(dir / "d.pid"));
  EXPECT_EQ(PidFile::holder(dir / "d.pid"), std::nullopt);
  EXPECT_TRUE(PidFile::acquire(dir / "d.pid"));
}

TEST(PidFile, AStaleFileNeverBlocksAStart) {
  const TempDir dir;
  const std::vector<std::string> contents = {"",
                                             "abc",
                                             "-5\n",
                                             "0\n",
                                             "99999999999999999999\n",
                                             std::string(100'000, '7'),
                                             std::string{"1\0002\n", 4},
                                             std::to_string(::getppid()) + "\n",
                                             "1\n"};
  for (const std::string& content : contents) {
    write_file(dir / "d.pid", content);
    EXPECT_EQ(PidFile::holder(dir / "d.pid"), std::nullopt);
    auto file = PidFile::acquire(dir / "d.pid");
    ASSERT_TRUE(file) << file.error().message();
    ASSERT_TRUE(file->write());
    EXPECT_EQ(read_file(dir / "d.pid"), own_content());
  }
}

TEST(PidFile, GarbageWrittenByAHolderIsNoPid) {
  const TempDir dir;
  for (const char* content :
       {"", "\n", "abc\n", "0\n", "-1\n", "+1\n", " 1\n", "1", "1 \n", "11111111111111111111111111111111\n"}) {
    write_file(dir / "d.pid", content);
    const UniqueFd lock{::open((dir / "d.pid").c_str(), O_RDONLY | O_CLOEXEC)};
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    EXPECT_TRUE(PidFile::is_locked(dir / "d.pid"));
    EXPECT_EQ(PidFile::holder(dir / "d.pid"), std::nullopt) << content;
  }
}

TEST(PidFile, RefusesEverythingThatIsNoFileOfItsOwn) {
  const TempDir dir;
  write_file(dir / "precious", "keep me");
  const std::string path = dir / "d.pid";
  const auto refusal = [&] {
    auto file = PidFile::acquire(path);
    EXPECT_FALSE(PidFile::is_locked(path));
    EXPECT_EQ(PidFile::holder(path), std::nullopt);
    const std::string message = file ? "" : file.error().message();
    EXPECT_TRUE(!file && !file.error().is_already_running());
    ::unlink(path.c_str());
    return message;
  };
  std::filesystem::create_symlink(dir / "precious", path);
  EXPECT_EQ(refusal(), "cannot lock " + path + ": it is a symbolic link; nothing was started");
  std::filesystem::create_symlink(dir / "nowhere", path);
  EXPECT_EQ(refusal(), "cannot lock " + path + ": it is a symbolic link; nothing was started");
  EXPECT_FALSE(std::filesystem::exists(dir / "nowhere"));
  ASSERT_EQ(::mkfifo(path.c_str(), 0644), 0);
  EXPECT_EQ(refusal(), "cannot lock " + path + ": it is not a regular file; nothing was started");
  std::filesystem::create_hard_link(dir / "precious", path);
  EXPECT_EQ(refusal(), "cannot lock " + path + ": it has a second name (hard link); nothing was started");
  std::filesystem::create_directory(path);
  EXPECT_EQ(refusal(), "cannot lock " + path + ": it is a directory; nothing was started");
  EXPECT_EQ(read_file(dir / "precious"), "keep me");
}

TEST(PidFile, RefusesAFileOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const TempDir dir;
  write_file(dir / "d.pid", "");
  ASSERT_EQ(::chown((dir / "d.pid").c_str(), 12345, 12345), 0);
  auto file = PidFile::acquire(dir / "d.pid");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().exit_code(), exit_rights);
  EXPECT_THAT(file.error().message(), HasSubstr("it belongs to the user with the number 12345"));
}

TEST(PidFile, RefusesADirectoryWhereEverybodyMayReplaceIt) {
  const TempDir dir;
  ASSERT_EQ(::chmod(dir.path().c_str(), 0777), 0);
  auto refused = PidFile::acquire(dir / "d.pid");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("everybody may replace files in " + dir.path()));
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  ASSERT_EQ(::chmod(dir.path().c_str(), 01777), 0);
  EXPECT_TRUE(PidFile::acquire(dir / "d.pid"));
}

TEST(PidFile, SaysWhatIsWrongWithImpossiblePaths) {
  const TempDir dir;
  const auto message = [](const std::string& path) { return PidFile::acquire(path).error().message(); };
  EXPECT_EQ(message(""), "cannot lock a PID file without a name; nothing was started");
  EXPECT_EQ(message(dir / "no/d.pid"), "cannot look at the directory of " + dir / "no/d.pid" +
                                           ": No such file or directory (ENOENT); nothing was started");
  EXPECT_THAT(message(dir / std::string(300, 'x')), HasSubstr("File name too long (ENAMETOOLONG)"));
  EXPECT_THAT(message(dir / std::string("a\0b", 3)), HasSubstr("contains a NUL"));
}

TEST(PidFile, SharedLocksOfReadersDoNotStopAStart) {
  const TempDir dir;
  write_file(dir / "d.pid", "");
  UniqueFd reader{::open((dir / "d.pid").c_str(), O_RDONLY | O_CLOEXEC)};
  ASSERT_EQ(::flock(reader.get(), LOCK_SH), 0);
  std::thread soon{[&] {
    std::this_thread::yield();
    reader.reset();
  }};
  auto file = PidFile::acquire(dir / "d.pid");
  soon.join();
  EXPECT_TRUE(file) << file.error().message();
}

TEST(PidFile, AForkedProcessNeitherRemovesNorUnlocksIt) {
  const TempDir dir;
  auto file = PidFile::acquire(dir / "d.pid");
  ASSERT_TRUE(file && file->write());
  wait_for(in_child([&] {
    file->remove();
    return 0;
  }));
  EXPECT_EQ(read_file(dir / "d.pid"), own_content());
  EXPECT_TRUE(PidFile::is_locked(dir / "d.pid"));
}

TEST(PidFile, TheLockPassesToAForkedProcessThatWrites) {
  const TempDir dir;
  int gate[2];
  ASSERT_EQ(::pipe2(gate, O_CLOEXEC), 0);
  auto file = PidFile::acquire(dir / "d.pid");
  ASSERT_TRUE(file);
  const pid_t daemon = in_child([&] {
    ::close(gate[1]);
    if (!file->write()) return 1;
    char byte;
    const bool told = ::read(gate[0], &byte, 1) == 0;
    file->remove();
    return told ? 0 : 2;
  });
  ASSERT_TRUE(eventually([&] { return read_file(dir / "d.pid") == std::to_string(daemon) + "\n"; }));
  file->abandon();
  EXPECT_EQ(PidFile::holder(dir / "d.pid"), daemon);
  ::close(gate[1]);
  EXPECT_EQ(wait_for(daemon).text(), "exited with 0");
  ::close(gate[0]);
  EXPECT_FALSE(std::filesystem::exists(dir / "d.pid"));
}

TEST(PidFile, WriteRefusesToReplaceAFileThatIsNoLongerOurs) {
  const TempDir dir;
  auto first = PidFile::acquire(dir / "d.pid");
  ASSERT_TRUE(first);
  std::filesystem::remove(dir / "d.pid");
  auto second = PidFile::acquire(dir / "d.pid");
  ASSERT_TRUE(second && second->write());
  const auto refused = first->write();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("removed or replaced"));
  first->remove();
  EXPECT_EQ(PidFile::holder(dir / "d.pid"), ::getpid());
}

TEST(PidFile, AReaderNeverSeesPartialContent) {
  const TempDir dir;
  const std::string path = dir / "d.pid";
  auto file = PidFile::acquire(path);
  ASSERT_TRUE(file && file->write());
  int stop[2];
  ASSERT_EQ(::pipe2(stop, O_CLOEXEC | O_NONBLOCK), 0);
  const pid_t reader = in_child([&] {
    ::close(stop[1]);
    char byte;
    while (::read(stop[0], &byte, 1) != 0) {
      const std::string text = read_file(path);
      const bool is_complete =
          text.size() > 1 && text.find_first_not_of("0123456789") == text.size() - 1 && text.back() == '\n';
      if (!is_complete) return 1;
      if (!PidFile::is_locked(path)) return 2;
    }
    return 0;
  });
  for (int round = 0; round < 2000; ++round) ASSERT_TRUE(file->write());
  ::close(stop[1]);
  EXPECT_EQ(wait_for(reader).text(), "exited with 0");
  ::close(stop[0]);
}

TEST(PidFile, OfManyParallelStartsExactlyOneWins) {
  constexpr int rounds = 20, contenders = 200;
  const TempDir dir;
  for (int round = 0; round < rounds; ++round) {
    const std::string path = dir / "d.pid";
    if (round % 2 == 1) write_file(path, "4711\n");
    int start[2], finish[2], results[2];
    ASSERT_TRUE(::pipe2(start, O_CLOEXEC) == 0 && ::pipe2(finish, O_CLOEXEC) == 0 && ::pipe2(results, O_CLOEXEC) == 0);
    std::vector<pid_t> pids;
    for (int i = 0; i < contenders; ++i) {
      pids.push_back(in_child([&] {
        ::close(start[1]);
        ::close(finish[1]);
        char byte;
        static_cast<void>(::read(start[0], &byte, 1));
        auto file = PidFile::acquire(path);
        const bool won = file && file->write();
        byte = won ? 'w' : !file && file.error().is_already_running() ? 'l' : 'e';
        if (::write(results[1], &byte, 1) != 1) return 1;
        static_cast<void>(::read(finish[0], &byte, 1));  // winners hold it until all have tried
        return 0;
      }));
    }
    for (const int fd : {start[0], start[1], finish[0], results[1]}) ::close(fd);
    std::string outcome;
    for (char byte; outcome.size() < contenders && ::read(results[0], &byte, 1) == 1;) outcome += byte;
    EXPECT_EQ(std::count(outcome.begin(), outcome.end(), 'w'), 1) << "round " << round;
    EXPECT_EQ(std::count(outcome.begin(), outcome.end(), 'l'), contenders - 1) << "round " << round;
    ::close(finish[1]);
    ::close(results[0]);
    for (const pid_t pid : pids) wait_for(pid);
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

TEST(PidFile, EveryCallThatFailsIsToldAndLeavesNothingOpenOrLocked) {
  using os::testing::FaultPlan;
  const TempDir dir;
  const std::string path = dir / "d.pid";
  for (unsigned n = 1; n < 100; ++n) {
    SCOPED_TRACE(n);
    const auto fds = open_fds();
    bool fired = false;
    {
      FaultPlan plan{{.nth = n, .error = EIO}};
      auto file = PidFile::acquire(path);
      if (!file) {
        EXPECT_THAT(file.error().message(), StartsWith("cannot "));
        EXPECT_FALSE(file.error().is_already_running());
      } else if (const auto written = file->write(); !written) {
        EXPECT_THAT(written.error().message(), StartsWith("cannot "));
      } else {
        EXPECT_EQ(read_file(path), own_content());
      }
      fired = plan.fired();
      if (file) file->remove();
    }
    EXPECT_EQ(open_fds(), fds);
    EXPECT_FALSE(PidFile::is_locked(path));
    for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) EXPECT_EQ(entry.path().string(), path);
    ::unlink(path.c_str());
    if (!fired) return;
  }
  FAIL() << "the plan never ended";
}

TEST(PidFile, ASuccessorIsNamedBeforeItOwnsTheFileAndTheLockIsNeverFree) {
  const TempDir dir;
  const std::string path = dir / "d.pid";
  auto ours = PidFile::acquire(path);
  ASSERT_TRUE(ours && ours->write());
  ASSERT_TRUE(ours->write_for(1));  // some process that lives
  EXPECT_EQ(read_file(path), "1\n");
  {
    auto theirs = PidFile::handed_over(path, UniqueFd{::dup(ours->fd())});
    theirs.remove();
    EXPECT_TRUE(std::filesystem::exists(path)) << "it is not the owner yet";
  }
  EXPECT_TRUE(PidFile::is_locked(path));
  auto theirs = PidFile::handed_over(path, UniqueFd{::dup(ours->fd())});
  ours->abandon();
  theirs.adopt();
  EXPECT_TRUE(PidFile::is_locked(path)) << "its copy keeps the lock";
  theirs.remove();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace perdure
