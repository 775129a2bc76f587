#include "client/instance_lock.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"
#include "os/system.hpp"
#include "wire/keeper_message.hpp"

namespace perdure::client {
namespace {

using os::testing::ScratchDirectory;
using ::testing::HasSubstr;

std::string own_pid() { return std::to_string(::getpid()); }

TEST(InstanceLock, TheSecondOneLearnsWhoTheFirstIs) {
  const ScratchDirectory directory;
  const auto lock = take_instance_lock(directory / "lock");
  ASSERT_TRUE(lock) << lock.error().message();
  EXPECT_EQ(directory.get("lock"), own_pid() + "\n");
  const auto second = take_instance_lock(directory / "lock");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message(),
            "already running (pid " + own_pid() + "): " + directory / "lock" +
                " is locked; nothing was started; ask it with \"perdure status\", or run another one beside it with "
                "--runtime-dir");
}

TEST(InstanceLock, ALeftOverLockBlocksNobody) {
  const ScratchDirectory directory;
  directory.put("lock", "4000000\nand more text than a pid has\n");
  const auto lock = take_instance_lock(directory / "lock");
  ASSERT_TRUE(lock) << lock.error().message();
  EXPECT_EQ(directory.get("lock"), own_pid() + "\n");
}

TEST(InstanceLock, ALockThatIsNoFileIsLeftAlone) {
  const ScratchDirectory directory;
  ::symlink("target", (directory / "link").c_str());
  EXPECT_FALSE(take_instance_lock(directory / "link"));
  ::mkfifo((directory / "fifo").c_str(), 0600);
  const auto refused = take_instance_lock(directory / "fifo");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("it is no regular file"));
}

/// The places below a scratch directory, by their names in it.
struct DirectoryLocksTest : public ::testing::Test {
  Places places(const std::string& runtime, const std::string& state, const std::string& log) {
    for (const std::string& name : {runtime, state, log}) ::mkdir((directory / name).c_str(), 0700);
    return {.runtime = directory / runtime, .state = directory / state, .log = directory / log};
  }
  ScratchDirectory directory;
};

TEST_F(DirectoryLocksTest, AStateDirectoryBelongsToOneInstance) {
  const auto first = take_directory_locks(places("run1", "state", "log1"));
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(directory.get("state/lock"), own_pid() + "\n" + directory / "run1" + "\n");
  const auto second = take_directory_locks(places("run2", "state", "log2"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message(), "cannot start: the state directory " + directory / "state" +
                                          " is in use by the instance with runtime directory " + directory / "run1" +
                                          " (keeper PID " + own_pid() +
                                          "); use --state-dir=DIR to name another; nothing was started");
  EXPECT_EQ(directory.get("state/lock"), own_pid() + "\n" + directory / "run1" + "\n") << "it says whose it is, as before";
}

TEST_F(DirectoryLocksTest, ALogDirectoryBelongsToOneInstance) {
  const auto first = take_directory_locks(places("run1", "state1", "log"));
  ASSERT_TRUE(first) << first.error().message();
  const auto second = take_directory_locks(places("run2", "state2", "log"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message(), "cannot start: the log directory " + directory / "log" +
                                          " is in use by the instance with runtime directory " + directory / "run1" +
                                          " (keeper PID " + own_pid() +
                                          "); use --log-dir=DIR to name another; nothing was started");
  EXPECT_TRUE(take_directory_locks(places("run2", "state2", "log2"))) << "who is refused leaves nothing locked";
}

TEST_F(DirectoryLocksTest, OneDirectoryForEverythingIsLockedOnce) {
  const Places all = places("all", "all", "all");
  const auto lock = take_instance_lock(all.lock());
  ASSERT_TRUE(lock);
  ::symlink("all", (directory / "link").c_str());
  for (const Places& same : {all, Places{.runtime = all.runtime, .state = directory / "link", .log = all.runtime + "/."}}) {
    const auto others = take_directory_locks(same);
    ASSERT_TRUE(others) << others.error().message();
    EXPECT_FALSE(others->state);
    EXPECT_FALSE(others->log);
  }
  const auto shared = take_directory_locks(places("run", "both", "both"));
  ASSERT_TRUE(shared) << shared.error().message();
  EXPECT_TRUE(shared->state);
  EXPECT_FALSE(shared->log);
}

/// A child that stops itself, with `path` open where a keeper has its lock.
class StoppedKeeper {
 public:
  explicit StoppedKeeper(const std::string& path) : pid_(::fork()) {
    if (pid_ == 0) {
      ::dup2(::open(path.c_str(), O_RDWR), wire::keeper::instance_lock_fd);
      ::raise(SIGSTOP);
      ::_exit(7);
    }
    ::waitpid(pid_, nullptr, WUNTRACED);
  }
  ~StoppedKeeper() {
    os::sys::pidfd_send_signal(pidfd_.get(), SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  StoppedKeeper(const StoppedKeeper&) = delete;
  StoppedKeeper& operator=(const StoppedKeeper&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Whether it goes on, and so ends.
  [[nodiscard]] bool goes_on(int within_ms) const {
    pollfd end{pidfd_.get(), POLLIN, 0};
    return os::sys::poll(&end, 1, within_ms) == 1;
  }

 private:
  pid_t pid_;
  UniqueFd pidfd_{os::sys::pidfd_open(pid_, 0)};
};

TEST(InstanceLock, AKeeperIsWokenWhereItHasTheLockOpen) {
  const ScratchDirectory directory;
  directory.put("lock", "");
  const StoppedKeeper keeper{directory / "lock"};
  directory.put("lock", std::to_string(keeper.pid()) + "\n");
  EXPECT_TRUE(wake_keeper(directory / "lock"));
  EXPECT_TRUE(keeper.goes_on(30'000));
}

TEST(InstanceLock, WhoIsNotProvedToBeTheKeeperGetsNoSignal) {
  const ScratchDirectory directory;
  directory.put("other", "");
  const StoppedKeeper stranger{directory / "other"};
  for (const std::string& text : {std::to_string(stranger.pid()) + "\n", std::string{"0\n"}, std::string{"-1\n"},
                                  std::string{"1\n"}, std::string{"4000000\n"}, std::string{"x"}, std::string{}}) {
    directory.put("lock", text);
    EXPECT_FALSE(wake_keeper(directory / "lock")) << text;
  }
  EXPECT_FALSE(wake_keeper(directory / "none"));
  EXPECT_FALSE(stranger.goes_on(50));
}

}  // namespace
}  // namespace perdure::client
