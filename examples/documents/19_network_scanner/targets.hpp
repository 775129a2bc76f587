// Targets: the hosts to scan, from a text with one per line. Text in, values out.
//
// Blank lines and what follows a # are skipped. A target is a host name or an address: letters, digits, '.', ':' and '-', and no '-'
// at its beginning, where a command would take it for an option. Whatever else stands there is left out and told by its line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

inline constexpr std::size_t targets_max = 10'000;
inline constexpr std::size_t target_bytes_max = 253;  // as long as a host name may be

struct Targets {
  std::vector<std::string> hosts;
  /// One per line that is none: `line 3: "-oX" is no host name or address; it is left out`.
  std::vector<std::string> problems;
};

Targets parse_targets(std::string_view text);

/// "22,80,443,8080"; no value where it is not 1 to 64 numbers from 1 to 65535.
std::optional<std::vector<std::uint16_t>> parse_ports(std::string_view text);
