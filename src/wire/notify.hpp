// Notify datagrams: the bytes of the sd_notify protocol, both ways.
//
// A datagram is lines of `NAME=value`. Source: sd_notify(3) of systemd 252. Left out: sockets, descriptors sent along, what
// the names mean; unknown names are data like any other.
// Thread safety: pure functions. Views point into the argument. Signal safety: none.
//
//     compose_notify({{"RELOADING", "1"}, {"MONOTONIC_USEC", "812"}})      // "RELOADING=1\nMONOTONIC_USEC=812"
//     if (parse_notify(datagram).value("READY") == "1") …
#pragma once

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::wire {

/// systemd ignores a longer datagram as a whole (NOTIFY_BUFFER_MAX, which is PIPE_BUF).
inline constexpr std::size_t notify_bytes_max = 4096;
/// Further lines of a datagram are counted as ignored.
inline constexpr std::size_t notify_fields_max = 64;

struct NotifyField {
  std::string_view name;
  std::string_view value;
  bool operator==(const NotifyField&) const = default;
};

struct NotifyMessage {
  std::vector<NotifyField> fields{};  ///< in the datagram's order
  std::size_t ignored = 0;            ///< lines without a name or `=`, and those beyond notify_fields_max

  /// The last one of that name: a later line overrides an earlier one.
  [[nodiscard]] std::optional<std::string_view> value(std::string_view name) const noexcept;
};

/// Never fails: what is no assignment is counted. Empty lines are nothing. A datagram over notify_bytes_max is ignored whole,
/// and counted as one line.
NotifyMessage parse_notify(std::string_view datagram);

/// One line per field. Newlines in values become spaces, and a value is cut between characters so that the datagram fits
/// into notify_bytes_max. Requires: names without `=` and newline, which fit themselves.
std::string compose_notify(std::span<const NotifyField> fields);
std::string compose_notify(std::initializer_list<NotifyField> fields);

/// Whether `lines` can be sent as they are: not empty, not over notify_bytes_max, each line an assignment.
Result<void> check_notify(std::string_view lines);

}  // namespace perdure::wire
