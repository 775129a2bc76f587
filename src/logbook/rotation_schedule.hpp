// RotationSchedule: when a log file is of yesterday, as a value.
//
// A period is an hour or a day of the local calendar; the first instant that belongs to another one ends it. So an hour of the
// clock that comes twice in autumn is two periods, and a day on which midnight does not exist ends when the next one begins. A
// clock that is set forward over several periods ends one; a clock that is set back ends none, and the period it is in then counts.
// Left out: clocks, files. Thread safety: none; asks for the local time zone as localtime_r(3) does. Fork: a plain value. Signal
// safety: none.
//
//     RotationSchedule schedule{RotateEvery::Day, last_written};
//     if (schedule.take_due(now)) …
#pragma once

#include <chrono>

#include "perdure/log.hpp"

namespace perdure::logbook {

class RotationSchedule {
 public:
  using Time = std::chrono::system_clock::time_point;

  /// `within`: an instant of the first period, e.g. when the file was last written to.
  RotationSchedule(RotateEvery every, Time within);
  /// Whether the period is over. If so, the next one is that of `now`.
  bool take_due(Time now);
  /// When it is over; Time::max() for Never.
  [[nodiscard]] Time end() const noexcept { return end_; }

 private:
  void begin(Time now);

  RotateEvery every_;
  Time begin_{}, end_{};
};

}  // namespace perdure::logbook
