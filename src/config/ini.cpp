#include "config/ini.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "base/text.hpp"

namespace perdure::config {
namespace {

using base::is_space;
using base::trim;

constexpr auto npos = std::string_view::npos;

int column_at(std::string_view line, std::size_t offset) {
  const std::string_view before = line.substr(0, offset);
  return 1 + static_cast<int>(std::count_if(before.begin(), before.end(), [](char c) {
           return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // every byte that begins a character
         }));
}

bool is_name_byte(char c) {
  return base::is_lower(base::to_lower(c)) || base::is_digit(c) || c == '_' || c == '-' || c == '.';
}
bool is_name(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_name_byte); }
bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; }

std::size_t skip_blanks(std::string_view line, std::size_t at) {
  while (at < line.size() && is_space(line[at])) ++at;
  return at;
}

// Where a comment within a line begins: its '#', which has a blank before it.
std::size_t find_comment(std::string_view line, std::size_t from) {
  for (std::size_t at = line.find('#', from); at != npos; at = line.find('#', at + 1))
    if (at > 0 && is_space(line[at - 1])) return at;
  return npos;
}

// Nothing, or a comment, may follow what is complete.
bool is_over(std::string_view line, std::size_t at) {
  const std::size_t next = skip_blanks(line, at);
  return next == line.size() || (next > at && line[next] == '#');
}

std::optional<char> simple_escape(char c) {
  switch (c) {
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case '\\':
    case '"':
    case '\'': return c;
    default: return std::nullopt;
  }
}

class Parser {
 public:
  explicit Parser(std::string_view source) : source_(source) {}

  Parsed<IniFile> parse(std::string_view text) {
    if (auto unreadable = fault_of_whole_text(text, source_)) {
      faults_.add(*std::move(unreadable));
    } else {
      base::remove_prefix(text, "\xEF\xBB\xBF");
      while (!text.empty() && !faults_.is_cut()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        line_ = text.substr(0, end);
        ++line_number_;
        if (line_.ends_with('\r')) line_.remove_suffix(1);
        read_line();
        text.remove_prefix(std::min(end + 1, text.size()));
      }
    }
    return {std::move(file_), std::move(faults_).take()};
  }

 private:
  void fault(std::size_t offset, std::string message) {
    faults_.add(
        {.source = source_, .line = line_number_, .column = column_at(line_, offset), .message = std::move(message)});
  }

  void read_line() {
    if (line_.size() > ini_line_bytes_max)
      return fault(0, "the line is longer than " + std::to_string(ini_line_bytes_max) + " bytes");
    const std::size_t start = skip_blanks(line_, 0);
    if (start == line_.size() || line_[start] == '#' || line_[start] == ';') return;
    if (line_[start] == '[') return read_header(start);
    read_setting(start);
  }

  void read_header(std::size_t start) {
    // What stands under a header that cannot be read belongs to no section, and would only bring faults that are none.
    is_in_section_ = false;
    const std::size_t end = line_.find(']', start);
    if (end == npos) return fault(start, "\"]\" is missing; a section begins with a line \"[name]\"");
    const std::string_view name = trim(line_.substr(start + 1, end - start - 1));
    const std::size_t name_at = skip_blanks(line_, start + 1);
    if (!is_name(name)) return fault(name_at, "the name of the section is malformed; names are made of a-z, 0-9 and _");
    if (!is_over(line_, end + 1)) return fault(end + 1, "text after the name of the section");
    is_in_section_ = true;
    file_.sections.push_back({.name = std::string{name}, .line = line_number_, .column = column_at(line_, name_at)});
  }

  void read_setting(std::size_t start) {
    const std::size_t equals = line_.find('=', start);
    if (equals == npos) return fault(start, "\"=\" is missing; a setting is a line \"name = value\"");
    const std::string_view key = base::trim_end(line_.substr(start, equals - start));
    if (key.empty()) return fault(start, "the name before \"=\" is missing");
    if (!is_name(key)) return fault(start, "the name before \"=\" is malformed; names are made of a-z, 0-9 and _");
    const std::size_t value_at = skip_blanks(line_, equals + 1);
    const bool is_quoted = value_at < line_.size() && (line_[value_at] == '"' || line_[value_at] == '\'');
    std::optional<std::string> value = is_quoted ? read_quoted(value_at) : read_plain(value_at);
    if (!value || !is_in_section_) return;
    file_.sections.back().entries.push_back({.key = std::string{key},
                                             .value = *std::move(value),
                                             .is_quoted = is_quoted,
                                             .line = line_number_,
                                             .key_column = column_at(line_, start),
                                             .value_column = column_at(line_, value_at)});
  }

