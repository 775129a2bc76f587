// The threads of this process: their names, and what the kernel has them wait for. For reports about a thread that is late.
//
// All of it is read from /proc and is the past when it is returned; where /proc is missing or forbids it, the answers are empty.
// Thread safety: all. Fork: nothing is kept. Signal safety: none.
//
//     for (const os::ThreadEntry& thread : os::threads()) …      // {812, "thermod"}, {813, "poll"}
//     os::current_system_call(813)                               // "read"
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::os {

inline constexpr std::size_t threads_max = 4096;

struct ThreadEntry {
  pid_t id;
  std::string name;  ///< at most 15 bytes, not necessarily printable; empty where it cannot be read
};

/// The first `threads_max` threads by id, the caller's among them.
std::vector<ThreadEntry> threads();
/// The system call that a thread of this process waits in: "futex", "system call 999" for a number without a name here, the
/// kernel's function that it waits in where only that is known. Empty for a thread that runs, or where the kernel does not tell.
std::string current_system_call(pid_t thread);
/// "futex"; empty for one that is not in our table.
std::string_view system_call_name(long number) noexcept;

}  // namespace perdure::os
