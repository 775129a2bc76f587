// The process that somebody typed, and the one in between: how the first one learns what became of the daemon.
//
// Linux (first_process.cpp): the one in between ends at once and the first one is a subreaper, so that the daemon becomes
// its child.
// In a portable build (first_process_posix.cpp): the one in between stays until somebody is ready, and says how its child
// has ended. Private to detach(). Thread safety: one thread. Signals are blocked but where it says otherwise.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string_view>

#include "perdure/detach.hpp"
#include "perdure/exit_status.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::process {

inline constexpr std::chrono::hours start_within_max{24 * 366};
/// How long the first process lets a daemon that reported its failure finish, so that a second try finds the lock free.
inline constexpr std::chrono::milliseconds failed_daemon_grace{2000};

/// Refuses where fork(2) would lose a thread. In a portable build nobody can tell: always succeeds.
Result<void> require_one_thread();

/// Makes the daemon the child of this process once the one in between has ended, where that can be done. True: it was not like that
/// before, and stop_being_reaper() takes it back.
Result<bool> become_reaper();
void stop_being_reaper() noexcept;

/// In the first process, with its own signal mask: waits on `line` for the outcome, says on stderr what is wrong, and
/// returns the exit code. At the end of options.start_within the daemon and all of its session are killed.
int wait_for_the_outcome(UniqueFd line, pid_t between, const DetachOptions& options);

/// In the process in between: makes the session and the daemon. Returns in the daemon only.
void go_between(StartReport& report);

// ---- For both ------------------------------------------------------------------------------------------------------------

/// A line of the first process's, on stderr.
void say(const DetachOptions& options, std::string_view what);
[[noreturn]] void report_and_exit(StartReport& report, const Error& error) noexcept;
/// Waits for a child. Unknown where it is none.
ExitStatus reap(pid_t pid) noexcept;
/// For poll(2): 0 to an hour, never negative, which would be without limit.
int time_left_ms(std::chrono::steady_clock::time_point deadline) noexcept;

}  // namespace perdure::process
