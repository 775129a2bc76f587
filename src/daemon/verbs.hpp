// Verbs: the daemon's binary as its own client.
//
// A verb finds the running instance by its control socket, or by its PID file where it has none; it prints the answer and gives
// an exit code as LSB defines it (exit_code.hpp). Nobody is signalled before it is known to hold the instance's lock.
// Thread safety: none; called before anything else exists.
#pragma once

#include "daemon/command_line.hpp"
#include "daemon/places.hpp"
#include "perdure/run.hpp"

namespace perdure::daemon {

/// Carries out the verb of `line`, which is neither start nor the starting half of restart. Returns the exit code.
int run_verb(const Options& options, const CommandLine& line, const Places& places);

/// Stops the running instance and waits until its process has ended. 0, 7 (none runs), 4 (no rights) or 1.
int stop_running(const Options& options, const Places& places);

}  // namespace perdure::daemon
