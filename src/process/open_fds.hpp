// Which descriptors this process has, and closing a run of them: without a call for each possible number where the kernel helps.
//
// Linux: /proc/self/fd and close_range(2). In a portable build: a look at each number up to the limit on descriptors.
// Thread safety: one thread. Fork safety: all. Signal safety: none.
//
//     visit_open_fds([](int fd) noexcept { … });
#pragma once

namespace perdure::process {

/// Calls `visit` for each descriptor, in no order. In a portable build: of those below the limit on descriptors, and
/// 65536 at most. `visit` may be called for a number that is not open.
void visit_open_fds(void (*visit)(int fd) noexcept) noexcept;

/// Closes all from `first` to `last`, both included. Those that are not open are no failure.
void close_fds(int first, int last) noexcept;

}  // namespace perdure::process
