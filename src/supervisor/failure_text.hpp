// Words for a service that could not be started: the step, the cause, and where the cause hides behind an errno that means several
// things, which of them it is (refused_program.hpp).
//
// Left out: what follows from it (core).
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     say(unit + ": " + setup_failure_text(wire::Step::Exec, ENOENT, "/usr/bin/web", rights));
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "supervisor/crash_record.hpp"
#include "supervisor/refused_program.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {

/// One line without a full stop: "cannot execute /usr/bin/web: No such file or directory (ENOENT): there is no such file".
/// `rights`: whom the service runs as.
std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights = our_rights());

/// How a manager ended by itself, with signal and time: "the manager crashed (SIGSEGV) at 2026-11-21T10:00:00Z, generation 2".
/// Empty: it did not; it was ended, or left. `code` and `status` as in waitid(2)'s siginfo.
std::string crash_text(int code, int status, std::chrono::system_clock::time_point when, std::uint32_t generation);

/// One line: what is refused, why, and what to do.
std::string quarantine_text(Input input, std::string_view name);

}  // namespace perdure::supervisor
