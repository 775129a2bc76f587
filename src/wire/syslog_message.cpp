#include "wire/syslog_message.hpp"

#include <cstddef>

#include "base/text.hpp"

namespace perdure::wire {
namespace {

constexpr int priorities = 8;
constexpr int most = 191;  // LOG_LOCAL7 | LOG_DEBUG

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// "<30>"
void take_priority(std::string_view& rest, SyslogMessage& message) noexcept {
  const std::size_t end = rest.find('>');
  if (!rest.starts_with('<') || end == std::string_view::npos) return;
  const auto number = base::parse_number<int>(rest.substr(1, end - 1));
  if (!number || *number < 0 || *number > most) return;
  message.priority = *number % priorities;
  rest.remove_prefix(end + 1);
}

/// Whether the text has the shape: 'a' a letter, '0' a digit, '_' a digit or a blank, any other byte itself.
bool has_shape(std::string_view text, std::string_view shape) noexcept {
  if (text.size() < shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const char c = text[i];
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    switch (shape[i]) {
      case 'a':
        if (!is_letter) return false;
        break;
      case '0':
        if (!is_digit(c)) return false;
        break;
      case '_':
        if (!is_digit(c) && c != ' ') return false;
        break;
      default:
        if (c != shape[i]) return false;
    }
  }
  return true;
}

/// "Nov 21 04:40:10 ", or as newer programs write it "2025-11-21T04:40:10.123456+01:00 ".
void drop_time(std::string_view& rest) noexcept {
  constexpr std::string_view usual = "aaa _0 00:00:00 ";
  if (has_shape(rest, usual)) return rest.remove_prefix(usual.size());
  if (!has_shape(rest, "0000-00-00T00:00:00")) return;
  const std::size_t end = rest.find(' ');
  if (end != std::string_view::npos) rest.remove_prefix(end + 1);
}

/// "cron[812]: " or "cron: "
void take_identifier(std::string_view& rest, SyslogMessage& message) noexcept {
  const std::size_t end = rest.find_first_of(" \t\n:[");
  if (end == std::string_view::npos || end == 0) return;
  std::string_view after = rest.substr(end);
  std::string_view pid;
  if (after.front() == '[') {
    const std::size_t close = after.find(']');
    if (close == std::string_view::npos || after.find_first_of(" \t\n") < close) return;
    pid = after.substr(1, close - 1);
    after.remove_prefix(close + 1);
  }
  if (!base::remove_prefix(after, ":")) return;
  message.identifier = rest.substr(0, end);
  message.pid = pid;
  base::remove_prefix(after, " ");
  rest = after;
}

}  // namespace

SyslogMessage parse_syslog(std::string_view datagram) noexcept {
  SyslogMessage message;
  while (!datagram.empty() && (datagram.back() == '\n' || datagram.back() == '\0')) datagram.remove_suffix(1);
  take_priority(datagram, message);
  drop_time(datagram);
  take_identifier(datagram, message);
  message.text = datagram;
  return message;
}

}  // namespace perdure::wire
