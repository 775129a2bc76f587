// Words for a service that could not be started: the step, the cause, and where the cause hides behind an errno that means several
// things, which of them it is.
//
// execve(2) says ENOENT for a program that is missing, for one whose interpreter is missing and for a script with CRLF lines;
// EACCES for five different things. The file is looked at to tell them apart.
// Left out: what follows from it (core).
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     say(unit + ": " + setup_failure_text(wire::Step::Exec, ENOENT, "/usr/bin/web"));
#pragma once

#include <string>

#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {

/// One line without a full stop: "cannot execute /usr/bin/web: No such file or directory (ENOENT)".
std::string setup_failure_text(wire::Step step, int error, const std::string& program);

}  // namespace perdure::supervisor
