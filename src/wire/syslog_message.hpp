// What syslog(3) sends to /dev/log: "<30>Nov 21 04:40:10 cron[812]: (root) CMD (run-parts)".
//
// Source: RFC 3164, as the C libraries write it; the time is left out, since whoever receives has a better one. Left out: sockets,
// RFC 5424.
// Thread safety: pure functions. Views point into the argument. Signal safety: none.
//
//     const SyslogMessage message = parse_syslog(datagram);
//     show(message.priority, message.identifier, message.text);
#pragma once

#include <string_view>

namespace perdure::wire {

struct SyslogMessage {
  int priority = 6;               ///< 0 to 7, as LOG_EMERG to LOG_DEBUG; 6 where none is said. The facility is left out
  std::string_view identifier{};  ///< "cron"; may be empty
  std::string_view pid{};         ///< "812"; may be empty
  std::string_view text{};        ///< what follows, without newlines and NUL bytes at its end
};

/// Never fails: what is not written as usual is text.
SyslogMessage parse_syslog(std::string_view datagram) noexcept;

}  // namespace perdure::wire
