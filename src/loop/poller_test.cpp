#include "loop/poller.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/clock.hpp"
#include "os/fault_plan.hpp"

namespace perdure::loop {
namespace {

using namespace std::chrono_literals;
using os::Call;
using os::testing::FaultPlan;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

struct Pipe {
  Pipe() {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    reader.reset(fds[0]);
    writer.reset(fds[1]);
  }
  void fill() const { EXPECT_EQ(::write(writer.get(), "x", 1), 1); }
  UniqueFd reader;
  UniqueFd writer;
};

const Instant at_once{};

std::vector<Token> readable(Poller& poller, std::optional<Instant> deadline = at_once) {
  std::array<Readiness, batch_max> ready;
  const std::size_t count = poller.wait(deadline, ready).value();
  std::vector<Token> tokens;
  for (const Readiness& fact : std::span{ready}.first(count)) {
    if (fact.readable) tokens.push_back(fact.token);
  }
  return tokens;
}

TEST(Poller, WhatIsReadyComesInOneBatchUnderItsToken) {
  Poller poller = Poller::open().value();
  const Pipe a;
  const Pipe b;
  const Pipe quiet;
  ASSERT_TRUE(poller.add(a.reader.get(), Interest::Read, 7));
  ASSERT_TRUE(poller.add(b.reader.get(), Interest::Read, std::numeric_limits<Token>::max()));
  ASSERT_TRUE(poller.add(quiet.reader.get(), Interest::Read, 9));
  a.fill();
  b.fill();
  EXPECT_THAT(readable(poller, std::nullopt), UnorderedElementsAre(7U, std::numeric_limits<Token>::max()));
  EXPECT_EQ(readable(poller).size(), 2U) << "what is not dealt with is told again";
}

TEST(Poller, ABatchIsNoLargerThanItsSpaceAndLosesNothing) {
  Poller poller = Poller::open().value();
  const Pipe pipes[3];
  for (Token token = 0; token < 3; ++token) {
    ASSERT_TRUE(poller.add(pipes[token].reader.get(), Interest::Read, token));
    pipes[token].fill();
  }
  std::array<Readiness, 2> ready;
  EXPECT_EQ(poller.wait(at_once, ready).value(), 2U);
  for (const Readiness& fact : ready) ASSERT_TRUE(poller.remove(pipes[fact.token].reader.get()));
  EXPECT_EQ(poller.wait(at_once, ready).value(), 1U);
}

TEST(Poller, OnlyWhatWasAskedForIsTold) {
  Poller poller = Poller::open().value();
  const Pipe pipe;
  std::array<Readiness, 4> ready;
  ASSERT_TRUE(poller.add(pipe.writer.get(), Interest::Write, 1));
  ASSERT_EQ(poller.wait(at_once, ready).value(), 1U);
  EXPECT_TRUE(ready[0].writable);
  EXPECT_FALSE(ready[0].readable);
  ASSERT_TRUE(poller.modify(pipe.writer.get(), Interest::None, 2));
  EXPECT_EQ(poller.wait(at_once, ready).value(), 0U);
  ASSERT_TRUE(poller.modify(pipe.writer.get(), Interest::ReadAndWrite, 3));
  ASSERT_EQ(poller.wait(at_once, ready).value(), 1U);
  EXPECT_EQ(ready[0].token, 3U);
  ASSERT_TRUE(poller.remove(pipe.writer.get()));
  EXPECT_EQ(poller.wait(at_once, ready).value(), 0U);
}

TEST(Poller, AHangUpIsAlwaysTold) {
  Poller poller = Poller::open().value();
  Pipe pipe;
  ASSERT_TRUE(poller.add(pipe.reader.get(), Interest::None, 1));
  pipe.writer.reset();
  std::array<Readiness, 1> ready;
  ASSERT_EQ(poller.wait(std::nullopt, ready).value(), 1U);
  EXPECT_TRUE(ready[0].broken);
  EXPECT_FALSE(ready[0].readable);
}

TEST(Poller, NothingIsToldBeforeTheDeadlineAndTheWaitDoesNotSpin) {
  Poller poller = Poller::open().value();
  FaultPlan plan{{.call = Call::epoll_wait, .nth = 0}};
  const Instant deadline = os::monotonic_now() + 1'500us;
  EXPECT_THAT(readable(poller, deadline), ElementsAre());
  EXPECT_GE(os::monotonic_now(), deadline);
  EXPECT_LE(plan.calls(), 2U);
}

TEST(Poller, ADeadlineInThePastStillCollectsWhatIsThere) {
  Poller poller = Poller::open().value();
  const Pipe pipe;
  ASSERT_TRUE(poller.add(pipe.reader.get(), Interest::Read, 1));
  pipe.fill();
  EXPECT_THAT(readable(poller, Instant::min()), ElementsAre(1U));
}

TEST(Poller, AnInterruptionIsAnEmptyBatch) {
  Poller poller = Poller::open().value();
  FaultPlan plan{{.call = Call::epoll_wait, .error = EINTR}};
  EXPECT_THAT(readable(poller, std::nullopt), ElementsAre());
  EXPECT_TRUE(plan.fired());
}

TEST(Poller, FailuresNameTheDescriptor) {
  Poller poller = Poller::open().value();
  const Pipe pipe;
  const std::string number = std::to_string(pipe.reader.get());
  ASSERT_TRUE(poller.add(pipe.reader.get(), Interest::Read, 1));
  EXPECT_EQ(poller.add(pipe.reader.get(), Interest::Read, 2).error().message(),
            "cannot wait for descriptor " + number + ": File exists (EEXIST)");
  ASSERT_TRUE(poller.remove(pipe.reader.get()));
  EXPECT_EQ(poller.remove(pipe.reader.get()).error().code(), ENOENT);
  EXPECT_EQ(poller.modify(pipe.reader.get(), Interest::Read, 1).error().code(), ENOENT);
  EXPECT_EQ(poller.add(-1, Interest::Read, 1).error().code(), EBADF);
}

TEST(Poller, ARegularFileIsRefusedBecauseItIsAlwaysReady) {
  Poller poller = Poller::open().value();
  const UniqueFd file{::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(file);
  EXPECT_EQ(poller.add(file.get(), Interest::Read, 1).error().code(), EPERM);
}

TEST(Poller, FailuresOfTheKernelAreReported) {
  {
    FaultPlan plan{{.call = Call::epoll_create1, .error = EMFILE}};
    EXPECT_EQ(Poller::open().error().message(), "cannot create an epoll set: Too many open files (EMFILE)");
  }
  Poller poller = Poller::open().value();
  FaultPlan plan{{.call = Call::epoll_wait, .error = EBADF}};
  std::array<Readiness, 1> ready;
  EXPECT_EQ(poller.wait(at_once, ready).error().code(), EBADF);
}

TEST(TimeoutMs, IsRoundedUpAndNeverOverflows) {
  const Instant now = Instant{} + 1h;
  EXPECT_EQ(timeout_ms(std::nullopt, now), -1);
  EXPECT_EQ(timeout_ms(now, now), 0);
  EXPECT_EQ(timeout_ms(now - 1ns, now), 0);
  EXPECT_EQ(timeout_ms(now + 1ns, now), 1);
  EXPECT_EQ(timeout_ms(now + 1ms, now), 1);
  EXPECT_EQ(timeout_ms(now + 1ms + 1ns, now), 2);
  EXPECT_EQ(timeout_ms(Instant::max(), now), std::numeric_limits<int>::max());
  EXPECT_EQ(timeout_ms(Instant::max(), Instant::min()), std::numeric_limits<int>::max());
  EXPECT_EQ(timeout_ms(Instant::min(), Instant::max()), 0);
}

}  // namespace
}  // namespace perdure::loop
