// Whether a process lives, and whether it runs this program: for status displays and lenient checks, never for locking.
//
// A number read from a file says nothing by itself: it may be reused by a stranger. Both answers come from pidfd_open(2) and
// /proc, never from kill(2), so nothing is signalled and a process of another user counts as what it is. Between the answer
// and its use the process may end. Left out: locks (see pid_file.hpp).
// A portable build (PERDURE_PORTABLE) has kill(2) with signal 0 and nothing else: zombies that are not our children and, on
// Linux, threads count as alive, and is_same_executable() says what is_alive() says.
// Thread and fork safety: from any thread, in any process. Signal safety: none.
//
//     if (perdure::is_alive(pid) && perdure::is_same_executable(pid)) …
#pragma once

#include <sys/types.h>

#include "perdure/export.hpp"

namespace perdure {

/// True while the process runs; zombies and numbers that name no process (0, negative ones, threads) are not alive.
/// Where the kernel refuses to answer (no descriptor left), true: a wrong "no" is the more dangerous answer.
PERDURE_EXPORT bool is_alive(pid_t pid) noexcept;

/// True where `pid` runs the same executable file as this process (device and inode; where one of the two was replaced on
/// disk since it was started, the path). A process whose executable we may not see counts as the same while it is alive.
PERDURE_EXPORT bool is_same_executable(pid_t pid) noexcept;

}  // namespace perdure
