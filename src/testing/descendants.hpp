// Descendants: finding, ending and reaping what this test process started, directly or not.
//
// A process counts as ours when its chain of parents leads to this process and its environment carries a mark that nobody else
// has, or when the chain leads over a process that is known to be ours. Signals go through a pidfd opened before the check.
// Left out: processes that detached with an environment of their own.
// Thread safety: one thread. Not signal-safe.
//
//     end_all("c0ffee…/3", child.pid, std::move(child.pidfd));
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "perdure/exit_status.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::testing::detail {

using Clock = std::chrono::steady_clock;

/// The environment variable that carries the mark. A mark "a/b" also covers "a/b/c", so that a test run by a test is covered.
inline constexpr std::string_view mark_variable = "PERDURE_TEST_ID";
/// This test process's own mark; the first call makes it, and has everything that carries it killed when the process exits.
const std::string& own_mark();

/// Kills and reaps everything marked, and what descends from `root`, which `root_fd` stands for (0 and empty: there is none).
void end_all(std::string_view mark, pid_t root, UniqueFd root_fd);

/// pidfd_open(2); empty for pid <= 0 too.
UniqueFd open_pidfd(pid_t pid) noexcept;
/// pidfd_send_signal(2); false where nothing was sent.
bool send_signal(const UniqueFd& pidfd, int number) noexcept;
/// Waits until the process ends; false when the deadline came first.
bool wait_for_end(const UniqueFd& pidfd, Clock::time_point deadline) noexcept;
/// Reaps a child that has ended; none where it has not, Unknown where it is not our child.
std::optional<ExitStatus> reap(const UniqueFd& pidfd) noexcept;

/// What poll(2) is to wait for, at most, rounded up.
int milliseconds_until(Clock::time_point deadline) noexcept;

}  // namespace perdure::testing::detail
