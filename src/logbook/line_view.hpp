// How a captured line looks: journalctl's short, short-iso, cat and json.
//
// Left out: colours; journalctl's fields that we do not know (_COMM, _BOOT_ID, …).
// Thread safety: asks for the local time zone as localtime_r(3) does. Signal safety: none.
//
//     append_line(out, {.format = ShowFormat::Short, .unit = "web.service", .host = "host1", .raw = false}, piece);
#pragma once

#include <string>
#include <string_view>

#include "logbook/segment_reader.hpp"
#include "logbook/show_log.hpp"

namespace perdure::logbook {

struct LineView {
  ShowFormat format = ShowFormat::Short;
  std::string unit{};
  std::string host{};
  bool raw = false;  ///< Cat only: the bytes as they are
};

/// With a newline where the piece ends the line.
void append_line(std::string& out, const LineView& view, const LinePiece& piece);

}  // namespace perdure::logbook
