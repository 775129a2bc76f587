// Duration and Instant: time as values.
//
// An Instant belongs to the monotonic clock and is always a parameter: nothing on this floor reads a clock. To follow the
// machine's clock, ask os for it.
// Thread, fork and signal safety: plain values.
//
//     void step(Instant now);      step(Instant{} + std::chrono::seconds{3});
#pragma once

#include <chrono>

namespace perdure::base {

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;

}  // namespace perdure::base
