#include "os/system.hpp"

#include <sys/epoll.h>
#include <unistd.h>

#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

using testing::FaultPlan;

TEST(Seam, EveryCallHasANameOfItsOwn) {
  std::set<std::string> names;
  for (int i = 0; i < static_cast<int>(Call::count_); ++i) names.insert(call_name(static_cast<Call>(i)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Call::count_));
  EXPECT_STREQ(call_name(Call::open), "open");
  EXPECT_STREQ(call_name(Call::close_range), "close_range");
  EXPECT_STREQ(call_name(Call::getrandom), "getrandom");
  EXPECT_STREQ(call_name(Call::count_), "?");
}

TEST(Seam, EveryCallCanBeMadeToFailWithoutHappening) {
  struct Attempt {
    Call call;
    std::function<long()> make;
  };
  const std::vector<Attempt> attempts = {
      {Call::open, [] { return sys::open("/", O_RDONLY); }},
      {Call::openat, [] { return sys::openat(AT_FDCWD, "/", O_RDONLY); }},
      {Call::read, [] { return sys::read(-1, nullptr, 0); }},
      {Call::write, [] { return sys::write(-1, nullptr, 0); }},
      {Call::pread, [] { return sys::pread(-1, nullptr, 0, 0); }},
      {Call::readv, [] { return sys::readv(-1, nullptr, 0); }},
      {Call::writev, [] { return sys::writev(-1, nullptr, 0); }},
      {Call::lseek, [] { return sys::lseek(-1, 0, SEEK_SET); }},
      {Call::ftruncate, [] { return sys::ftruncate(-1, 0); }},
      {Call::futimens, [] { return sys::futimens(-1, nullptr); }},
      {Call::fsync, [] { return sys::fsync(-1); }},
      {Call::stat, [] { return sys::stat("/", nullptr); }},
      {Call::lstat, [] { return sys::lstat("/", nullptr); }},
      {Call::fstat, [] { return sys::fstat(-1, nullptr); }},
      {Call::fchmod, [] { return sys::fchmod(-1, 0); }},
      {Call::fchown, [] { return sys::fchown(-1, 0, 0); }},
      {Call::mkdir, [] { return sys::mkdir("/", 0); }},
      {Call::rmdir, [] { return sys::rmdir("/"); }},
      {Call::unlink, [] { return sys::unlink("/"); }},
      {Call::rename, [] { return sys::rename("/", "/"); }},
      {Call::link, [] { return sys::link("/", "/"); }},
      {Call::readlink, [] { return sys::readlink("/", nullptr, 0); }},
      {Call::access, [] { return sys::access("/", F_OK); }},
      {Call::statvfs, [] { return sys::statvfs("/", nullptr); }},
      {Call::chdir, [] { return sys::chdir("/"); }},
      {Call::dup2, [] { return sys::dup2(-1, -1); }},
      {Call::dup3, [] { return sys::dup3(-1, -1, 0); }},
      {Call::fcntl, [] { return sys::fcntl(-1, F_GETFD); }},
      {Call::flock, [] { return sys::flock(-1, 0); }},
      {Call::pipe2, [] { return sys::pipe2(nullptr, 0); }},
      {Call::close_range, [] { return sys::close_range(3, ~0U, 0); }},
      {Call::opendir, [] { return sys::opendir("/") == nullptr ? -1L : 0L; }},
      {Call::socket, [] { return sys::socket(0, 0, 0); }},
      {Call::bind, [] { return sys::bind(-1, nullptr, 0); }},
      {Call::listen, [] { return sys::listen(-1, 0); }},
      {Call::accept4, [] { return sys::accept4(-1, nullptr, nullptr, 0); }},
      {Call::connect, [] { return sys::connect(-1, nullptr, 0); }},
      {Call::shutdown, [] { return sys::shutdown(-1, 0); }},
      {Call::getsockopt, [] { return sys::getsockopt(-1, 0, 0, nullptr, nullptr); }},
      {Call::setsockopt, [] { return sys::setsockopt(-1, 0, 0, nullptr, 0); }},
      {Call::sendto, [] { return sys::sendto(-1, nullptr, 0, 0, nullptr, 0); }},
      {Call::sendmsg, [] { return sys::sendmsg(-1, nullptr, 0); }},
      {Call::recv, [] { return sys::recv(-1, nullptr, 0, 0); }},
      {Call::recvmsg, [] { return sys::recvmsg(-1, nullptr, 0); }},
      {Call::socketpair, [] { return sys::socketpair(0, 0, 0, nullptr); }},
      {Call::epoll_create1, [] { return sys::epoll_create1(0); }},
      {Call::epoll_ctl, [] { return sys::epoll_ctl(-1, 0, -1, nullptr); }},
      {Call::epoll_wait, [] { return sys::epoll_wait(-1, nullptr, 1, 0); }},
      {Call::poll, [] { return sys::poll(nullptr, 0, 0); }},
      {Call::ppoll, [] { return sys::ppoll(nullptr, 0, nullptr, nullptr); }},
      {Call::eventfd, [] { return sys::eventfd(0, 0); }},
      {Call::signalfd, [] { return sys::signalfd(-1, nullptr, 0); }},
      {Call::sigaction, [] { return sys::sigaction(SIGTERM, nullptr, nullptr); }},
      {Call::sigprocmask, [] { return sys::sigprocmask(SIG_BLOCK, nullptr, nullptr); }},
      {Call::sigtimedwait, [] { return sys::sigtimedwait(nullptr, nullptr, nullptr); }},
      {Call::prctl, [] { return sys::prctl(0, 0); }},
      {Call::prlimit, [] { return sys::prlimit(RLIMIT_CORE, nullptr, nullptr); }},
      {Call::setitimer, [] { return sys::setitimer(ITIMER_REAL, {}); }},
      {Call::ioprio_get, [] { return sys::ioprio_get(0); }},
      {Call::fork, [] { return sys::fork(); }},
      {Call::setsid, [] { return sys::setsid(); }},
      {Call::setpgid, [] { return sys::setpgid(0, 0); }},
      {Call::waitid, [] { return sys::waitid(P_ALL, 0, nullptr, 0); }},
      {Call::pidfd_open, [] { return sys::pidfd_open(::getpid(), 0); }},
      {Call::pidfd_send_signal, [] { return sys::pidfd_send_signal(0, SIGKILL); }},
      {Call::clock_gettime, [] { return sys::clock_gettime(CLOCK_MONOTONIC, nullptr); }},
      {Call::getrandom, [] { return sys::getrandom(nullptr, 0, 0); }},
      {Call::pwrite, [] { return sys::pwrite(-1, nullptr, 0, 0); }},
      {Call::splice, [] { return sys::splice(-1, -1, 0, 0); }},
      {Call::tee, [] { return sys::tee(-1, -1, 0, 0); }},
      {Call::open_by_handle_at, [] { return sys::open_by_handle_at(-1, nullptr, 0); }},
      {Call::ioctl, [] { return sys::ioctl(-1, 0, nullptr); }},
      {Call::openat2, [] { return sys::openat2(-1, "x", O_RDONLY, 0, 0); }},
      {Call::fchownat, [] { return sys::fchownat(-1, "x", 0, 0, 0); }},
      {Call::readlinkat, [] { return sys::readlinkat(-1, "x", nullptr, 0); }},
      {Call::symlinkat, [] { return sys::symlinkat("x", -1, "x"); }},
      {Call::fstatat, [] { return sys::fstatat(-1, "x", nullptr, 0); }},
      {Call::mkdirat, [] { return sys::mkdirat(-1, "x", 0700); }},
      {Call::unlinkat, [] { return sys::unlinkat(-1, "x", 0); }},
      {Call::fdopendir, [] { return sys::fdopendir(-1) == nullptr ? -1L : 0L; }},
      {Call::epoll_pwait2, [] { return sys::epoll_pwait2(-1, nullptr, 1, nullptr); }},
      {Call::inotify_init1, [] { return sys::inotify_init1(0); }},
      {Call::inotify_add_watch, [] { return sys::inotify_add_watch(-1, "x", 0); }},
      {Call::inotify_rm_watch, [] { return sys::inotify_rm_watch(-1, 0); }},
      {Call::memfd_create, [] { return sys::memfd_create("x", 0); }},
      {Call::execveat, [] { return sys::execveat(-1, nullptr, nullptr); }},
      {Call::execve, [] { return sys::execve("/", nullptr, nullptr); }},
      {Call::chroot, [] { return sys::chroot("/"); }},
      {Call::mount, [] { return sys::mount("x", "/", "x", 0); }},
      {Call::unshare, [] { return sys::unshare(0); }},
      {Call::setgroups, [] { return sys::setgroups(0, nullptr); }},
      {Call::setresgid, [] { return sys::setresgid(0, 0, 0); }},
      {Call::setresuid, [] { return sys::setresuid(0, 0, 0); }},
      {Call::setuid, [] { return sys::setuid(0); }},
      {Call::capget, [] { return sys::capget(nullptr); }},
      {Call::capset, [] { return sys::capset({}); }},
      {Call::landlock_create_ruleset, [] { return sys::landlock_create_ruleset(nullptr, 0, 0); }},
      {Call::landlock_add_rule, [] { return sys::landlock_add_rule(-1, 0, nullptr); }},
      {Call::landlock_restrict_self, [] { return sys::landlock_restrict_self(-1); }},
      {Call::seccomp, [] { return sys::seccomp(0, 0, nullptr); }},
  };
  for (const Attempt& attempt : attempts) {
    SCOPED_TRACE(call_name(attempt.call));
    FaultPlan plan{{.call = attempt.call, .error = ENOTRECOVERABLE}};
    errno = 0;
    EXPECT_EQ(attempt.make(), -1);
    EXPECT_EQ(errno, ENOTRECOVERABLE);
    EXPECT_TRUE(plan.fired());
    EXPECT_STREQ(plan.failed_call(), call_name(attempt.call));
  }
  // close (it happens nevertheless), umask (it cannot fail) and clone (made by process/spawn) are not in the table, nor are kill
  // and pselect (portable builds only).
  EXPECT_EQ(attempts.size() + 5, static_cast<std::size_t>(Call::count_));
}

