#include "logbook/journal_record.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/line_format.hpp"

namespace perdure::logbook {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  if (value.find('\n') == std::string_view::npos) {
    out.append("=").append(value).append("\n");
    return;
  }
  out.push_back('\n');
  for (int shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(std::uint64_t{value.size()} >> shift));
  out.append(value).append("\n");
}

std::string escaped_line_by_line(std::string_view message) {
  std::string text;
  for (const std::string_view line : base::split(message, '\n')) {
    if (!text.empty() || line.data() != message.data()) text.push_back('\n');
    text.append(base::escape(line));
  }
  return text;
}

// What of `text` is sent, and a word about the rest.
std::string cut(std::string_view text, std::size_t bytes_max, std::string (*shown)(std::string_view)) {
  if (text.size() <= bytes_max) return shown(text);
  const std::size_t end = cut_at(text, bytes_max);
  return fmt::format("{}… ({} more bytes)", shown(text.substr(0, end)), text.size() - end);
}

}  // namespace

void append_record(std::string& out, std::string_view identifier, SyslogFacility facility, const LogLine& line) {
  std::string message{line.text};
  if (!line.message.empty()) {
    message = cut(line.message, journal_message_bytes_max, escaped_line_by_line);
    append_fields(message, line.fields);
  }
  append_field(out, "MESSAGE", message);
  append_field(out, "PRIORITY", fmt::to_string(syslog_priority(line.level)));
  append_field(out, "SYSLOG_FACILITY", fmt::to_string(static_cast<int>(facility)));
  append_field(out, "SYSLOG_IDENTIFIER", base::escape(identifier));
  const auto as_it_is = [](std::string_view value) { return std::string{value}; };
  for (const LogField& field : line.fields.first(std::min(line.fields.size(), fields_max))) {
    append_field(out, journal_name(field.name),
                 field.is_secret ? std::string{redacted} : cut(field.value, journal_value_bytes_max, as_it_is));
  }
}

std::string journal_name(std::string_view name) {
  constexpr std::array<std::string_view, 2> ours{"MESSAGE", "PRIORITY"};
  std::string word;
  for (const char c : name) {
    if (base::is_lower(c)) {
      word.push_back(static_cast<char>(c - ('a' - 'A')));
    } else {
      word.push_back((c >= 'A' && c <= 'Z') || base::is_digit(c) ? c : '_');
    }
  }
  const bool is_taken = std::find(ours.begin(), ours.end(), word) != ours.end() || word.starts_with("SYSLOG_");
  if (is_taken || word.empty() || word.front() == '_' || base::is_digit(word.front())) word.insert(0, "FIELD_");
  word.resize(std::min(word.size(), journal_name_bytes_max));
  return word;
}

}  // namespace perdure::logbook
