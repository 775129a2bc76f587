// The pages of the program itself.
#pragma once

namespace perdure::supervisor {

/// Lets go of the pages of the program's own code and constants that this process has touched; those needed again come back from
/// the page cache at their next use. For a program that has done something long and large and now waits for a long time: what it
/// maps is what reclaim must walk through and what its memory figure counts. Nothing is written, nothing can be lost; a refusal
/// changes nothing. From the first page of the executable to `etext` (see end(3)); libraries keep theirs.
/// Source: madvise(2), MADV_DONTNEED. Thread safety: all. Signal safety: yes.
void release_program_text() noexcept;

}  // namespace perdure::supervisor
