#include "os/clock.hpp"

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

}  // namespace

Instant monotonic_now() noexcept {
  return read_clock<Instant>(CLOCK_MONOTONIC, [] { return Instant{std::chrono::steady_clock::now()}; });
}

WallTime wall_now() noexcept {
  return read_clock<WallTime>(CLOCK_REALTIME, [] { return WallTime{std::chrono::system_clock::now()}; });
}

}  // namespace perdure::os
