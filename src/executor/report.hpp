// How the executor says at which step it failed: {step, errno} in its slot of the keeper's failure file, and what the gate says.
//
// Everything is written before the process ends, by itself; the keeper reads it when it reaps.
// Left out: words (wire/spawn_step.cpp).
// Freestanding. One thread.
//
//     require(Step::Session, raw::call(__NR_setsid));
#pragma once

#include <cstdint>

#include "wire/spawn_spec.hpp"

namespace perdure::executor {

using wire::Step;

void report_to(std::uint64_t slot) noexcept;
/// The pipe whose end says that the program was executed.
void open_gate(int fd) noexcept;
/// From here on only execve(2) is left: the gate says "x". A failure takes it back with "f".
void announce_execution() noexcept;
/// From here on a failure is told without a system call, which a filter could refuse.
void report_without_calls() noexcept;

/// Leaves {step, error} in the slot.
void tell(Step step, long error) noexcept;
/// Requires: result < 0 as from a system call, or a positive errno.
[[noreturn]] void give_up(Step step, long result) noexcept;
inline void require(Step step, long result) noexcept {
  if (result < 0) give_up(step, result);
}

/// Between these a step walks paths: on a file system that never answers, SIGALRM ends it after ten seconds, and the slot says
/// where. execve(2) can hang in the same way and cannot be guarded so: a timer outlives it, and the program would be killed by
/// our alarm.
void begin_deadline(Step step) noexcept;
void end_deadline() noexcept;

}  // namespace perdure::executor
