// Reading proc(5): whole small files, and the fields of /proc/PID/stat that name a process's family.
//
// Bounded: proc_file_max bytes of a file. Left out: everything one would ask a library for.
// Thread safety: all. Fork safety: all. Signal safety: none.
//
//     if (auto stat = read_proc_stat(pid); stat && stat->group == group) …
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace perdure::process {

/// Longest file that is read; more than proc(5) has in the files named here.
inline constexpr std::size_t proc_file_max = 8192;

/// The file's content up to proc_file_max bytes; no value where it cannot be read.
std::optional<std::string> read_proc_file(const char* path);

/// The number behind "Name:" in the text of /proc/PID/status.
std::optional<std::uint64_t> status_field(std::string_view status, std::string_view name);

/// The file name of the directory entry as a number, if it is one: a process or a descriptor.
std::optional<int> number_of_entry(const char* name) noexcept;

struct ProcStat {
  char state = '?';              ///< 'Z' is a zombie
  pid_t group = 0;               ///< process group
  pid_t session = 0;             ///< session
  std::uint64_t start_time = 0;  ///< with the pid, an identity: ticks since boot
};
std::optional<ProcStat> read_proc_stat(pid_t pid);

}  // namespace perdure::process
