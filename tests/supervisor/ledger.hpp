// What the processes of a unit's runs write down of themselves: one line each time one begins, and one when a main process knows
// how it will end. The other side of the comparison with what a supervisor was to start.
//
// A line is `RUN PHASE WORDS…`, appended whole; RUN is the INVOCATION_ID that the process was given. Phases are condition,
// start-pre, start, main, start-post, reload, stop, stop-post, and of a main process `ready`, `handover`, `asked` (SIGTERM has
// come) and `end HOW STATUS`, in systemd's words.
// Left out: who runs (TruthFile). Thread and fork safety: any process may append. Signal safety: none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "truth.hpp"

namespace supervisor_test {

/// Appends a line about a process of ours, and writes it to our standard output; the run is taken from the environment.
void write_down(const std::string& ledger, std::string_view phase, std::string_view words = {});

/// The lines, sorted: processes that write at the same time do so in any order.
std::string in_order(std::string_view text);

struct LedgerVerdict {
  std::string wrong{};    ///< in lines; empty: nothing
  std::size_t runs = 0;   ///< that began
  std::size_t asked = 0;  ///< whose main process was told to end
  std::size_t reloads = 0;
  std::size_t handovers = 0;
};
/// What must be true of every unit with all phases: no run goes on after the next one has begun, nothing but a reload begins twice
/// in a run, each run begins with its condition and start-pre and ends with stop-post, and stop-post was told how the main process
/// has ended, or nothing where that may be unknown.
LedgerVerdict check_ledger(std::string_view text, UnknownEnds unknown);

}  // namespace supervisor_test