TEST(Seam, OnlyTheNthCallFails) {
  FaultPlan plan{{.call = Call::access, .nth = 2, .error = EACCES}};
  EXPECT_EQ(sys::access("/", F_OK), 0);
  EXPECT_FALSE(plan.fired());
  EXPECT_EQ(sys::access("/", F_OK), -1);
  EXPECT_TRUE(plan.fired());
  EXPECT_EQ(sys::access("/", F_OK), 0);
  EXPECT_EQ(plan.calls(), 3U);
}

TEST(Seam, SeveralInARowAndAnyKindCanFail) {
  FaultPlan plan{{.nth = 2, .error = EPERM, .times = 2}};
  EXPECT_EQ(sys::access("/", F_OK), 0);
  EXPECT_EQ(sys::chdir("/nowhere"), -1);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(sys::access("/", F_OK), -1);
  EXPECT_EQ(sys::access("/", F_OK), 0);
}

TEST(Seam, APlanThatOnlyCountsLetsEverythingHappen) {
  FaultPlan plan{{.call = Call::access, .nth = 0}};
  EXPECT_EQ(sys::access("/", F_OK), 0);
  EXPECT_EQ(plan.calls(), 1U);
  EXPECT_FALSE(plan.fired());
}

TEST(Seam, CallsOfAllThreadsAreCounted) {
  constexpr unsigned each = 1000;
  FaultPlan plan{{.call = Call::access, .nth = each}};
  const auto look = [] {
    for (unsigned i = 0; i < each; ++i) sys::access("/", F_OK);
  };
  std::thread other{look};
  look();
  other.join();
  EXPECT_EQ(plan.calls(), 2 * each);
  EXPECT_TRUE(plan.fired());
}

