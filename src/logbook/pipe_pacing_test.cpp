#include "logbook/pipe_pacing.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace perdure::logbook {
namespace {

using namespace std::chrono_literals;
using How = PipePacing::How;

constexpr base::Instant begin{1000s};

TEST(PipePacing, AnIdlePipeIsWatched) {
  PipePacing pacing;
  EXPECT_EQ(pacing.after_look(begin, 100).how, How::Watch);
  EXPECT_EQ(pacing.after_look(begin + 1s, 100).how, How::Watch);
  EXPECT_EQ(pacing.after_look(begin + 1s + PipePacing::busy_gap, 5000).how, How::Watch);
}

TEST(PipePacing, TwoLooksCloseTogetherMakeItBusyAndAnEmptyOneMakesItIdleAgain) {
  PipePacing pacing;
  (void)pacing.after_look(begin, 100);
  const auto next = pacing.after_look(begin + 100us, 100);
  ASSERT_EQ(next.how, How::Look);
  EXPECT_TRUE(pacing.is_busy());
  EXPECT_EQ(pacing.after_look(next.at, 0).how, How::Watch);
  EXPECT_FALSE(pacing.is_busy());
}

/// A pipe that gets `rate` bytes per microsecond, looked at as told; nothing is lost, the writer waits while it is full.
struct Flow {
  double rate;
  std::uint32_t capacity = pipe_bytes_default;
  base::Duration pause{};
  double part_found = 0;

  void run(PipePacing& pacing, int looks) {
    base::Instant now = begin;
    (void)pacing.after_look(now, 100);
    now += 50us;
    auto next = pacing.after_look(now, 100);
    for (int i = 0; i < looks && next.how == How::Look; ++i) {
      if (next.resize != 0) {
        capacity = next.resize;
        pacing.resized(capacity);
      }
      pause = next.at - now;
      now = next.at;
      const double came = std::min<double>(rate * static_cast<double>(pause.count()) / 1000, capacity);
      part_found = came / capacity;
      next = pacing.after_look(now, static_cast<std::uint64_t>(came));
    }
  }
};

TEST(PipePacing, ASteadyFlowIsFoundHavingFilledLessThanHalfOfThePipe) {
  for (const double rate : {20.0, 100.0, 300.0, 900.0}) {
    SCOPED_TRACE(rate);
    PipePacing pacing;
    Flow flow{.rate = rate};
    flow.run(pacing, 50);
    EXPECT_TRUE(pacing.is_busy());
    EXPECT_GT(flow.part_found, 0.2);
    EXPECT_LT(flow.part_found, 0.5);
  }
}

TEST(PipePacing, APauseHasBounds) {
  for (const double rate : {0.001, 0.1, 1.0, 5000.0}) {
    SCOPED_TRACE(rate);
    PipePacing pacing;
    Flow flow{.rate = rate};
    flow.run(pacing, 50);
    EXPECT_GE(flow.pause, PipePacing::pause_min);
    EXPECT_LE(flow.pause, PipePacing::pause_max);
  }
}

TEST(PipePacing, OnlyAPipeThatFillsFastIsMadeLarger) {
  for (const auto& [rate, capacity] : {std::pair{10.0, 64U << 10}, {120.0, 256U << 10}, {500.0, 1U << 20}}) {
    SCOPED_TRACE(rate);
    PipePacing pacing;
    Flow flow{.rate = rate};
    flow.run(pacing, 50);
    EXPECT_EQ(flow.capacity, capacity);
  }
}

TEST(PipePacing, ARefusedSizeIsNotAskedForAgain) {
  PipePacing pacing;
  EXPECT_EQ(pacing.after_block(begin).resize, pipe_bytes_max);
  pacing.resized(0);
  EXPECT_EQ(pacing.after_block(begin).resize, 0U);
}

TEST(PipePacing, ABlockedPipeIsTriedAfterPausesThatDouble) {
  PipePacing pacing;
  base::Instant now = begin;
  std::vector<base::Duration> pauses;
  for (int i = 0; i < 9; ++i) {
    const auto next = pacing.after_block(now);
    EXPECT_EQ(next.how, How::Look);
    pauses.push_back(next.at - now);
    now = next.at;
  }
  EXPECT_EQ(pauses, (std::vector<base::Duration>{100ms, 200ms, 400ms, 800ms, 1600ms, 3200ms, 5s, 5s, 5s}));
  EXPECT_EQ(pacing.after_look(now, 0).how, How::Watch);
}

}  // namespace
}  // namespace perdure::logbook
