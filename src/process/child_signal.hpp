// A signal to a child of ours that we have not reaped: the number is its own as long as that holds.
//
// Linux: through a pidfd. In a portable build: kill(2), which nothing but the condition above makes safe.
// Thread safety: none (nobody may reap the child meanwhile). Fork safety: all. Signal safety: none.
//
//     process::signal_child(worker, SIGTERM);
#pragma once

#include <sys/types.h>

namespace perdure::process {

/// Requires: a child that this process has not reaped. False with errno where the signal could not be sent; ESRCH: it has ended.
bool signal_child(pid_t child, int signal) noexcept;

}  // namespace perdure::process