TEST(Seam, TheHookIsGoneWithItsPlan) {
  { const FaultPlan plan{{.call = Call::access, .times = 1000}}; }
  EXPECT_EQ(sys::access("/", F_OK), 0);
  EXPECT_EQ(set_fault_hook(nullptr), nullptr);
}

TEST(Seam, AnInterruptedCallIsRepeatedWhereTheHeaderSaysSo) {
  int fds[2];
  ASSERT_EQ(sys::pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd reader{fds[0]};
  const UniqueFd writer{fds[1]};
  ASSERT_EQ(sys::write(writer.get(), "x", 1), 1);
  {
    FaultPlan plan{{.call = Call::read, .error = EINTR, .times = 3}};
    char byte = 0;
    EXPECT_EQ(sys::read(reader.get(), &byte, 1), 1);
    EXPECT_EQ(plan.calls(), 4U);
  }
  FaultPlan plan{{.call = Call::poll, .error = EINTR}};
  EXPECT_EQ(sys::poll(nullptr, 0, 0), -1);
  EXPECT_EQ(errno, EINTR);
}

TEST(Seam, AFailedCloseHasClosed) {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  FaultPlan plan{{.call = Call::close, .error = EIO}};
  EXPECT_EQ(sys::close(fd), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST(Seam, ANumberThatIsNoProcessNeverReachesTheKernel) {
  for (const pid_t pid : {0, -1, -4242}) {
    errno = 0;
    EXPECT_EQ(sys::pidfd_open(pid, 0), -1);
    EXPECT_EQ(errno, EINVAL);
  }
  errno = 0;
  EXPECT_EQ(sys::pidfd_send_signal(-1, SIGKILL), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Seam, AProcessCanBeSignalledByItsPidfd) {
  const UniqueFd self{sys::pidfd_open(::getpid(), 0)};
  ASSERT_TRUE(self);
  EXPECT_EQ(sys::pidfd_send_signal(self.get(), 0), 0);
}

TEST(Seam, TheSignalMaskFailsThroughErrno) {
  sigset_t set;
  ::sigemptyset(&set);
  errno = 0;
  EXPECT_EQ(sys::sigprocmask(4242, &set, nullptr), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST(Seam, DescriptorsAreClosedByRange) {
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(sys::close_range(static_cast<unsigned>(fd), static_cast<unsigned>(fd), 0), 0);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST(UniqueFd, ClosesOnceAndKeepsErrno) {
  UniqueFd fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(fd);
  const int number = fd.get();
  FaultPlan plan{{.call = Call::close, .error = EIO}};
  errno = ENOSPC;
  fd.reset();
  EXPECT_EQ(errno, ENOSPC);
  EXPECT_FALSE(fd);
  EXPECT_EQ(::fcntl(number, F_GETFD), -1);
  fd.reset();
  EXPECT_EQ(plan.calls(), 1U);
}

TEST(UniqueFd, MovesItsDescriptorAndClosesTheOneItHeld) {
  UniqueFd a{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  UniqueFd b{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const int number_a = a.get();
  const int number_b = b.get();
  b = std::move(a);
  EXPECT_EQ(b.get(), number_a);
  EXPECT_EQ(::fcntl(number_b, F_GETFD), -1);
  EXPECT_NE(::fcntl(number_a, F_GETFD), -1);
  const UniqueFd owner{b.release()};
  EXPECT_FALSE(b);
}

TEST(UniqueFd, TakingWhatItHoldsKeepsItOpen) {
  UniqueFd fd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  fd.reset(fd.get());
  EXPECT_NE(::fcntl(fd.get(), F_GETFD), -1);
}

}  // namespace
}  // namespace perdure::os
