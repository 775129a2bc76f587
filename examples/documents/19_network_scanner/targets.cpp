#include "targets.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/core.h>

namespace {

constexpr std::size_t ports_max = 64;
constexpr std::size_t problems_max = 100;  // then it is no list of hosts

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool is_host(std::string_view text) {
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == ':' || c == '-';
  };
  return text.size() <= target_bytes_max && text.front() != '-' && std::ranges::all_of(text, is_allowed);
}

/// The text up to `end`, which is taken off `rest` with the `end`.
std::string_view next(std::string_view& rest, char end) {
  const std::size_t at = std::min(rest.find(end), rest.size());
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return part;
}

}  // namespace

Targets parse_targets(std::string_view text) {
  Targets targets;
  for (int line = 1; !text.empty(); ++line) {
    std::string_view rest = next(text, '\n');
    const std::string_view target = trimmed(next(rest, '#'));
    if (target.empty()) continue;
    if (!is_host(target)) {
      if (targets.problems.size() == problems_max) break;
      targets.problems.push_back(fmt::format("line {}: \"{}\" is no host name or address; it is left out", line, target));
    } else if (targets.hosts.size() == targets_max) {
      targets.problems.push_back(fmt::format("line {}: more than {} targets; the rest is left out", line, targets_max));
      break;
    } else {
      targets.hosts.emplace_back(target);
    }
  }
  return targets;
}

std::optional<std::vector<std::uint16_t>> parse_ports(std::string_view text) {
  std::vector<std::uint16_t> ports;
  if (text.ends_with(',')) return std::nullopt;
  do {
    const std::string_view word = trimmed(next(text, ','));
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (error != std::errc{} || end != word.data() + word.size() || port == 0 || ports.size() == ports_max)
      return std::nullopt;
    ports.push_back(port);
  } while (!text.empty());
  return ports;
}
