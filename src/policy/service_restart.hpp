// Restart= and StartLimit*= as systemd.service(5) and systemd.unit(5) have them.
//
// Beside policy/restart.hpp, which has the three words that suffice for a program of one's own: unit files know seven, and
// distinguish more endings. Left out: which ending an exit code or a signal is (core), the pauses.
// Thread, fork and signal safety: plain values.
//
//     if (wants_restart(settings.restart, ServiceEnding::UncleanSignal)) start_again_at(now + settings.restart_sec);
//     if (!window.try_start(now, interval, burst)) give_up();
#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace perdure::policy {

/// Restart=
enum class RestartWhen : std::uint8_t { No, OnSuccess, OnFailure, OnAbnormal, OnWatchdog, OnAbort, Always };

/// The causes that the table of systemd.service(5) tells apart.
enum class ServiceEnding : std::uint8_t {
  Clean,  ///< a clean exit code or signal
  UncleanCode,
  UncleanSignal,  ///< with or without a core dump
  Timeout,
  Watchdog,
  Resources,  ///< it could not be started, or nobody saw how it ended: an abnormal failure, but not one of the program's own
};

/// Whether Restart=`when` wants another start after `ending`: the table in service_restart.cpp.
[[nodiscard]] bool wants_restart(RestartWhen when, ServiceEnding ending) noexcept;

/// StartLimitIntervalSec= and StartLimitBurst=. The window opens with a start and counts those of the interval that follows; it
/// does not slide. This is how systemd counts, and two numbers hold it, however large the burst.
struct StartWindow {
  base::Instant began{};
  std::uint32_t starts = 0;  ///< in the window, refused ones included; 0: no window is open

  /// Counts one more start and says whether it is within the limit. An interval or a burst of 0 is no limit.
  [[nodiscard]] bool try_start(base::Instant now, base::Duration interval, std::uint32_t burst) noexcept;
  friend bool operator==(const StartWindow&, const StartWindow&) = default;
};

}  // namespace perdure::policy
