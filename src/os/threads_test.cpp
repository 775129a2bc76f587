#include "os/threads.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/clock.hpp"
#include "os/fault_plan.hpp"
#include "os/random.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

using testing::FaultPlan;
using ::testing::IsEmpty;

// A thread named "reader" that waits in read(2) until it is destroyed.
class WaitingThread {
 public:
  WaitingThread() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    reader_.reset(fds[0]);
    writer_.reset(fds[1]);
    thread_ = std::thread{[this] {
      ::pthread_setname_np(::pthread_self(), "reader");
      id_ = static_cast<pid_t>(::syscall(SYS_gettid));
      char byte;
      static_cast<void>(!::read(reader_.get(), &byte, 1));
    }};
    while (id_ == 0) std::this_thread::yield();
  }
  ~WaitingThread() {
    writer_.reset();
    thread_.join();
  }
  [[nodiscard]] pid_t id() const { return id_; }

 private:
  UniqueFd reader_;
  UniqueFd writer_;
  std::atomic<pid_t> id_{0};
  std::thread thread_;
};

TEST(Threads, AreListedWithTheirNames) {
  const WaitingThread waiting;
  std::string name;
  bool caller_is_there = false;
  for (const ThreadEntry& thread : threads()) {
    if (thread.id == waiting.id()) name = thread.name;
    if (thread.id == ::getpid()) caller_is_there = true;
  }
  EXPECT_EQ(name, "reader");
  EXPECT_TRUE(caller_is_there);
}

TEST(Threads, TheSystemCallOfAWaitingOneIsNamed) {
  const WaitingThread waiting;
  const Instant end = monotonic_now() + std::chrono::seconds{30};
  std::string call;
  while ((call = current_system_call(waiting.id())).empty() && monotonic_now() < end) {
    if (::access("/proc/self/syscall", R_OK) != 0) GTEST_SKIP() << "this kernel does not tell system calls";
    ::poll(nullptr, 0, 5);
  }
  EXPECT_EQ(call, "read");
}

TEST(Threads, WithoutProcTheAnswersAreEmpty) {
  FaultPlan plan{{.error = EACCES, .times = 1000}};
  EXPECT_THAT(threads(), IsEmpty());
  EXPECT_EQ(current_system_call(::getpid()), "");
}

TEST(Threads, AThreadThatIsGoneHasNoSystemCall) { EXPECT_EQ(current_system_call(-1), ""); }

TEST(Threads, AThreadListOutlivesNamesThatCannotBeRead) {
  FaultPlan plan{{.call = Call::open, .error = EMFILE, .times = 1000}};
  const auto found = threads();
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(found.front().name, "");
}

TEST(SystemCallName, KnowsTheCommonOnes) {
  EXPECT_EQ(system_call_name(SYS_futex), "futex");
  EXPECT_EQ(system_call_name(SYS_ppoll), "ppoll");
  EXPECT_EQ(system_call_name(1'000'000), "");
}

TEST(Clock, IsThatOfTheStandardLibrary) {
  const Instant before{std::chrono::steady_clock::now()};
  const Instant now = monotonic_now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, Instant{std::chrono::steady_clock::now()});
  EXPECT_GT(wall_now().time_since_epoch(), std::chrono::hours{24 * 365 * 50});
}

TEST(Clock, HasATimeEvenWhenTheCallFails) {
  const Instant before{std::chrono::steady_clock::now()};
  FaultPlan plan{{.call = Call::clock_gettime, .times = 1000}};
  EXPECT_LE(before, monotonic_now());
  EXPECT_TRUE(plan.fired());
}

TEST(Random, NumbersDifferAndFractionsStayInRange) {
  std::set<std::uint64_t> numbers;
  for (int i = 0; i < 1000; ++i) {
    numbers.insert(random_number());
    const double fraction = random_fraction();
    EXPECT_GE(fraction, 0.0);
    EXPECT_LT(fraction, 1.0);
  }
  EXPECT_EQ(numbers.size(), 1000U);
  EXPECT_EQ(random_name().size(), 16U);
  EXPECT_NE(random_name(), random_name());
}

TEST(Random, WithoutTheKernelsNumbersTheClocksAreUsed) {
  FaultPlan plan{{.call = Call::getrandom, .error = ENOSYS, .times = 1000}};
  EXPECT_NE(random_number(), random_number());
  EXPECT_TRUE(plan.fired());
}

}  // namespace
}  // namespace perdure::os
