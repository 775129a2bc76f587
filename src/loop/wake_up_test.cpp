#include "loop/wake_up.hpp"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <thread>

#include <gtest/gtest.h>

#include "loop/poller.hpp"
#include "os/fault_plan.hpp"

namespace perdure::loop {
namespace {

using os::Call;
using os::testing::FaultPlan;

TEST(WakeUp, SeveralBeforeADrainAreOne) {
  const WakeUp wake_up = WakeUp::open().value();
  EXPECT_FALSE(wake_up.drain());
  wake_up.wake();
  wake_up.wake();
  EXPECT_TRUE(wake_up.drain());
  EXPECT_FALSE(wake_up.drain());
}

TEST(WakeUp, AnotherThreadEndsAWait) {
  Poller poller = Poller::open().value();
  const WakeUp wake_up = WakeUp::open().value();
  ASSERT_TRUE(poller.add(wake_up.fd(), Interest::Read, 1));
  std::thread other{[&] { wake_up.wake(); }};
  std::array<Readiness, 1> ready;
  EXPECT_EQ(poller.wait(std::nullopt, ready).value(), 1U);
  other.join();
  EXPECT_TRUE(wake_up.drain());
}

const WakeUp* woken_by_signal = nullptr;

TEST(WakeUp, ASignalHandlerMayUseItAndErrnoIsKept) {
  const WakeUp wake_up = WakeUp::open().value();
  woken_by_signal = &wake_up;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { woken_by_signal->wake(); };
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  FaultPlan plan{{.call = Call::write, .error = EAGAIN}};
  errno = ENOENT;
  std::raise(SIGUSR1);
  EXPECT_EQ(errno, ENOENT);
  EXPECT_TRUE(plan.fired());
  std::raise(SIGUSR1);
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_TRUE(wake_up.drain());
}

TEST(WakeUp, AFullCounterNeitherBlocksNorLosesTheWakeUp) {
  const WakeUp wake_up = WakeUp::open().value();
  const std::uint64_t most = UINT64_MAX - 1;
  ASSERT_EQ(::write(wake_up.fd(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
  wake_up.wake();
  EXPECT_TRUE(wake_up.drain());
}

TEST(WakeUp, NoDescriptorLeftIsAnError) {
  FaultPlan plan{{.call = Call::eventfd, .error = EMFILE}};
  EXPECT_EQ(WakeUp::open().error().message(), "cannot create an eventfd: Too many open files (EMFILE)");
}

}  // namespace
}  // namespace perdure::loop
