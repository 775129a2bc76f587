// PIDFile=: the number that a forking service wrote down. A claim, and no more: who uses it opens a pidfd and looks whether the
// process is in the unit's control group before believing it.
//
// Whoever may write the file, or a link on the way to it, may name any process. So the way is walked part by part: from what
// belongs to somebody other than root and us nothing is reached that belongs to a third. It is a regular file, whoever owns it (a
// daemon may have given up root's rights before), read to a bound, without waiting.
// Left out: whether the process is the unit's (the manager, by its control group); waiting until the file is there.
// Thread safety: all. Fork and signal safety: none, it allocates.
//
//     const Result<pid_t> claim = read_pid_file(service.pid_file);
//     if (!claim && (claim.error().code() == ENOENT || claim.error().code() == ENODATA)) …   // not written yet
#pragma once

#include <sys/types.h>

#include <string>

#include "perdure/result.hpp"

namespace perdure::supervisor {

/// A number greater than 1. Errors: ENOENT no file; ENODATA it is empty; EAGAIN it was being replaced; EINVAL it holds no number of
/// a process; EPERM somebody else could have written it; ELOOP, ENOTDIR, EFBIG, … as they say.
Result<pid_t> read_pid_file(const std::string& path);

}  // namespace perdure::supervisor
