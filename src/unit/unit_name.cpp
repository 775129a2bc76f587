#include "unit/unit_name.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "perdure/settings.hpp"

namespace perdure::unit {
namespace {

constexpr std::array<std::string_view, 11> suffixes{"service", "socket", "device", "mount", "automount", "swap",
                                                    "target",  "path",   "timer",  "slice", "scope"};

bool is_name_byte(char c) noexcept {
  return base::is_lower(base::to_lower(c)) || base::is_digit(c) ||
         std::string_view{":-_.\\@"}.find(c) != std::string_view::npos;
}

Error refused(std::string_view text, const std::string& why) { return detail::misfit(text, "is no unit name: " + why); }

std::optional<UnitType> type_of(std::string_view suffix) {
  const auto* const at = std::find(suffixes.begin(), suffixes.end(), suffix);
  if (at == suffixes.end()) return std::nullopt;
  return static_cast<UnitType>(at - suffixes.begin());
}

}  // namespace

std::string_view suffix_of(UnitType type) noexcept { return suffixes[static_cast<std::size_t>(type)]; }

Result<UnitName> UnitName::parse(std::string_view text) {
  if (text.empty()) return refused(text, "it is empty");
  if (text.size() > unit_name_bytes_max)
    return refused(text, "it has " + std::to_string(text.size()) + " bytes, and at most " +
                             std::to_string(unit_name_bytes_max) + " are allowed");
  const auto bad = std::find_if_not(text.begin(), text.end(), is_name_byte);
  if (bad == text.end()) {
  } else if (*bad == '/') {
    return refused(text, "it contains \"/\"; a path to a unit file is not a name");
  } else {
    const auto at = static_cast<std::size_t>(bad - text.begin());
    const std::size_t length = std::max<std::size_t>(base::utf8_length(text.substr(at)), 1);
    return refused(text,
                   "it contains " + base::quote(text.substr(at, length)) + R"(; allowed are A-Z, a-z, 0-9 and : - _ . \ @)");
  }
  const std::size_t dot = text.rfind('.');
  if (dot == std::string_view::npos)
    return refused(text, "the suffix is missing; write for example " + std::string{text.substr(0, 80)} + ".service");
  const std::string_view suffix = text.substr(dot + 1);
  const auto type = type_of(suffix);
  if (!type)
    return refused(text, base::quote("." + std::string{suffix}) + " is no suffix of units" + did_you_mean(suffix, suffixes));
  if (dot == 0 || text[0] == '@')
    return refused(text, "there is nothing before " + std::string{dot == 0 ? "the suffix" : "\"@\""});
  // systemd allows the name, and never loads such a file: its directories are read without hidden ones.
  if (text[0] == '.') return refused(text, "it begins with \".\", as hidden files do, and these are not read as units");
  return UnitName{std::string{text}, *type};
}

std::string_view UnitName::stem() const noexcept { return std::string_view{text_}.substr(0, text_.rfind('.')); }

std::string_view UnitName::prefix() const noexcept { return stem().substr(0, stem().find('@')); }

std::string_view UnitName::instance() const noexcept {
  const std::size_t at = stem().find('@');
  return at == std::string_view::npos ? std::string_view{} : stem().substr(at + 1);
}

bool UnitName::is_template() const noexcept { return stem().find('@') == stem().size() - 1; }

UnitName UnitName::template_name() const {
  PERDURE_ASSERT(is_template() || is_instance(), "only an instance has a template");
  return {std::string{prefix()} + "@." + std::string{suffix_of(type_)}, type_};
}

Result<UnitName> UnitName::with_instance(std::string_view instance) const {
  PERDURE_ASSERT(is_template(), "only a template has instances");
  if (instance.empty())
    return Error{text_ + " is a template: it needs an instance, as in " + std::string{prefix()} + "@NAME." +
                 std::string{suffix_of(type_)}};
  return parse(std::string{prefix()} + '@' + std::string{instance} + '.' + std::string{suffix_of(type_)});
}

std::string unescape_name(std::string_view escaped) {
  std::string out;
  for (std::size_t at = 0; at < escaped.size(); ++at) {
    const std::string_view rest = escaped.substr(at);
    unsigned char byte = 0;
    if (rest[0] == '-') {
      out += '/';
    } else if (rest.size() >= 4 && rest.starts_with("\\x") &&
               std::from_chars(rest.data() + 2, rest.data() + 4, byte, 16).ptr == rest.data() + 4 && byte != 0) {
      out += static_cast<char>(byte);
      at += 3;
    } else {
      out += rest[0];
    }
  }
  return out;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const auto near = base::closest(word, candidates);
  return near ? "; did you mean " + std::string{*near} + '?' : std::string{};
}

}  // namespace perdure::unit
