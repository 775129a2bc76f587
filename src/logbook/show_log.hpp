// show_log(): prints what units have written, as `perdure logs` does, and follows it.
//
// Reads the segments and their index (log_directory.hpp) while somebody else writes, removes or cuts them; needs no manager.
// Lines of several units come in the order of their times. Text for people is always escaped: control characters but tab, DEL, C1,
// invalid UTF-8 and marks that turn the direction of text come out as \xNN (\r for a carriage return). Only ShowFormat::Cat to
// something that is no terminal gives the bytes as they were written. A line longer than shown_bytes_max is cut, with
// "… (N more bytes)" at its end. Lines whose time was lost show dashes. "<N>" in front of a line is its priority, and not shown.
// Left out: a pager. Memory does not grow with the log, but with `last` where it goes with a filter or several units.
// Thread safety: pure but for the files; asks for the local time zone as localtime_r(3) does. Not signal-safe.
//
//     const ShowOptions options{.log_directory = logs, .units = {"web.service"}, .last = 10, .terminal = isatty(1) == 1};
//     PERDURE_TRY(auto shown, logbook::show_log(options, [](std::string_view text) { return write_to_stdout(text); }));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::logbook {

/// The names of journalctl's -o.
enum class ShowFormat : std::uint8_t {
  Short,         ///< Nov 21 04:40:10 host web[4207]: message
  ShortIso,      ///< 2025-11-21T04:40:10+0000 host web[4207]: message
  ShortPrecise,  ///< Nov 21 04:40:10.500000 host web[4207]: message
  ShortUnix,     ///< 1763700010.500000 host web[4207]: message
  Cat,           ///< message
  Json,          ///< one object per line, all values strings; bytes that are no text are an array of numbers
  Export,        ///< NAME=VALUE lines and an empty one: systemd's Journal Export Format
};
/// "short", "short-iso", "short-precise", "short-unix", "cat", "json", "export".
std::optional<ShowFormat> parse_show_format(std::string_view word) noexcept;

/// syslog(3): 0 is the most urgent, 7 the least.
inline constexpr int priority_default = 6, priority_last = 7;

/// What a unit's settings say about its lines.
struct LineSettings {
  std::string identifier{};         ///< SyslogIdentifier=; empty: the unit without its type
  int priority = priority_default;  ///< SyslogLevel=: of lines that do not say
  bool has_level_prefix = true;     ///< SyslogLevelPrefix=: "<N>" in front is a priority
};

struct ShowOptions {
  std::string log_directory{};
  std::vector<std::string> units{};  ///< each once
  /// fnmatch(3) patterns: also units of such names, those that come while following, too.
  std::vector<std::string> patterns{};
  ShowFormat format = ShowFormat::Short;
  std::optional<std::uint64_t> last{};  ///< only so many lines from the end, then what follows; none: all
  bool follow = false;                  ///< goes on until `stop` is readable or the sink refuses
  bool reverse = false;                 ///< the newest line first; requires: not `follow`
  /// Lines of these times only, in microseconds since 1970; lines without a time are left out then.
  std::optional<std::int64_t> since_us{}, until_us{};
  int priority_from = 0, priority_to = priority_last;           ///< lines of these priorities only
  std::vector<std::string> identifiers{};                       ///< lines of these only; none: of all
  std::map<std::string, LineSettings, std::less<>> settings{};  ///< by unit; those that are missing have none
  bool terminal = false;                                        ///< what the sink writes to obeys control characters
  bool has_colours = false;
  bool hides_host = false;
  bool is_quiet = false;  ///< no "-- No entries --"
  int stop = -1;          ///< a descriptor that ends following when it is readable or hung up; -1: none
  std::string host{};     ///< empty: this machine's name
};

/// Takes whole lines, with their newline (Cat: possibly parts of a line). Returns whether more is wanted.
using ShowSink = std::function<bool(std::string_view)>;

/// Returns how many lines were shown. Where there are none, and not following, the sink gets "-- No entries --", except as Json,
/// Export and Cat.
/// A directory that does not exist is a log without entries; following waits for it.
/// On failure (a directory that cannot be read): what was shown was shown.
Result<std::uint64_t> show_log(const ShowOptions& options, const ShowSink& sink);

/// The units that have a log, by name; none where the directory does not exist.
Result<std::vector<std::string>> units_with_logs(const std::string& log_directory);

/// Longest part of a line that is shown.
inline constexpr std::size_t shown_bytes_max = 64U << 10;

}  // namespace perdure::logbook
