// What stands in for Linux's own calls in a portable build (PERDURE_PORTABLE): the few that every build needs. Included by
// system.hpp.
//
// Thread, fork and signal safety: as there.
//
//     if (os::sys::kill(child, SIGKILL) != 0) …        // a child that we have not reaped
#pragma once

#include <sys/select.h>

#include "os/system.hpp"

namespace perdure::os::sys {

/// POSIX has no such flag: the descriptor itself must be O_NONBLOCK.
inline constexpr int do_not_wait = 0;

/// kill(2), or killpg(3) for a negative number. Refuses with EINVAL 0, 1 and -1, which mean everybody or init. The number
/// of a process that is not our unreaped child may be a stranger's by now: for those, signal 0 only.
int kill(pid_t pid, int signal) noexcept;
/// Waits until `fd` is readable, or until a signal outside `mask` was handled (EINTR). `fd` below FD_SETSIZE, else EINVAL.
int pselect(int fd, const sigset_t* mask) noexcept;
int getrlimit(int resource, rlimit* limit) noexcept;  // Call::prlimit

}  // namespace perdure::os::sys
