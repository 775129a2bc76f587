#include "loop/timers.hpp"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::loop {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

const Instant start{};

TEST(Timers, TheEarliestDeadlineIsNext) {
  Timers timers;
  EXPECT_EQ(timers.next(), std::nullopt);
  timers.arm(1, start + 3s);
  timers.arm(2, start + 1s);
  EXPECT_EQ(timers.next(), start + 1s);
}

TEST(Timers, ThoseDueComeByDeadlineThenByOrderOfArming) {
  Timers timers;
  timers.arm(5, start + 2s);
  timers.arm(9, start + 1s);
  timers.arm(3, start + 2s);
  timers.arm(1, start + 2s);
  timers.arm(7, start + 3s);
  EXPECT_THAT(timers.take_due(start + 2s), ElementsAre(9U, 5U, 3U, 1U));
  EXPECT_THAT(timers.take_due(start + 2s), ElementsAre());
  EXPECT_EQ(timers.next(), start + 3s);
}

TEST(Timers, ADeadlineIsDueAtItsInstantAndNotBefore) {
  Timers timers;
  timers.arm(1, start + 1s);
  EXPECT_THAT(timers.take_due(start + 1s - 1ns), ElementsAre());
  EXPECT_THAT(timers.take_due(start + 1s), ElementsAre(1U));
}

TEST(Timers, ArmingAgainReplacesAndGoesToTheEnd) {
  Timers timers;
  timers.arm(1, start + 1s);
  timers.arm(2, start + 1s);
  timers.arm(1, start + 1s);
  EXPECT_EQ(timers.size(), 2U);
  EXPECT_THAT(timers.take_due(start + 1s), ElementsAre(2U, 1U));
}

TEST(Timers, WhatIsDisarmedNeverComesDue) {
  Timers timers;
  timers.arm(1, start + 1s);
  timers.arm(2, start + 1s);
  timers.disarm(1);
  timers.disarm(42);
  EXPECT_FALSE(timers.is_armed(1));
  EXPECT_TRUE(timers.is_armed(2));
  EXPECT_THAT(timers.take_due(Instant::max()), ElementsAre(2U));
  EXPECT_FALSE(timers.is_armed(2));
  EXPECT_EQ(timers.next(), std::nullopt);
}

}  // namespace
}  // namespace perdure::loop
