// The exit codes of a daemon written with the library, and of its client verbs.
//
// Process: sysexits(3) where it has a word for it. Client verbs: LSB 3.1 "Init Script Actions".
// Thread, fork and signal safety: constants.
#pragma once

namespace perdure {

/// Exit codes of the daemon process, and of the first process that reports a failed start.
enum ExitCode : int {
  exit_ok = 0,                ///< finished, or stopped by SIGTERM, SIGINT or `stop`
  exit_usage = 64,            ///< the command line is wrong
  exit_failed = 70,           ///< failed for good, or still running when the stop budget ended
  exit_system = 71,           ///< a system call failed (fork, a descriptor limit, …)
  exit_cannot_create = 73,    ///< a file, directory or socket that is needed cannot be made
  exit_already_running = 75,  ///< another instance holds the lock
  exit_rights = 77,           ///< rights are missing
  exit_configuration = 78,    ///< the configuration is wrong
};

/// Exit codes of client verbs other than `status`.
enum VerbExit : int {
  verb_ok = 0,
  verb_failed = 1,
  verb_usage = 2,
  verb_unimplemented = 3,
  verb_no_rights = 4,
  verb_not_running = 7,
};

/// Exit codes of the client verb `status`.
enum StatusExit : int {
  status_running = 0,
  status_dead_with_pid_file = 1,
  status_not_running = 3,
  status_unknown = 4,
};

}  // namespace perdure
