// UnitFile: one file in the dialect of systemd.syntax(7) as assignments with line numbers; what they mean is load_unit's business.
//
// It is not the dialect of config/ini.hpp: a value is the rest of its line, quotes and "#" included; "key=value \" goes on with the
// next line that is no comment, the backslash becoming a blank; comments are whole lines that begin with # or ;. Lines end in
// LF, CR or CRLF, a byte order mark of UTF-8 is skipped, a line that is no UTF-8 is left out.
// Like systemd, an unknown section, a line without "=" and one outside of a section are warnings; a broken section header is an
// error, because it is unknown what the lines below it would belong to.
// Thread and fork safety: a pure function. Signal safety: none.
//
//     const config::Parsed<UnitFile> file = parse_unit_file(text, "/etc/systemd/system/web.service");
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/parsed.hpp"

namespace perdure::unit {

inline constexpr std::size_t unit_file_bytes_max = std::size_t{1} << 20;
/// Of a line with all its continuations. A longer one is an error for the whole file: it is never cut.
inline constexpr std::size_t unit_line_bytes_max = std::size_t{64} << 10;

struct Assignment {
  std::string section{};
  std::string key{};
  std::string value{};  ///< without blanks around it; empty resets what can be reset
  int line = 0;         ///< where it begins, from 1
};

struct SectionHeader {
  std::string name{};
  int line = 0;
};

struct UnitFile {
  std::vector<Assignment> assignments{};  ///< in the file's order
  std::vector<SectionHeader> sections{};  ///< as often as a header is there
  bool is_usable = true;                  ///< false: an error among the diagnostics, and nothing else here
};

/// Ensures: a text that is too large, UTF-16, has a NUL or a line that is too long gives nothing but the error.
config::Parsed<UnitFile> parse_unit_file(std::string_view text, std::string_view source);

}  // namespace perdure::unit
