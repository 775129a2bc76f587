// The machine's clocks, read through the seam.
//
// monotonic_now() is what deadlines are made of: it never jumps and stands still while the machine is suspended. wall_now() is for
// people and logs only; an administrator may set it back. Clock is what a daemon's threads wait by: the machine's, or a test's.
// Thread safety: all. Fork and signal safety: the two functions that read a clock.
//
//     const Instant deadline = os::monotonic_now() + std::chrono::seconds{5};
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <span>

#include "base/time.hpp"

namespace perdure::os {

using base::Instant;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

Instant monotonic_now() noexcept;  ///< CLOCK_MONOTONIC, the clock of std::chrono::steady_clock
WallTime wall_now() noexcept;      ///< CLOCK_REALTIME

/// An interface at a seam: the machine's clock, and one that moves when a test tells it to (testing::Host).
/// Thread safety: all calls, from any thread.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  [[nodiscard]] virtual Instant now() const noexcept = 0;
  /// ppoll(2) until `deadline`; without one, until something happens. Returns as that does, -1 with EINTR included.
  virtual int poll(std::span<pollfd> fds, std::optional<Instant> deadline) noexcept = 0;
  /// From work_begins() to work_ends() somebody has something to do who may not wait by this clock: a thread that is
  /// about to begin, a task that is queued. A test's clock stands still meanwhile, but for who waits by poll().
  virtual void work_begins() noexcept {}
  virtual void work_ends() noexcept {}

 protected:
  ~Clock() = default;
};

/// CLOCK_MONOTONIC. Lives as long as the process. machine_clock.cpp
Clock& machine_clock() noexcept;

}  // namespace perdure::os
