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

void append_time(std::string& out, const LineView& view, const LineOrigin& origin) {
  const bool iso = view.format == ShowFormat::ShortIso;
  if (!origin.time) {
    out += iso ? "----------T--:--:--+----" : "--- -- --:--:--";
    return;
  }
  const time_t when = seconds_of(*origin.time);
  tm parts{};
  if (::localtime_r(&when, &parts) == nullptr) return;
  constexpr std::size_t longest = 64;
  std::array<char, longest> text{};
  if (iso) {
    out.append(text.data(), ::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S%z", &parts));
    return;
  }
  // strftime's %b speaks the locale's language; syslog's months are English.
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  fmt::format_to(std::back_inserter(out), "{} {:02} {:02}:{:02}:{:02}", months[static_cast<std::size_t>(parts.tm_mon) % 12],
                 parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

/// The name of the unit without its type: what the service is called in a line.
std::string_view identifier_of(std::string_view unit) noexcept { return unit.substr(0, unit.rfind('.')); }

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

void append_json(std::string& out, const LineView& view, const LineOrigin& origin, std::string_view text,
                 std::uint64_t cut) {
  const auto add = [&out](std::string_view name, const std::string& value) {
    out += out.empty() || out.back() == '\n' ? '{' : ',';
    fmt::format_to(std::back_inserter(out), "\"{}\":{}", name, value);
  };
  const auto quoted = [](const auto& value) { return fmt::format("\"{}\"", value); };
  add("__CURSOR", fmt::format("\"s={:08};o={}\"", origin.place.segment, origin.place.offset));
  if (origin.time) {
    add("__REALTIME_TIMESTAMP", quoted(origin.time->realtime_ns / ns_per_us));
    add("__MONOTONIC_TIMESTAMP", quoted(origin.time->monotonic_ns / ns_per_us));
  }
  add("_HOSTNAME", json_value(view.host));
  add("_SYSTEMD_UNIT", json_value(view.unit));
  if (origin.invocation != InvocationId{}) add("_SYSTEMD_INVOCATION_ID", quoted(hexadecimal(origin.invocation)));
  if (origin.main_pid != 0) add("_PID", quoted(origin.main_pid));
  add("_TRANSPORT", quoted("stdout"));
  add("SYSLOG_IDENTIFIER", json_value(identifier_of(view.unit)));
  add("PRIORITY", quoted(6));
  add("MESSAGE", json_value(text));
  if (cut > 0) add("PERDURE_BYTES_CUT", quoted(cut));
  out += "}\n";
}

}  // namespace

void append_line(std::string& out, const LineView& view, const LinePiece& piece) {
  if (view.format == ShowFormat::Cat && view.raw) {
    out += piece.text;
    if (piece.ends) out += '\n';
    return;
  }
  const std::string_view text = piece.cut > 0 ? whole_characters(piece.text) : piece.text;
  const std::uint64_t cut = piece.cut + (piece.text.size() - text.size());
  if (view.format == ShowFormat::Json) return append_json(out, view, piece.origin, text, cut);
  if (view.format != ShowFormat::Cat) {
    append_time(out, view, piece.origin);
    fmt::format_to(std::back_inserter(out), " {} ", base::escape(view.host));
    out += base::escape(identifier_of(view.unit));
    if (piece.origin.main_pid != 0) fmt::format_to(std::back_inserter(out), "[{}]", piece.origin.main_pid);
    out += ": ";
  }
  append_escaped(out, text);
  if (cut > 0) fmt::format_to(std::back_inserter(out), "… ({} more bytes)", cut);
  out += '\n';
}

}  // namespace perdure::logbook
