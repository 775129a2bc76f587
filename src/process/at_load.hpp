// What was true when the library was loaded: which descriptors were open, and where the program's file was.
//
// Both are gone a moment later: descriptors are closed and their numbers reused, the file is replaced by an upgrade. Two
// constructor functions write them down before main(); each stands in the same source as the functions that tell of it
// (own_program.cpp and at_load.cpp), so that who uses them from the static library gets it too. Cost at load, with no foreign
// descriptor: one readlink and one look into /proc/self/fd.
// Thread safety: one thread (as for detach()); own_program() any. Fork: inherited. Signal safety: none.
#pragma once

#include <vector>

namespace perdure::process {

/// Descriptors beyond this many are not written down, and so stay open.
inline constexpr unsigned inherited_fds_max = 65536;

/// Closes what was open at load, ≥ 3, still the same file, and neither in `keep` nor exempt. Takes a few system calls per
/// run of neighbouring numbers plus one per descriptor, whatever the limit on descriptors is.
void close_fds_from_before_load(const std::vector<int>& keep) noexcept;

/// `fd` has an owner now: close_fds_from_before_load() leaves it alone.
void exempt_from_closing(int fd) noexcept;

/// The absolute path of the program's file, as it was at load; "/proc/self/exe" where it could not be found out. Not in a portable
/// build: POSIX has no way to ask.
const char* own_program() noexcept;

}  // namespace perdure::process
