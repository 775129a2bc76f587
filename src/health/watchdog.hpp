// Watchdog: decides when the init's watchdog is pinged, and who is to blame when it is not.
//
// A ping is proof that every watched heartbeat is in time; with one of them late there is none, until it beats again or the
// init ends us. Pings go out at half the timeout (sd_watchdog_enabled(3)). A watchdog that watches nobody pings: it proves
// that its caller's loop turns.
// Left out: clocks, sockets and what to do about a late worker.
// Thread safety: none (the heartbeats are beaten by their own threads). Fork: a plain value. Signal safety: none.
//
//     Watchdog watchdog{*notify.watchdog(), now};
//     watchdog.watch("poll", beat);
//     at watchdog.next_ping():  if (watchdog.take_ping(now)) notify.ping_watchdog();
//                               for (const auto& late : watchdog.late(now)) …
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/heartbeat.hpp"

namespace perdure::health {

class Watchdog {
 public:
  using TimePoint = Heartbeat::TimePoint;

  struct Late {
    std::string_view name;
    std::chrono::nanoseconds age;  ///< since its last beat
  };

  /// `timeout` must be positive. The first ping is due at once.
  Watchdog(std::chrono::nanoseconds timeout, TimePoint now) noexcept : interval_(timeout / 2), next_(now) {}

  /// `beat` must live until unwatch() or the end of this watchdog.
  void watch(std::string name, const Heartbeat& beat) { watched_.push_back({std::move(name), &beat}); }
  void unwatch(const Heartbeat& beat) noexcept;

  /// When to call take_ping().
  [[nodiscard]] TimePoint next_ping() const noexcept { return next_; }
  /// Whether to ping now: it is time, and nobody is late. Sets next_ping(): half the timeout later, an eighth of it where
  /// somebody was late, so that a worker that comes back saves us. Intervals missed by a suspended machine are left out.
  bool take_ping(TimePoint now) noexcept;
  /// Who is late, in the order of watch(). Views live as long as the heartbeat is watched.
  [[nodiscard]] std::vector<Late> late(TimePoint now) const;

 private:
  struct Watched {
    std::string name;
    const Heartbeat* beat;
  };
  std::chrono::nanoseconds interval_;
  TimePoint next_;
  std::vector<Watched> watched_;
};

}  // namespace perdure::health
