// The machine's clocks, read through the seam.
//
// monotonic_now() is what deadlines are made of: it never jumps and stands still while the machine is suspended. wall_now() is for
// people and logs only; an administrator may set it back. Left out: a fake clock (code that needs one takes the Instant instead).
// Thread, fork and signal safety: all.
//
//     const Instant deadline = os::monotonic_now() + std::chrono::seconds{5};
#pragma once

#include <chrono>

#include "base/time.hpp"

namespace perdure::os {

using base::Instant;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

Instant monotonic_now() noexcept;  ///< CLOCK_MONOTONIC, the clock of std::chrono::steady_clock
WallTime wall_now() noexcept;      ///< CLOCK_REALTIME

}  // namespace perdure::os
