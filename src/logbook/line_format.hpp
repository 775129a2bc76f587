// How a line looks: the words, priorities and colours of the levels, and the four formats.
//
// Left out: escaping and cutting, which the log does once for all sinks (line_text).
// Thread safety: pure functions; Named asks for the local time zone as localtime_r(3) does. Fork safety: as localtime_r.
//
//     std::string out;
//     append_line(out, LogFormat::UnixSeconds, "thermod", line);      // [1763700000] [INFO] message
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "perdure/log.hpp"

namespace perdure::logbook {

/// No more of a message is shown; what is cut off is counted at the line's end. journald splits lines at 48 KiB.
inline constexpr std::size_t message_bytes_max = 32 * 1024;

/// What becomes of a message: control characters escaped, and cut to message_bytes_max with "… (N more bytes)" at its end.
/// Returns `message` itself where nothing is to be changed, else a view of `storage`.
std::string_view line_text(std::string_view message, std::string& storage);

/// 7, 6, 4, 3, 2: syslog(3) without a facility.
int syslog_priority(Level level) noexcept;
/// journalctl's colours; empty for Info, which has none.
std::string_view colour_of(Level level) noexcept;

/// Appends the line without a newline.
void append_line(std::string& out, LogFormat format, std::string_view name, const LogLine& line);

}  // namespace perdure::logbook
