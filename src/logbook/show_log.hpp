// show_log(): prints what a unit has written, as `perdure logs -u UNIT` does, and follows it.
//
// Reads the segments and their index (log_directory.hpp) while somebody else writes, removes or cuts them; needs no manager.
// Text for people is always escaped: control characters but tab, DEL, C1, invalid UTF-8 and marks that turn the direction of
// text come out as \xNN (\r for a carriage return). Only ShowFormat::Cat to something that is no terminal gives the bytes as
// they were written. A line longer than shown_bytes_max is cut, with "… (N more bytes)" at its end. Lines whose time was lost show
// dashes.
// Left out: several units in one view, colours, a pager. Memory does not grow with the log.
// Thread safety: pure but for the files; asks for the local time zone as localtime_r(3) does. Not signal-safe.
//
//     const ShowOptions options{.log_directory = logs, .unit = "web.service", .last = 10, .terminal = isatty(1) == 1};
//     PERDURE_TRY(auto shown, logbook::show_log(options, [](std::string_view text) { return write_to_stdout(text); }));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::logbook {

/// The names of journalctl's -o.
enum class ShowFormat : std::uint8_t {
  Short,     ///< Nov 21 04:40:10 host web[4207]: message
  ShortIso,  ///< 2025-11-21T04:40:10+0000 host web[4207]: message
  Cat,       ///< message
  Json,      ///< one object per line, all values strings; bytes that are no text are an array of numbers
};
/// "short", "short-iso", "cat", "json".
std::optional<ShowFormat> parse_show_format(std::string_view word) noexcept;

struct ShowOptions {
  std::string log_directory{};
  std::string unit{};
  ShowFormat format = ShowFormat::Short;
  std::optional<std::uint64_t> last{};  ///< only so many lines from the end, then what follows; none: all
  bool follow = false;                  ///< goes on until `stop` is readable or the sink refuses
  bool terminal = false;                ///< what the sink writes to obeys control characters
  int stop = -1;                        ///< a descriptor that ends following when it is readable or hung up; -1: none
  std::string host{};                   ///< empty: this machine's name
};

/// Takes whole lines, with their newline (Cat: possibly parts of a line). Returns whether more is wanted.
using ShowSink = std::function<bool(std::string_view)>;

/// Returns how many lines were shown. Where there are none, and not following, the sink gets "-- No entries --", except as Json
/// and Cat.
/// A directory that does not exist is a log without entries; following waits for it.
/// On failure (a directory that cannot be read): what was shown was shown.
Result<std::uint64_t> show_log(const ShowOptions& options, const ShowSink& sink);

/// Longest part of a line that is shown.
inline constexpr std::size_t shown_bytes_max = 64U << 10;

}  // namespace perdure::logbook
