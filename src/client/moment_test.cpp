#include "client/moment.hpp"

#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::client {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t s = 1'000'000, min = 60 * s, h = 60 * min, day = 24 * h;
constexpr std::int64_t now = 1'763'700'010 * s + 250'000;  // 2025-11-21 04:40:10.25 UTC, a Friday
constexpr std::int64_t midnight = 1'763'683'200 * s;

/// Local time for one test.
class Zone {
 public:
  explicit Zone(const char* name) {
    if (const char* const before = std::getenv("TZ")) before_ = before;
    ::setenv("TZ", name, 1);
    ::tzset();
  }
  ~Zone() {
    before_ ? ::setenv("TZ", before_->c_str(), 1) : ::unsetenv("TZ");
    ::tzset();
  }
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

 private:
  std::optional<std::string> before_{};
};

std::int64_t moment(std::string_view text, const char* zone = "UTC") {
  const Zone local{zone};
  const auto found = parse_moment(text, now);
  return found ? *found : -1;
}

TEST(Moment, WordsMeanDaysOfTheLocalCalendar) {
  EXPECT_EQ(moment("now"), now);
  EXPECT_EQ(moment("today"), midnight);
  EXPECT_EQ(moment(" yesterday "), midnight - day);
  EXPECT_EQ(moment("tomorrow"), midnight + day);
  EXPECT_EQ(moment("today", "EST5"), midnight - day + 5 * h) << "there it is still Thursday";
}

TEST(Moment, DatesAndTimesAreLocalUnlessTheySayUtc) {
  EXPECT_EQ(moment("2025-11-21 04:40:10"), midnight + 4 * h + 40 * min + 10 * s);
  EXPECT_EQ(moment("2025-11-21 04:40:10.5"), midnight + 4 * h + 40 * min + 10 * s + 500'000);
  EXPECT_EQ(moment("2025-11-21T04:40"), midnight + 4 * h + 40 * min);
  EXPECT_EQ(moment("25-11-21"), midnight);
  EXPECT_EQ(moment("2025-11-21"), midnight);
  EXPECT_EQ(moment("3:05"), midnight + 3 * h + 5 * min);
  EXPECT_EQ(moment("2025-11-21 04:40:10", "EST5"), midnight + 9 * h + 40 * min + 10 * s);
  EXPECT_EQ(moment("2025-11-21 04:40:10 UTC", "EST5"), midnight + 4 * h + 40 * min + 10 * s);
  EXPECT_EQ(moment("Fri 2025-11-21 04:40:10"), midnight + 4 * h + 40 * min + 10 * s);
}

TEST(Moment, SpansAreCountedFromNow) {
  EXPECT_EQ(moment("-2h"), now - 2 * h);
  EXPECT_EQ(moment("2h ago"), now - 2 * h);
  EXPECT_EQ(moment("1h 30min ago"), now - h - 30 * min);
  EXPECT_EQ(moment("-1h30min"), now - h - 30 * min);
  EXPECT_EQ(moment("-2 days"), now - 2 * day);
  EXPECT_EQ(moment("-1.5h"), now - h - 30 * min);
  EXPECT_EQ(moment("-90"), now - 90 * s);
  EXPECT_EQ(moment("+5min"), now + 5 * min);
  EXPECT_EQ(moment("5min left"), now + 5 * min);
}

TEST(Moment, AtIsSecondsSince1970) {
  EXPECT_EQ(moment("@0"), 0);
  EXPECT_EQ(moment("@1763700010"), 1'763'700'010 * s);
  EXPECT_EQ(moment("@1763700010.25"), now);
}

TEST(Moment, WhatIsNoTimeIsRefusedWithWhatIsWanted) {
  for (const char* text : {"",
                           "soon",
                           "2025-02-31",
                           "2025-13-01",
                           "2025-11-21 24:00",
                           "2025-11-21 04",
                           "10",
                           "2h",
                           "-",
                           "-x",
                           "-2parsecs",
                           "@",
                           "@-1",
                           "@1.x",
                           "Mon 2025-11-21",
                           "Fri",
                           "2025-11-21 04:40 CET",
                           "1:2:3:4",
                           "-99999999999y",
                           "99:00",
                           " ago"}) {
    EXPECT_EQ(moment(text), -1) << text;
  }
  const auto refused = parse_moment("soon", now);
  EXPECT_THAT(refused.error().message(), HasSubstr("\"soon\" is no time; write \"2026-11-21 18:00:00\""));
}

}  // namespace
}  // namespace perdure::client
