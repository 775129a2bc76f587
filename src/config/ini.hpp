// The dialect of `key = value` files.
//
//   # a comment, and ; is one too, at the beginning of a line (after blanks)
//   key = value                  blanks around the key and the value are dropped
//   key = value  # comment       a comment within a line needs a blank and # ; the value cannot begin with #
//   key = "value # \n"           quotes go around a whole value and keep blanks and #; so does 'value'
//   key =                        an empty value (`key = ""` is an empty text)
//   [section]                    until the next header; [a.b] is allowed; a header may come again
//
// Within quotes \n \r \t \\ \" \' and \xNN mean what they do in C; \x has exactly two digits. Lines end in LF or CRLF; a
// byte order mark of UTF-8 is skipped. Values are bytes: what is no UTF-8 passes. A value ends with its line.
// What keys mean is left to the caller (see detail::apply). A diagnostic never repeats a value: it may be a secret.
// Thread and fork safety: a pure function. Not signal-safe.
//
//     auto [file, diagnostics] = parse_ini(text, "/etc/thermod.conf");
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/parsed.hpp"

namespace perdure::config {

inline constexpr std::size_t ini_bytes_max = std::size_t{1} << 20;
inline constexpr std::size_t ini_line_bytes_max = std::size_t{64} << 10;

/// Lines and columns count from 1; columns count characters of UTF-8, not bytes.
struct IniEntry {
  std::string key{};
  std::string value{};
  bool is_quoted = false;
  int line = 0;
  int key_column = 0;
  int value_column = 0;
};

struct IniSection {
  std::string name{};  ///< empty for what stands before the first header
  int line = 0;
  int column = 0;  ///< of the name
  std::vector<IniEntry> entries{};
};

struct IniFile {
  /// In the file's order, as often as a header is there; the nameless one is always the first.
  std::vector<IniSection> sections{IniSection{}};
};

/// Why nothing of a text can be read: more than ini_bytes_max, UTF-16, a NUL byte.
std::optional<Diagnostic> fault_of_whole_text(std::string_view text, std::string_view source);

/// Ensures: a faulty line is left out, the others are there. A text that is too large, UTF-16 or has a NUL gives nothing.
Parsed<IniFile> parse_ini(std::string_view text, std::string_view source);

}  // namespace perdure::config
