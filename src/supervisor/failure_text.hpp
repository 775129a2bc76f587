// Words for a service that could not be started: the step, the cause, and where the cause hides behind an errno that means several
// things, which of them it is (refused_program.hpp).
//
// Left out: what follows from it (core).
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     say(unit + ": " + setup_failure_text(wire::Step::Exec, ENOENT, "/usr/bin/web", rights));
#pragma once

#include <string>

#include "supervisor/refused_program.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {

/// One line without a full stop: "cannot execute /usr/bin/web: No such file or directory (ENOENT): there is no such file".
/// `rights`: whom the service runs as.
std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights = our_rights());

}  // namespace perdure::supervisor
