// How a line looks: the words, priorities and colours of the levels, and the four formats.
//
// Left out: escaping and cutting, which the log does once for all sinks (line_text).
// Thread safety: pure functions; Named asks for the local time zone as localtime_r(3) does. Fork safety: as localtime_r.
//
//     std::string out;
//     append_line(out, LogFormat::UnixSeconds, "thermod", line);      // [1763700000] [INFO] message
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "perdure/log.hpp"

namespace perdure::logbook {

/// No more of a message is shown; what is cut off is counted at the line's end. journald splits lines at 48 KiB.
inline constexpr std::size_t message_bytes_max = 32 * 1024;

/// What becomes of a message: control characters escaped, and cut to message_bytes_max with "… (N more bytes)" at its end.
/// Returns `message` itself where nothing is to be changed, else a view of `storage`.
std::string_view line_text(std::string_view message, std::string& storage);
/// The longest beginning of at most `size` bytes that cuts no character in two. Requires: size < text.size().
std::size_t cut_at(std::string_view text, std::size_t size) noexcept;

/// Further fields of a line are left out, and counted at its end.
inline constexpr std::size_t fields_max = 32;
/// No more of a field's value is shown in a line.
inline constexpr std::size_t value_bytes_max = 4 * 1024;
/// What stands for the value of a secret field; --print-config uses the same word.
inline constexpr std::string_view redacted = "***";
/// Appends ` name=value` for each: a value that is empty, or has anything but visible ASCII, a quote or a `=` in it, between quotes
/// and escaped.
void append_fields(std::string& out, std::span<const LogField> fields);

/// 7, 6, 4, 3, 2: syslog(3) without a facility.
int syslog_priority(Level level) noexcept;
/// journalctl's colours; empty for Info, which has none.
std::string_view colour_of(Level level) noexcept;

/// Appends the line without a newline.
void append_line(std::string& out, LogFormat format, std::string_view name, const LogLine& line);

}  // namespace perdure::logbook
