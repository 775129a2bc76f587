#include "logbook/line_view.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::logbook {
namespace {

constexpr std::int64_t ns_per_s = 1'000'000'000;
constexpr std::int64_t ns_per_us = 1'000;

time_t seconds_of(const TimeRecord& time) noexcept {
  return static_cast<time_t>(time.realtime_ns / ns_per_s - (time.realtime_ns % ns_per_s < 0 ? 1 : 0));
}

/// What stands where a time is lost: as long as one that is known.
std::string_view lost_time(ShowFormat format) noexcept {
  switch (format) {
    case ShowFormat::ShortIso: return "----------T--:--:--+----";
    case ShowFormat::ShortPrecise: return "--- -- --:--:--.------";
    case ShowFormat::ShortUnix: return "----------.------";
    default: return "--- -- --:--:--";
  }
}

void append_time(std::string& out, const LineView& view, const LineOrigin& origin) {
  if (!origin.time) {
    out += lost_time(view.format);
    return;
  }
  const time_t when = seconds_of(*origin.time);
  const std::int64_t us = (origin.time->realtime_ns - std::int64_t{when} * ns_per_s) / ns_per_us;
  if (view.format == ShowFormat::ShortUnix) {
    fmt::format_to(std::back_inserter(out), "{}.{:06}", when, us);
    return;
  }
  tm parts{};
  if (::localtime_r(&when, &parts) == nullptr) return;
  constexpr std::size_t longest = 64;
  std::array<char, longest> text{};
  if (view.format == ShowFormat::ShortIso) {
    out.append(text.data(), ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S%z", &parts));
    return;
  }
  // strftime's %b speaks the locale's language; syslog's months are English.
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  fmt::format_to(std::back_inserter(out), "{} {:02} {:02}:{:02}:{:02}", months[static_cast<std::size_t>(parts.tm_mon) % 12],
                 parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  if (view.format == ShowFormat::ShortPrecise) fmt::format_to(std::back_inserter(out), ".{:06}", us);
}

/// journalctl's: errors red, warnings yellow, notices bold, debug grey.
std::string_view colour_of(int priority) noexcept {
  constexpr int error = 3, warning = 4, notice = 5, debug = 7;
  if (priority <= error) return "\x1b[0;1;31m";
  if (priority == warning) return "\x1b[0;1;38;5;185m";
  if (priority == notice) return "\x1b[0;1;39m";
  return priority == debug ? "\x1b[0;38;5;245m" : std::string_view{};
}

std::string_view shown_identifier(const LineView& view) noexcept {
  return view.identifier.empty() ? identifier_of(std::string_view{view.unit}) : std::string_view{view.identifier};
}

// As base::escape, but a tab stays: a terminal does nothing with it but go on.
void append_escaped(std::string& out, std::string_view text) {
  for (;;) {
    const std::string_view part = text.substr(0, text.find('\t'));
    const bool plain = std::all_of(part.begin(), part.end(), [](char c) { return c >= ' ' && c <= '~'; });
    if (plain) out += part;
    else out += base::escape(part);
    if (part.size() == text.size()) return;
    out += '\t';
    text.remove_prefix(part.size() + 1);
  }
}

/// Without the beginning of a character that the cut has left at the end.
std::string_view whole_characters(std::string_view text) noexcept {
  constexpr std::size_t longest = 4;
  for (std::size_t back = 1; back < longest && back <= text.size(); ++back) {
    const std::string_view tail = text.substr(text.size() - back);
    const auto first = static_cast<unsigned char>(tail.front());
    if (first < 0x80) return text;
    if (first >= 0xC0) return base::utf8_length(tail) == back ? text : text.substr(0, text.size() - back);
  }
  return text;
}

// ---- JSON --------------------------------------------------------------------------------------------------------------------

/// Nothing for bytes that are no text: no UTF-8, or control characters but tab.
std::optional<std::string> json_string(std::string_view text) {
  std::string out{'"'};
  while (!text.empty()) {
    const std::size_t length = base::utf8_length(text);
    const std::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    if (length == 1) {
      const char c = character.front();
      if ((c < ' ' && c != '\t') || c == '\x7F') return std::nullopt;
      if (c == '"' || c == '\\') out += '\\';
      if (c == '\t') out += "\\t";
      else out += c;
      continue;
    }
    if (length == 0) return std::nullopt;
    if (base::escape(character) == character) {
      out += character;
      continue;
    }
    if (length != 3) return std::nullopt;  // C1 controls have two bytes; what turns the direction of text has three
    const auto part = [&](std::size_t at) { return static_cast<unsigned char>(character[at]) & 0x3FU; };
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", (part(0) & 0xFU) << 12 | part(1) << 6 | part(2));
  }
  out += '"';
  return out;
}

std::string json_value(std::string_view text) {
  if (auto value = json_string(text)) return *std::move(value);
  std::string out{'['};
  for (const char c : text) fmt::format_to(std::back_inserter(out), "{},", static_cast<unsigned char>(c));
  out.back() = ']';
  return out;
}

std::string hexadecimal(const InvocationId& id) {
  std::string out;
  for (const std::uint8_t byte : id) fmt::format_to(std::back_inserter(out), "{:02x}", byte);
  return out;
}

/// NAME, value and whether the value is text from outside, in journalctl's order; `add` writes them.
template <typename Add>
void each_field(const LineView& view, const LineOrigin& origin, std::string_view text, std::uint64_t cut, int priority,
                Add add) {
  const auto number = [&add](std::string_view name, auto value) { add(name, fmt::format("{}", value)); };
  add("__CURSOR", fmt::format("s={:08};o={}", origin.place.segment, origin.place.offset));
  if (origin.time) {
    number("__REALTIME_TIMESTAMP", origin.time->realtime_ns / ns_per_us);
    number("__MONOTONIC_TIMESTAMP", origin.time->monotonic_ns / ns_per_us);
  }
  add("_HOSTNAME", view.host);
  add("_SYSTEMD_UNIT", view.unit);
  if (origin.invocation != InvocationId{}) add("_SYSTEMD_INVOCATION_ID", hexadecimal(origin.invocation));
  if (origin.main_pid != 0) number("_PID", origin.main_pid);
  add("_TRANSPORT", "stdout");
  add("SYSLOG_IDENTIFIER", shown_identifier(view));
  number("PRIORITY", priority);
  add("MESSAGE", text);
  if (cut > 0) number("PERDURE_BYTES_CUT", cut);
}

// systemd's "Journal Export Formats": values that are no text come after their size, 64 bits, little-endian.
void append_export_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  if (json_string(value)) {
    out += '=';
  } else {
    out += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8) out += static_cast<char>(std::uint64_t{value.size()} >> shift & 0xFFU);
  }
  out += value;
  out += '\n';
}

}  // namespace

