#include "logbook/rotation_schedule.hpp"

#include <time.h>

#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "logbook/logbook_testing.hpp"

namespace perdure::logbook {
namespace {

using namespace std::chrono_literals;
using Time = RotationSchedule::Time;

/// Local time is that of `zone` for its lifetime: rules and not names, so that no table on the machine is needed (tzset(3)).
class Zone {
 public:
  explicit Zone(const char* zone) : variable_(std::in_place, "TZ", zone) { ::tzset(); }
  ~Zone() {
    variable_.reset();
    ::tzset();
  }
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

 private:
  std::optional<testing::Variable> variable_;
};

constexpr const char* berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
constexpr const char* havana = "CST5CDT,M3.2.0/0,M11.1.0/1";  // the clock goes from 00:00 to 01:00: that day has no midnight
constexpr const char* lord_howe = "LHST-10:30LHDT-11,M10.1.0,M4.1.0";  // half an hour forward and back

Time utc(int year, int month, int day, int hour, int minute = 0, int second = 0) {
  tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  return std::chrono::system_clock::from_time_t(::timegm(&parts));
}

Time end_of(RotateEvery every, Time within) { return RotationSchedule{every, within}.end(); }

TEST(RotationSchedule, ADayEndsAtLocalMidnight) {
  const Zone zone{berlin};
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 1, 15, 12)), utc(2026, 1, 15, 23));
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 1, 15, 22, 59, 59) + 999ms), utc(2026, 1, 15, 23));
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 1, 15, 23)), utc(2026, 1, 16, 23)) << "midnight belongs to the new day";
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2025, 12, 31, 12)), utc(2025, 12, 31, 23));
}

TEST(RotationSchedule, ADayHas23Or25HoursWhenTheClockChanges) {
  const Zone zone{berlin};
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 3, 28, 23)), utc(2026, 3, 28, 23) + 23h);
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 10, 24, 22)), utc(2026, 10, 24, 22) + 25h);
}

TEST(RotationSchedule, ADayWithoutAMidnightBeginsWhenTheDateChanges) {
  const Zone zone{havana};
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 3, 7, 12)), utc(2026, 3, 8, 5)) << "01:00 there";
  EXPECT_EQ(end_of(RotateEvery::Day, utc(2026, 3, 8, 5)), utc(2026, 3, 9, 4));
}

TEST(RotationSchedule, AnHourEndsWhenTheClockSaysSo) {
  const Zone zone{"IST-5:30"};
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 1, 15, 12)), utc(2026, 1, 15, 12, 30));
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 1, 15, 12, 30)), utc(2026, 1, 15, 13, 30));
}

TEST(RotationSchedule, AnHourThatComesTwiceIsTwoPeriods) {
  const Zone zone{berlin};
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 10, 25, 0, 30)), utc(2026, 10, 25, 1)) << "02:30, the first time";
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 10, 25, 1)), utc(2026, 10, 25, 2)) << "02:00, the second time";
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 3, 29, 0, 30)), utc(2026, 3, 29, 1)) << "01:30; 03:00 follows 01:59";
}

TEST(RotationSchedule, AClockChangeOfHalfAnHourEndsAnHourToo) {
  const Zone zone{lord_howe};
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 4, 4, 14, 45)), utc(2026, 4, 4, 15)) << "01:45; 01:30 follows 01:59";
  EXPECT_EQ(end_of(RotateEvery::Hour, utc(2026, 4, 4, 15)), utc(2026, 4, 4, 15, 30));
}

TEST(RotationSchedule, IsDueOnceForEachPeriod) {
  const Zone zone{"UTC0"};
  RotationSchedule schedule{RotateEvery::Day, utc(2026, 1, 15, 12)};
  EXPECT_FALSE(schedule.take_due(utc(2026, 1, 15, 23, 59, 59)));
  EXPECT_TRUE(schedule.take_due(utc(2026, 1, 16, 0)));
  EXPECT_FALSE(schedule.take_due(utc(2026, 1, 16, 0)));
  EXPECT_TRUE(schedule.take_due(utc(2026, 1, 17, 8)));
}

TEST(RotationSchedule, AClockSetForwardOverManyDaysEndsOne) {
  const Zone zone{"UTC0"};
  RotationSchedule schedule{RotateEvery::Day, utc(2026, 1, 15, 12)};
  EXPECT_TRUE(schedule.take_due(utc(2027, 6, 1, 12)));
  EXPECT_FALSE(schedule.take_due(utc(2027, 6, 1, 13)));
}

TEST(RotationSchedule, AClockSetBackEndsNoneAndTheNextMidnightCounts) {
  const Zone zone{"UTC0"};
  RotationSchedule schedule{RotateEvery::Day, utc(2026, 1, 15, 12)};
  EXPECT_FALSE(schedule.take_due(utc(2026, 1, 10, 12)));
  EXPECT_FALSE(schedule.take_due(utc(2026, 1, 10, 23, 59, 59)));
  EXPECT_TRUE(schedule.take_due(utc(2026, 1, 11, 0))) << "not five days later";
}

TEST(RotationSchedule, NeverIsNever) {
  RotationSchedule schedule{RotateEvery::Never, utc(2026, 1, 15, 12)};
  EXPECT_FALSE(schedule.take_due(utc(2030, 1, 15, 12)));
  EXPECT_FALSE(schedule.take_due(Time::min()));
}

}  // namespace
}  // namespace perdure::logbook
