// How a captured line looks: journalctl's short, short-iso, short-precise, short-unix, cat, json and export.
//
// Left out: journalctl's fields that we do not know (_COMM, _BOOT_ID, …).
// Thread safety: asks for the local time zone as localtime_r(3) does. Signal safety: none.
//
//     const int priority = take_level(piece.text).value_or(priority_default);
//     append_line(out, {.format = ShowFormat::Short, .unit = "web.service", .host = "host1", .raw = false}, piece, priority);
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "logbook/segment_reader.hpp"
#include "logbook/show_log.hpp"

namespace perdure::logbook {

struct LineView {
  ShowFormat format = ShowFormat::Short;
  std::string unit{};
  std::string host{};
  bool raw = false;          ///< Cat only: the bytes as they are
  std::string identifier{};  ///< empty: the unit without its type
  bool hides_host = false;   ///< of the short formats
  bool has_colours = false;  ///< by priority, of the formats for people
};

/// With a newline where the piece ends the line.
void append_line(std::string& out, const LineView& view, const LinePiece& piece, int priority = priority_default);

/// What a unit is called in its lines: its name without its type.
std::string_view identifier_of(std::string_view unit) noexcept;
/// Takes "<N>", N from 0 to 7, off the front of a line, as sd-daemon(3) writes priorities, and says which it was.
std::optional<int> take_level(std::string_view& text) noexcept;

}  // namespace perdure::logbook
