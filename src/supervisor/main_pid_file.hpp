// PIDFile=: which process a daemon says is its main one.
//
// The file is written by the service, so nothing in it is believed: the caller takes the process only where it belongs to the run.
// Thread safety: all. Fork safe. Signal safety: none.
//
//     PERDURE_TRY(const pid_t pid, read_pid_file("/run/cron.pid"));
#pragma once

#include <sys/types.h>

#include <string>

#include "perdure/result.hpp"

namespace perdure::supervisor {

/// The number in the file's first line, more than 1. Only a regular file of at most 64 bytes is read, and nothing is waited for.
Result<pid_t> read_pid_file(const std::string& path);

}  // namespace perdure::supervisor
