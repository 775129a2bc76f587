// Compiled in a portable build only (tests/portable): the seam without Linux's own calls.
#include "os/posix.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>

#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/random.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

using testing::FaultPlan;

TEST(PosixSeam, NeverSignalsEverybody) {
  for (const pid_t everybody : {0, 1, -1}) {
    errno = 0;
    EXPECT_EQ(sys::kill(everybody, 0), -1) << everybody;
    EXPECT_EQ(errno, EINVAL) << everybody;
  }
  EXPECT_EQ(sys::kill(::getpid(), 0), 0);
}

TEST(PosixSeam, AChildIsSignalled) {
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  ASSERT_GT(child, 1);
  EXPECT_EQ(sys::kill(child, SIGKILL), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

TEST(PosixSeam, WaitsForADescriptorOrASignal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const UniqueFd from{ends[0]};
  UniqueFd to{ends[1]};
  sigset_t usr1, none, before;
  ::sigemptyset(&none);
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(sys::sigprocmask(SIG_BLOCK, &usr1, &before), 0);
  struct sigaction noticed {};
  noticed.sa_handler = [](int) {};
  ASSERT_EQ(sys::sigaction(SIGUSR1, &noticed, nullptr), 0);

  ::raise(SIGUSR1);  // pending until the wait lets it in
  EXPECT_EQ(sys::pselect(from.get(), &none), -1);
  EXPECT_EQ(errno, EINTR);
  to.reset();
  EXPECT_EQ(sys::pselect(from.get(), &none), 1) << "the end of the pipe is something to read";
  for (const int impossible : {-1, int{FD_SETSIZE}}) {
    EXPECT_EQ(sys::pselect(impossible, &none), -1);
    EXPECT_EQ(errno, EINVAL);
  }
  ASSERT_EQ(sys::sigprocmask(SIG_SETMASK, &before, nullptr), 0);
}

TEST(PosixSeam, ItsOwnCallsCanBeMadeToFail) {
  rlimit limit{};
  sigset_t none;
  ::sigemptyset(&none);
  FaultPlan plan{{.nth = 1, .error = ENOTRECOVERABLE, .times = 3}};
  EXPECT_EQ(sys::kill(::getpid(), 0), -1);
  EXPECT_EQ(sys::pselect(STDIN_FILENO, &none), -1);
  EXPECT_EQ(sys::getrlimit(RLIMIT_NOFILE, &limit), -1);
  EXPECT_EQ(errno, ENOTRECOVERABLE);
  EXPECT_EQ(plan.calls(), 3U);
}

TEST(PosixRandom, ComesFromTheKernelOrElseFromTheClock) {
  std::uint64_t number = 0;
  EXPECT_TRUE(kernel_random(number));
  std::set<std::uint64_t> numbers;
  for (int i = 0; i < 100; ++i) numbers.insert(random_number());
  EXPECT_EQ(numbers.size(), 100U);
  FaultPlan plan{{.call = Call::open, .error = ENOENT, .times = 100}};
  EXPECT_FALSE(kernel_random(number));
  EXPECT_NE(random_number(), random_number());
  EXPECT_TRUE(plan.fired());
}

}  // namespace
}  // namespace perdure::os
