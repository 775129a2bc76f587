// A record in journald's native protocol: what is sent to its socket as one datagram, or in one memory file.
//
// Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. `NAME=value` and a newline; a value with a newline in it has the name alone
// on a line, its size as 64 bits, little endian, the value, a newline. Left out: sockets (journal_sink.cpp).
// Thread safety: pure functions. Signal safety: none.
//
//     append_record(out, "thermod", SyslogFacility::Daemon, line);
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "perdure/log.hpp"

namespace perdure::logbook {

/// No more of a message, and of each value, is sent; what is cut off is counted at the end.
inline constexpr std::size_t journal_message_bytes_max = 512 * 1024;
inline constexpr std::size_t journal_value_bytes_max = 64 * 1024;
/// journald drops longer names.
inline constexpr std::size_t journal_name_bytes_max = 64;

/// MESSAGE, PRIORITY, SYSLOG_FACILITY, SYSLOG_IDENTIFIER, then the line's fields. Newlines in the message stay; other control
/// characters come out escaped, as journalctl would show "[blob data]" instead. Fields stand in the message too, for readers of
/// plain lines, and as they are in fields of their own.
void append_record(std::string& out, std::string_view identifier, SyslogFacility facility, const LogLine& line);

/// A name that journald takes: upper case, [A-Z0-9_], a letter first, 64 bytes at most. Names that are ours or journald's own
/// (MESSAGE, PRIORITY, _PID, …) get FIELD_ in front, so that no field of a program's overrides them.
std::string journal_name(std::string_view name);

}  // namespace perdure::logbook
