// Processes that no signal ends, and more of them than anybody wants to hear of: the unit waits, and nobody else does.
#include <fcntl.h>
#include <linux/fuse.h>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::proc_status;
using ::testing::HasSubstr;

/// The other end of a FUSE file system: says hello, takes one question, and never answers it.
class SilentFileSystem {
 public:
  /// Takes over the descriptor of another process, which must be a descendant of ours.
  SilentFileSystem(pid_t pid, int number) {
    const perdure::UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    end_.reset(static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd.get(), number, 0)));
  }
  [[nodiscard]] bool is_open() const { return static_cast<bool>(end_); }
  bool greet() {
    fuse_in_header question{};
    if (!take(question) || question.opcode != FUSE_INIT) return false;
    struct {
      fuse_out_header header;
      fuse_init_out init;
    } answer{};
    answer.header = {sizeof answer, 0, question.unique};
    answer.init.major = FUSE_KERNEL_VERSION;
    answer.init.minor = FUSE_KERNEL_MINOR_VERSION;
    answer.init.max_write = 4096;
    return ::write(end_.get(), &answer, sizeof answer) == static_cast<ssize_t>(sizeof answer);
  }
  bool take(fuse_in_header& question) {
    pollfd ready{end_.get(), POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(perdure::testing::hang_limit.count())) <= 0) return false;
    char bytes[FUSE_MIN_READ_BUFFER];
    if (::read(end_.get(), bytes, sizeof bytes) < static_cast<ssize_t>(sizeof question)) return false;
    std::memcpy(&question, bytes, sizeof question);
    return true;
  }
  /// Whoever waits is told that nobody answers any more.
  void give_up() { end_.reset(); }

 private:
  perdure::UniqueFd end_{};
};

TEST(Stubborn, AProcessThatIsStuckInTheKernelKeepsItsUnitWaitingAndNobodyElse) {
  if (::geteuid() != 0 || ::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no file system can be mounted here";
  Instance instance{Owner::Ourselves, Parent::Test};
  std::filesystem::create_directory(instance.path("mount"));
  Service& stuck = instance.add("stuck.service", "stuck", instance.path("mount"), "TimeoutStopSec=200ms\nRestart=always\n");
  Service& other = instance.add("other.service", "idle");
  instance.start();
  ASSERT_TRUE(eventually([&] { return stuck.truth->rounds > 0 || instance.show(stuck.name).restarts > 0; }));
  if (stuck.truth->rounds == 0) GTEST_SKIP() << "FUSE cannot be mounted here";
  const pid_t pid = stuck.truth->life[0].pid;
  SilentFileSystem files{pid, static_cast<int>(stuck.truth->rounds)};
  ASSERT_TRUE(files.is_open());
  stuck.truth->is_calm = 1;
  ASSERT_TRUE(files.greet());
  fuse_in_header question{};
  ASSERT_TRUE(files.take(question));

  instance.ask({{"verb", "stop"}, {"units", {stuck.name}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return proc_status(pid, "State").starts_with("D"); })) << proc_status(pid, "State");
  EXPECT_TRUE(instance.wait_for_output("stuck.service: 1 process was killed with SIGKILL: ")) << instance.output();
  EXPECT_TRUE(instance.wait_for(stuck.name, "stop-sigkill"));
  EXPECT_THAT(instance.remarks(stuck.name), HasSubstr("its main process is stuck in the kernel (state D"));
  instance.ask({{"verb", "start"}, {"units", {stuck.name}}, {"wait", false}});
  EXPECT_EQ(instance.carry_out("restart", {other.name}), "done") << "others are served";
  EXPECT_EQ(instance.show(stuck.name).sub_state, "stop-sigkill");
  EXPECT_EQ(stuck.truth->lives, 1U) << "no second one beside it";

  stuck.truth->is_calm = 0;
  files.give_up();
  EXPECT_TRUE(eventually([&] { return stuck.truth->lives == 2U; })) << "the start that was asked for comes when it is gone";
  EXPECT_EQ(stuck.truth->duplicates, 0U);
  EXPECT_EQ(other.truth->lives, 2U);
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
}

TEST(Stubborn, AFloodOfOrphansIsReapedAndCountedAndOthersAreServed) {
  constexpr int orphans = 5000;
  Instance instance{Owner::Ourselves, Parent::Test};
  Service& parent = instance.add("parent.service", "orphans", std::to_string(orphans));
  Service& other = instance.add("other.service", "idle");
  instance.start();
  // What the keeper counts is told with its next message.
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(instance.carry_out("restart", {other.name}), "done");
    return instance.number("OrphansReaped") >= orphans;
  })) << instance.number("OrphansReaped");
  EXPECT_EQ(instance.show(parent.name).sub_state, "running");
  EXPECT_LT(instance.output().size(), 4096U) << "they are not told one by one\n" << instance.output();
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
}

}  // namespace
}  // namespace supervisor_test