  std::optional<std::string> read_plain(std::size_t start) {
    if (start < line_.size() && line_[start] == '#') {
      fault(start, "a value that begins with # needs quotes");
      return std::nullopt;
    }
    const std::size_t comment = find_comment(line_, start);
    const std::string_view value = base::trim_end(line_.substr(start, comment == npos ? npos : comment - start));
    if (comment != npos && std::count(value.begin(), value.end(), '"') % 2 != 0) {
      fault(comment, "a comment would begin within quotes; put quotes around the whole value");
      return std::nullopt;
    }
    for (std::size_t i = 0; i < value.size(); ++i)
      if (is_control(value[i])) return refuse_control(start + i);
    return std::string{value};
  }

  std::optional<std::string> read_quoted(std::size_t start) {
    const char mark = line_[start];
    std::string value;
    for (std::size_t at = start + 1; at < line_.size();) {
      const char c = line_[at];
      if (c == mark) {
        if (is_over(line_, at + 1)) return value;
        fault(at + 1, "text after the closing quote; put quotes around the whole value");
        return std::nullopt;
      }
      if (is_control(c)) return refuse_control(at);
      if (c != '\\') {
        value += c;
        ++at;
        continue;
      }
      const std::size_t length = read_escape(at, value);
      if (length == 0) return std::nullopt;
      at += length;
    }
    fault(start, "the quote that begins here does not end on this line");
    return std::nullopt;
  }

  // The number of bytes the escape at `at` takes; 0 after a fault.
  std::size_t read_escape(std::size_t at, std::string& value) {
    const std::string_view rest = line_.substr(at + 1);
    if (!rest.empty()) {
      if (const auto c = simple_escape(rest[0])) {
        value += *c;
        return 2;
      }
    }
    unsigned char byte = 0;
    if (rest.size() >= 3 && rest[0] == 'x') {
      const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + 3, byte, 16);
      if (error == std::errc{} && end == rest.data() + 3 && byte != 0) {
        value += static_cast<char>(byte);
        return 4;
      }
    }
    fault(at, R"(this backslash begins no escape; there are \n \r \t \\ \" \' and \x01 to \xff)");
    return 0;
  }

  std::optional<std::string> refuse_control(std::size_t at) {
    const std::string shown = base::escape(line_.substr(at, 1));
    fault(at, "the control character " + shown + " is not allowed as it is; write " + shown + " within quotes");
    return std::nullopt;
  }

  std::string source_;
  IniFile file_;
  Faults faults_;
  std::string_view line_;
  int line_number_ = 0;
  bool is_in_section_ = true;  // the nameless one counts
};

}  // namespace

std::optional<Diagnostic> fault_of_whole_text(std::string_view text, std::string_view source) {
  Diagnostic fault{.source = std::string{source}};
  if (text.size() > ini_bytes_max) {
    fault.message =
        "the file has " + std::to_string(text.size()) + " bytes; at most " + std::to_string(ini_bytes_max) + " are read";
    return fault;
  }
  const std::size_t nul = text.find('\0');
  // Without its mark, UTF-16 of a Latin text has a NUL in one of the first two bytes.
  if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF") || nul < 2) {
    fault.line = 1;
    fault.column = 1;
    fault.message = nul < 2 && text.size() < 4 ? "a NUL byte; this is no text" : "the file is UTF-16; save it as UTF-8";
    return fault;
  }
  if (nul == npos) return std::nullopt;
  const std::string_view before = text.substr(0, nul);
  const std::size_t newline = before.rfind('\n');
  const std::size_t start = newline == npos ? 0 : newline + 1;
  fault.line = 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
  fault.column = column_at(before.substr(start), nul - start);
  fault.message = "a NUL byte; this is no text";
  return fault;
}

Parsed<IniFile> parse_ini(std::string_view text, std::string_view source) { return Parser{source}.parse(text); }

}  // namespace perdure::config
