#include "perdure/heartbeat.hpp"

#include <thread>

#include <gtest/gtest.h>

namespace perdure {
namespace {

using namespace std::chrono_literals;

constexpr Heartbeat::TimePoint start{1h};

TEST(Heartbeat, CreationCountsAsABeat) {
  const Heartbeat beat{10s, start};
  EXPECT_EQ(beat.age(start), 0ns);
  EXPECT_FALSE(beat.is_late(start + 10s));
  EXPECT_TRUE(beat.is_late(start + 10s + 1ns));
}

TEST(Heartbeat, EachBeatStartsTheDeadlineAfresh) {
  Heartbeat beat{10s, start};
  beat.beat(start + 8s);
  EXPECT_FALSE(beat.is_late(start + 18s));
  EXPECT_EQ(beat.age(start + 18s), 10s);
}

TEST(Heartbeat, WaitingOnPurposeIsAliveHoweverLong) {
  Heartbeat beat{10s, start};
  beat.enter_wait();
  EXPECT_EQ(beat.age(start + 24h), 0ns);
  EXPECT_FALSE(beat.is_late(start + 24h));
}

TEST(Heartbeat, TheEndOfAWaitCountsAsABeat) {
  Heartbeat beat{10s, start};
  beat.enter_wait();
  beat.leave_wait(start + 24h);
  EXPECT_FALSE(beat.is_late(start + 24h + 10s));
  EXPECT_TRUE(beat.is_late(start + 24h + 11s));
}

TEST(Heartbeat, AWatcherOnAnotherThreadNeverSeesTheEndOfAWaitAsLate) {
  Heartbeat beat{10s, start};
  std::jthread worker{[&beat](std::stop_token stop) {
    while (!stop.stop_requested()) {
      beat.enter_wait();
      beat.leave_wait(start + 24h);
    }
  }};
  beat.enter_wait();
  beat.leave_wait(start + 24h);
  for (int i = 0; i < 100'000; ++i) ASSERT_FALSE(beat.is_late(start + 24h));
}

}  // namespace
}  // namespace perdure
