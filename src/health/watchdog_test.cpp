#include "health/watchdog.hpp"

#include <gtest/gtest.h>

namespace perdure::health {
namespace {

using namespace std::chrono_literals;

constexpr Watchdog::TimePoint start{1h};

TEST(Watchdog, PingsAtHalfTheTimeout) {
  Watchdog watchdog{10s, start};
  EXPECT_EQ(watchdog.next_ping(), start);
  EXPECT_TRUE(watchdog.take_ping(start));
  EXPECT_EQ(watchdog.next_ping(), start + 5s);
  EXPECT_FALSE(watchdog.take_ping(start + 5s - 1ns));
  EXPECT_TRUE(watchdog.take_ping(start + 5s + 1ms));
  EXPECT_EQ(watchdog.next_ping(), start + 10s) << "small delays do not add up";
}

TEST(Watchdog, DoesNotMakeUpForASuspendedMachine) {
  Watchdog watchdog{10s, start};
  EXPECT_TRUE(watchdog.take_ping(start + 1h));
  EXPECT_EQ(watchdog.next_ping(), start + 1h + 5s);
  EXPECT_FALSE(watchdog.take_ping(start + 1h));
}

TEST(Watchdog, OneLateWorkerStopsThePingsAndIsNamed) {
  Heartbeat poll{4s, start};
  Heartbeat db{60s, start};
  Watchdog watchdog{10s, start};
  watchdog.watch("poll", poll);
  watchdog.watch("db", db);
  EXPECT_TRUE(watchdog.take_ping(start));
  EXPECT_TRUE(watchdog.late(start).empty());

  EXPECT_FALSE(watchdog.take_ping(start + 5s));
  const auto late = watchdog.late(start + 5s);
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].name, "poll");
  EXPECT_EQ(late[0].age, 5s);
}

TEST(Watchdog, AWorkerThatComesBackSavesUsBeforeTheTimeout) {
  Heartbeat poll{4s, start};
  Watchdog watchdog{10s, start};
  watchdog.watch("poll", poll);
  EXPECT_TRUE(watchdog.take_ping(start));
  EXPECT_FALSE(watchdog.take_ping(start + 5s));
  poll.beat(start + 6s);
  EXPECT_LT(watchdog.next_ping(), start + 10s);
  EXPECT_TRUE(watchdog.take_ping(watchdog.next_ping()));
}

TEST(Watchdog, AStuckWorkerGetsNoPingEver) {
  const Heartbeat poll{4s, start};
  Watchdog watchdog{10s, start};
  watchdog.watch("poll", poll);
  int pings = 0;
  for (auto now = start; now < start + 1h; now = watchdog.next_ping()) pings += watchdog.take_ping(now) ? 1 : 0;
  EXPECT_EQ(pings, 1) << "the one at the start, when it was not late yet";
}

TEST(Watchdog, WhoIsNoLongerWatchedIsNotWaitedFor) {
  const Heartbeat ended{4s, start};
  const Heartbeat other{1h, start};
  Watchdog watchdog{10s, start};
  watchdog.watch("ended", ended);
  watchdog.watch("other", other);
  EXPECT_FALSE(watchdog.take_ping(start + 5s));
  watchdog.unwatch(ended);
  EXPECT_TRUE(watchdog.late(start + 5s).empty());
  EXPECT_TRUE(watchdog.take_ping(watchdog.next_ping()));
}

TEST(Watchdog, AWorkerThatWaitsOnPurposeIsInTime) {
  Heartbeat poll{4s, start};
  poll.enter_wait();
  Watchdog watchdog{10s, start};
  watchdog.watch("poll", poll);
  EXPECT_TRUE(watchdog.take_ping(start + 5min));
}

}  // namespace
}  // namespace perdure::health
