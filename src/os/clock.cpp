#include "os/clock.hpp"

#include <algorithm>

#include "os/system.hpp"

namespace perdure::os {
namespace {

// clock_gettime(2) on these two clocks has no failure that a program could see; only a fault plan takes the fallback.
template <class Time, class Fallback>
Time read_clock(clockid_t clock, Fallback fallback) noexcept {
  timespec time{};
  if (sys::clock_gettime(clock, &time) != 0) return fallback();
  return Time{std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec}};
}

class MachineClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const noexcept override { return monotonic_now(); }
  int poll(std::span<pollfd> fds, std::optional<Instant> deadline) noexcept override {
    timespec limit{};
    if (deadline) {
      const auto left = std::max(*deadline - monotonic_now(), std::chrono::nanoseconds{0});
      limit.tv_sec = static_cast<time_t>(std::chrono::duration_cast<std::chrono::seconds>(left).count());
      limit.tv_nsec = static_cast<long>((left % std::chrono::seconds{1}).count());
    }
    return sys::ppoll(fds.data(), fds.size(), deadline ? &limit : nullptr, nullptr);
  }
};

}  // namespace

Instant monotonic_now() noexcept {
  return read_clock<Instant>(CLOCK_MONOTONIC, [] { return Instant{std::chrono::steady_clock::now()}; });
}

WallTime wall_now() noexcept {
  return read_clock<WallTime>(CLOCK_REALTIME, [] { return WallTime{std::chrono::system_clock::now()}; });
}

Clock& machine_clock() noexcept {
  static MachineClock clock;
  return clock;
}

}  // namespace perdure::os
