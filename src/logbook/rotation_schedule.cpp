#include "logbook/rotation_schedule.hpp"

#include <time.h>

#include <tuple>

namespace perdure::logbook {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;
using Seconds = std::chrono::time_point<system_clock, seconds>;

// No hour is longer than this, and no day, whatever a government does to its clocks.
constexpr seconds hour_max = std::chrono::hours{2};
constexpr seconds day_max = std::chrono::hours{49};

// What all instants of a period have in common, and no neighbouring one has.
auto period_of(RotateEvery every, Seconds instant) {
  const auto whole = static_cast<time_t>(instant.time_since_epoch().count());
  tm local{};
  localtime_r(&whole, &local);
  const bool by_hour = every == RotateEvery::Hour;
  return std::tuple{local.tm_year, local.tm_yday, by_hour ? local.tm_hour : 0, by_hour ? local.tm_gmtoff : 0};
}

// Asked of the calendar and not computed: mktime(3) has no answer to a midnight that does not exist, and two to an hour that comes
// twice.
Seconds end_of_period(RotateEvery every, Seconds within) {
  const auto period = period_of(every, within);
  Seconds inside = within;
  Seconds outside = within + (every == RotateEvery::Hour ? hour_max : day_max);
  while (outside - inside > seconds{1}) {
    const Seconds middle = inside + (outside - inside) / 2;
    (period_of(every, middle) == period ? inside : outside) = middle;
  }
  return outside;
}

}  // namespace

RotationSchedule::RotationSchedule(RotateEvery every, Time within) : every_(every) { begin(within); }

bool RotationSchedule::take_due(Time now) {
  if (every_ == RotateEvery::Never || (begin_ <= now && now < end_)) return false;
  const bool is_over = now >= end_;
  begin(now);
  return is_over;
}

void RotationSchedule::begin(Time now) {
  begin_ = now;
  end_ = every_ == RotateEvery::Never ? Time::max() : Time{end_of_period(every_, std::chrono::floor<seconds>(now))};
}

}  // namespace perdure::logbook
