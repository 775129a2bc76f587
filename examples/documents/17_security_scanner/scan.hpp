// The scan: what others could misuse below a directory, found by looking only.
//
// World-writable files, and directories without sticky bit; files that run with somebody else's rights (setuid, setgid); TCP ports on
// which somebody listens, from proc/net/tcp and tcp6 below the same directory. Symbolic links are not followed, and other file
// systems not entered. What may not be read is counted. Thread safety: no state.
//
//     const Scan scan = look_below(config, [&] { ctx.beat(); return !ctx.stopping(); });
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "scan_config.hpp"

inline constexpr std::size_t findings_max = 10'000;

struct Scan {
  std::set<std::string> findings;  ///< one line each
  std::size_t unreadable = 0;      ///< directories
  bool is_whole = true;            ///< false: interrupted
  bool is_cut = false;             ///< there are more than findings_max
};

/// `go_on` is asked now and then; false interrupts. Throws std::runtime_error where the directory cannot be read at all.
Scan look_below(const ScanConfig& config, const std::function<bool()>& go_on);

/// The addresses in the state LISTEN of a /proc/net/tcp or tcp6 (proc(5)): `127.0.0.1:22`, `[::]:80`.
std::set<std::string> listening_in(std::string_view table);
