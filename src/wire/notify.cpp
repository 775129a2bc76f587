#include "wire/notify.hpp"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perdure::wire {
namespace {

std::optional<NotifyField> parse_line(std::string_view line) noexcept {
  const auto equals = line.find('=');
  if (equals == 0 || equals == std::string_view::npos) return std::nullopt;
  return NotifyField{line.substr(0, equals), line.substr(equals + 1)};
}

// At most `size` bytes, and no half of a character at the end.
std::string_view beginning(std::string_view text, std::size_t size) noexcept {
  if (text.size() <= size) return text;
  const auto is_continuation = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  for (int back = 0; back < 3 && size > 0 && is_continuation(text[size]); ++back) --size;
  return text.substr(0, size);
}

}  // namespace

std::optional<std::string_view> NotifyMessage::value(std::string_view name) const noexcept {
  const auto found =
      std::find_if(fields.rbegin(), fields.rend(), [&](const NotifyField& field) { return field.name == name; });
  if (found == fields.rend()) return std::nullopt;
  return found->value;
}

NotifyMessage parse_notify(std::string_view datagram) {
  NotifyMessage message;
  if (datagram.size() > notify_bytes_max) {
    message.ignored = 1;
    return message;
  }
  for (const std::string_view line : base::split(datagram, '\n')) {
    if (line.empty()) continue;
    const auto field = parse_line(line);
    if (field && message.fields.size() < notify_fields_max) {
      message.fields.push_back(*field);
    } else {
      ++message.ignored;
    }
  }
  return message;
}

std::string compose_notify(std::span<const NotifyField> fields) {
  // The names have their place for certain; the values share what is left, first come, first served.
  std::size_t left = notify_bytes_max;
  for (const NotifyField& field : fields) {
    const std::size_t needed = field.name.size() + 2;
    PERDURE_ASSERT(needed <= left && field.name.find_first_of("=\n") == std::string_view::npos, "a notify name must fit");
    left -= needed;
  }
  std::string datagram;
  for (const NotifyField& field : fields) {
    if (!datagram.empty()) datagram += '\n';
    datagram.append(field.name).append("=");
    const std::string_view value = beginning(field.value, left);
    left -= value.size();
    std::replace_copy(value.begin(), value.end(), std::back_inserter(datagram), '\n', ' ');
  }
  return datagram;
}

std::string compose_notify(std::initializer_list<NotifyField> fields) {
  return compose_notify(std::span<const NotifyField>{fields.begin(), fields.size()});
}

Result<void> check_notify(std::string_view lines) {
  if (lines.size() > notify_bytes_max) {
    return Error{"cannot notify the init: the message has " + std::to_string(lines.size()) + " bytes, " +
                     std::to_string(notify_bytes_max) + " is the most; nothing was sent",
                 EMSGSIZE};
  }
  bool is_empty = true;
  for (const std::string_view line : base::split(lines, '\n')) {
    if (line.empty()) continue;
    is_empty = false;
    if (!parse_line(line)) {
      return Error{"cannot notify the init: " + base::quote(line) + " is not NAME=value; nothing was sent", EINVAL};
    }
  }
  if (is_empty) return Error{"cannot notify the init: the message is empty", EINVAL};
  return {};
}

}  // namespace perdure::wire
