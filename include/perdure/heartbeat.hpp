// Heartbeat: proof that a worker makes progress, for a watchdog that must not be fooled.
//
// A worker beats; a watcher asks whether the last beat is too old. While the worker says that it waits for something on
// purpose (enter_wait, leave_wait) it counts as alive. Time is a parameter: the caller's monotonic clock.
// Thread safety: one worker thread, any number of watchers; lock-free. Fork: a plain value. Signal safety: all calls.
//
//     perdure::Heartbeat beat{10s, Clock::now()};
//     worker: beat.beat(Clock::now());           watcher: if (beat.is_late(Clock::now())) …
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace perdure {

class Heartbeat {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Creation counts as a beat. `deadline` must be positive: longer than this between two beats is late.
  Heartbeat(std::chrono::nanoseconds deadline, TimePoint now) noexcept : deadline_(deadline) { beat(now); }

  void beat(TimePoint now) noexcept { last_.store(now.time_since_epoch().count(), std::memory_order_relaxed); }
  void enter_wait() noexcept { waiting_.store(true, std::memory_order_release); }
  /// Counts as a beat.
  void leave_wait(TimePoint now) noexcept {
    beat(now);
    waiting_.store(false, std::memory_order_release);
  }

  /// Time since the last beat; 0 while waiting.
  [[nodiscard]] std::chrono::nanoseconds age(TimePoint now) const noexcept {
    if (waiting_.load(std::memory_order_acquire)) return std::chrono::nanoseconds{0};
    return now - TimePoint{TimePoint::duration{last_.load(std::memory_order_relaxed)}};
  }
  /// More than the deadline since the last beat, and not waiting.
  [[nodiscard]] bool is_late(TimePoint now) const noexcept { return age(now) > deadline_; }
  [[nodiscard]] std::chrono::nanoseconds deadline() const noexcept { return deadline_; }

 private:
  std::chrono::nanoseconds deadline_;
  std::atomic<std::int64_t> last_{0};
  std::atomic<bool> waiting_{false};
};

}  // namespace perdure
