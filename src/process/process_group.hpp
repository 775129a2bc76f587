// Signals for a whole process group, without a number that could meanwhile belong to somebody else.
//
// Linux 6.9 and later do it with a pidfd (PIDFD_SIGNAL_PROCESS_GROUP). Before, the members are looked up in /proc, opened,
// checked again and signalled one by one, until a look finds no new one.
// Thread safety: all. Fork safety: all. Signal safety: none.
#pragma once

#include <sys/types.h>

#include "perdure/result.hpp"

namespace perdure::process {

struct ProcessGroup {
  int leader_pidfd = -1;  ///< of the process whose pid is the group's number; it may have ended
  pid_t group = 0;
  pid_t session = 0;  ///< members of other sessions are not meant
  /// Somebody unreaped still holds the number: without that it must not be looked up.
  bool is_pinned = false;
};

/// Succeeds where nobody is left. On failure: an Error with errno.
Result<void> signal_group(const ProcessGroup& group, int signal);

}  // namespace perdure::process