std::string_view identifier_of(std::string_view unit) noexcept { return unit.substr(0, unit.rfind('.')); }

std::optional<int> take_level(std::string_view& text) noexcept {
  if (text.size() < 3 || text[0] != '<' || text[2] != '>' || text[1] < '0' || text[1] > '7') return std::nullopt;
  const int level = text[1] - '0';
  text.remove_prefix(3);
  return level;
}

void append_line(std::string& out, const LineView& view, const LinePiece& piece, int priority) {
  if (view.format == ShowFormat::Cat && view.raw) {
    out += piece.text;
    if (piece.ends) out += '\n';
    return;
  }
  const std::string_view text = piece.cut > 0 ? whole_characters(piece.text) : piece.text;
  const std::uint64_t cut = piece.cut + (piece.text.size() - text.size());
  if (view.format == ShowFormat::Json) {
    char before = '{';
    each_field(view, piece.origin, text, cut, priority, [&](std::string_view name, std::string_view value) {
      fmt::format_to(std::back_inserter(out), "{}\"{}\":{}", before, name, json_value(value));
      before = ',';
    });
    out += "}\n";
    return;
  }
  if (view.format == ShowFormat::Export) {
    each_field(view, piece.origin, text, cut, priority,
               [&out](std::string_view name, std::string_view value) { append_export_field(out, name, value); });
    out += '\n';
    return;
  }
  if (view.format != ShowFormat::Cat) {
    append_time(out, view, piece.origin);
    if (!view.hides_host) fmt::format_to(std::back_inserter(out), " {}", base::escape(view.host));
    fmt::format_to(std::back_inserter(out), " {}", base::escape(shown_identifier(view)));
    if (piece.origin.main_pid != 0) fmt::format_to(std::back_inserter(out), "[{}]", piece.origin.main_pid);
    out += ": ";
  }
  const std::string_view colour = view.has_colours ? colour_of(priority) : std::string_view{};
  out += colour;
  append_escaped(out, text);
  if (!colour.empty()) out += "\x1b[0m";
  if (cut > 0) fmt::format_to(std::back_inserter(out), "… ({} more bytes)", cut);
  out += '\n';
}

}  // namespace perdure::logbook
