#include "logbook/line_format.hpp"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure {

std::optional<Level> parse_level(std::string_view text) noexcept {
  struct Word {
    std::string_view text;
    Level level;
  };
  static constexpr Word words[] = {{"debug", Level::Debug},  {"info", Level::Info},   {"warning", Level::Warning},
                                   {"warn", Level::Warning}, {"error", Level::Error}, {"critical", Level::Critical}};
  for (const Word& word : words) {
    if (base::equals_ignoring_case(text, word.text)) return word.level;
  }
  return std::nullopt;
}

std::string_view level_name(Level level) noexcept {
  switch (level) {
    case Level::Debug: return "DEBUG";
    case Level::Info: return "INFO";
    case Level::Warning: return "WARN";
    case Level::Error: return "ERROR";
    case Level::Critical: return "CRITICAL";
  }
  return "UNKNOWN";
}

}  // namespace perdure

namespace perdure::logbook {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

struct SplitTime {
  time_t whole;
  int millisecond;
};

// Rounded down, so that a time before 1970 has a positive fraction as well.
SplitTime split(system_clock::time_point time) {
  const auto whole = std::chrono::floor<seconds>(time);
  return {static_cast<time_t>(whole.time_since_epoch().count()),
          static_cast<int>(std::chrono::floor<milliseconds>(time - whole).count())};
}

void append_time(std::string& out, const tm& parts, std::string_view separator) {
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1,
                 parts.tm_mday, separator, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

bool is_plain_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

bool is_word_character(char c) noexcept {
  return base::is_lower(base::to_lower(c)) || base::is_digit(c) || c == '_' || c == '.' || c == '-';
}

bool is_visible(std::string_view text) noexcept {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '='; });
}

// Escaped by way of backslashes alone, so that a value's own backslash cannot be taken for one of ours.
std::string quoted(std::string_view value) {
  std::string marked;
  for (const char c : value) {
    if (c == '"' || c == '\\') marked.push_back('\\');
    marked.push_back(c);
  }
  return fmt::format("\"{}\"", base::escape(marked));
}

}  // namespace

std::size_t cut_at(std::string_view text, std::size_t size) noexcept {
  const auto is_continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  std::size_t end = size;
  for (int back = 0; back < 3 && end > 0 && is_continuation(text[end]); ++back) --end;
  return end;
}

std::string_view line_text(std::string_view message, std::string& storage) {
  if (message.size() <= message_bytes_max && is_plain_ascii(message)) return message;
  const std::size_t seen = message.size() <= message_bytes_max ? message.size() : cut_at(message, message_bytes_max);
  storage = base::escape(message.substr(0, seen));
  if (seen < message.size()) fmt::format_to(std::back_inserter(storage), "… ({} more bytes)", message.size() - seen);
  return storage;
}

void append_fields(std::string& out, std::span<const LogField> fields) {
  const auto append = std::back_inserter(out);
  for (const LogField& field : fields.first(std::min(fields.size(), fields_max))) {
    out.push_back(' ');
    for (const char c : field.name) out.push_back(is_word_character(c) ? c : '_');
    const std::size_t end = field.value.size() > value_bytes_max ? cut_at(field.value, value_bytes_max) : field.value.size();
    const std::string_view value = std::string_view{field.value}.substr(0, end);
    if (field.is_secret) {
      fmt::format_to(append, "={}", redacted);
    } else if (is_visible(value)) {
      fmt::format_to(append, "={}", value);
    } else {
      fmt::format_to(append, "={}", quoted(value));
    }
    if (end < field.value.size()) fmt::format_to(append, "… ({} more bytes)", field.value.size() - end);
  }
  if (fields.size() > fields_max) fmt::format_to(append, " … ({} more fields)", fields.size() - fields_max);
}

int syslog_priority(Level level) noexcept {
  switch (level) {
    case Level::Debug: return 7;
    case Level::Info: return 6;
    case Level::Warning: return 4;
    case Level::Error: return 3;
    case Level::Critical: return 2;
  }
  return 6;
}

std::string_view colour_of(Level level) noexcept {
  switch (level) {
    case Level::Debug: return "\x1b[0;38;5;245m";
    case Level::Info: return "";
    case Level::Warning: return "\x1b[0;1;38;5;185m";
    case Level::Error:
    case Level::Critical: return "\x1b[0;1;31m";
  }
  return "";
}

void append_line(std::string& out, LogFormat format, std::string_view name, const LogLine& line) {
  const auto [whole, millisecond] = split(line.time);
  const auto append = std::back_inserter(out);
  tm parts{};
  switch (format) {
    case LogFormat::Plain:
      gmtime_r(&whole, &parts);
      append_time(out, parts, "T");
      fmt::format_to(append, ".{:03}Z {:<5} ", millisecond, level_name(line.level));
      break;
    case LogFormat::UnixSeconds: fmt::format_to(append, "[{}] [{}] ", whole, level_name(line.level)); break;
    case LogFormat::Named:
      localtime_r(&whole, &parts);
      append_time(out, parts, " ");
      fmt::format_to(append, ",{:03} - {} - {} - ", millisecond, name, level_name(line.level));
      break;
    case LogFormat::Message: break;
  }
  out.append(line.text);
}

}  // namespace perdure::logbook
