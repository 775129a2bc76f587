#include "unit/specifiers.hpp"

#include <optional>

#include "base/text.hpp"

namespace perdure::unit {
namespace {

using Context = SpecifierContext;

struct Known {
  char letter;
  std::string_view meaning;
  std::string (*value)(const Context&);
};

template <std::string Specifiers::*Member>
std::string fact(const Context& context) {
  return context.machine.*Member;
}

std::string_view last_part(std::string_view prefix) { return prefix.substr(prefix.rfind('-') + 1); }

// The path an escaped name stands for: "-" alone is the root directory.
std::string path_of(const Context& context) {
  const std::string_view escaped = context.name.is_instance() ? context.name.instance() : context.name.prefix();
  return escaped == "-" ? "/" : '/' + unescape_name(escaped);
}

std::string directory_of(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return std::string{slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash == 0 ? 1 : slash)};
}

// What is empty for a reason: units without an instance.
bool may_be_empty(char letter) { return letter == 'i' || letter == 'I'; }

// clang-format off
constexpr Known table[] = {
    {'a', "the architecture", fact<&Specifiers::architecture>},
    {'b', "the boot id", fact<&Specifiers::boot_id>},
    {'C', "the cache directory", fact<&Specifiers::cache_directory>},
    {'E', "the configuration directory", fact<&Specifiers::configuration_directory>},
    {'f', "the path in the unit's name", path_of},
    {'g', "the group", fact<&Specifiers::group_name>},
    {'G', "the gid", fact<&Specifiers::gid>},
    {'h', "the home directory", fact<&Specifiers::home>},
    {'H', "the host name", fact<&Specifiers::hostname>},
    {'i', "the instance", [](const Context& c) { return std::string{c.name.instance()}; }},
    {'I', "the instance", [](const Context& c) { return unescape_name(c.name.instance()); }},
    {'j', "the last part of the prefix", [](const Context& c) { return std::string{last_part(c.name.prefix())}; }},
    {'J', "the last part of the prefix", [](const Context& c) { return unescape_name(last_part(c.name.prefix())); }},
    {'l', "the short host name", fact<&Specifiers::short_hostname>},
    {'L', "the log directory", fact<&Specifiers::log_directory>},
    {'m', "the machine id", fact<&Specifiers::machine_id>},
    {'n', "the unit's name", [](const Context& c) { return c.name.text(); }},
    {'N', "the unit's name", [](const Context& c) { return std::string{c.name.stem()}; }},
    {'o', "the ID of os-release", fact<&Specifiers::os_id>},
    {'p', "the prefix", [](const Context& c) { return std::string{c.name.prefix()}; }},
    {'P', "the prefix", [](const Context& c) { return unescape_name(c.name.prefix()); }},
    {'s', "the shell", fact<&Specifiers::shell>},
    {'S', "the state directory", fact<&Specifiers::state_directory>},
    {'t', "the runtime directory", fact<&Specifiers::runtime_directory>},
    {'T', "the directory for temporary files", fact<&Specifiers::temporary_directory>},
    {'u', "the user", fact<&Specifiers::user_name>},
    {'U', "the uid", fact<&Specifiers::uid>},
    {'v', "the kernel's release", fact<&Specifiers::kernel_release>},
    {'V', "the directory for large temporary files", fact<&Specifiers::large_temporary_directory>},
    {'w', "the VERSION_ID of os-release", fact<&Specifiers::os_version_id>},
    {'y', "the path of the unit file", [](const Context& c) { return std::string{c.fragment_path}; }},
    {'Y', "the directory of the unit file", [](const Context& c) { return directory_of(c.fragment_path); }},
    // Known to systemd 252 and to nobody here.
    {'A', "the IMAGE_VERSION of os-release", nullptr},
    {'B', "the BUILD_ID of os-release", nullptr},
    {'d', "the directory of credentials", nullptr},
    {'M', "the IMAGE_ID of os-release", nullptr},
    {'q', "the pretty host name", nullptr},
    {'W', "the VARIANT_ID of os-release", nullptr},
};
// clang-format on

const Known* find(char letter) noexcept {
  for (const Known& known : table)
    if (known.letter == letter) return &known;
  return nullptr;
}

// Letters and digits may become specifiers; systemd refuses those that are none yet.
bool is_reserved(char c) noexcept { return base::is_lower(base::to_lower(c)) || base::is_digit(c); }

}  // namespace

Result<std::string> expand_specifiers(std::string_view text, const SpecifierContext& context) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%' || at + 1 == text.size()) {
      out += text[at];
      continue;
    }
    const char letter = text[++at];
    if (letter == '%') {
      out += '%';
      continue;
    }
    const Known* const known = find(letter);
    if (known == nullptr && is_reserved(letter))
      return Error{std::string{"%"} + letter + " is no specifier; write %%" + letter + " where a % is meant"};
    if (known == nullptr) {
      out.append({'%', letter});
      continue;
    }
    const std::string value = known->value != nullptr ? known->value(context) : std::string{};
    if (value.empty() && !may_be_empty(letter))
      return Error{std::string{"the specifier %"} + letter + " (" + std::string{known->meaning} + ") is not known here"};
    out += value;
  }
  return out;
}

}  // namespace perdure::unit
