// UnitName: the name of a unit, checked once, here and nowhere else.
//
// systemd.unit(5): PREFIX[@[INSTANCE]].SUFFIX of at most 255 bytes out of A-Z a-z 0-9 : - _ . \ and @, and no "." in front. No such
// name can leave a directory, is hidden in one, or is too long for an entry of one: whoever holds a UnitName need not check again
// (UnitNames.EveryOneIsALogsNameToo).
// Left out: whether there is such a unit; mangling ("web" for web.service) is for the client that took the word from a person.
// Thread and fork safety: plain values, pure functions. Signal safety: none, they allocate.
//
//     PERDURE_TRY(const UnitName name, UnitName::parse("getty@tty1.service"));
//     name.prefix();         // "getty"
//     name.instance();       // "tty1"
//     name.template_name();  // "getty@.service"
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "perdure/result.hpp"

namespace perdure::unit {

inline constexpr std::size_t unit_name_bytes_max = 255;

/// In the order in which systemd.unit(5) lists them.
enum class UnitType : std::uint8_t { Service, Socket, Device, Mount, Automount, Swap, Target, Path, Timer, Slice, Scope };

/// "service", "socket", …
std::string_view suffix_of(UnitType type) noexcept;

class UnitName {
 public:
  /// On failure: the Error's text begins with the quoted word: `"a/b.service" is no unit name: …`.
  static Result<UnitName> parse(std::string_view text);

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] UnitType type() const noexcept { return type_; }
  /// What stands before "@", or before the suffix.
  [[nodiscard]] std::string_view prefix() const noexcept;
  /// What stands between the first "@" and the suffix; empty for templates and for plain names.
  [[nodiscard]] std::string_view instance() const noexcept;
  /// Everything before ".SUFFIX".
  [[nodiscard]] std::string_view stem() const noexcept;
  [[nodiscard]] bool is_template() const noexcept;
  [[nodiscard]] bool is_instance() const noexcept { return !instance().empty(); }
  /// "foo@.service" for "foo@x.service" and for itself. Requires: is_template() or is_instance().
  [[nodiscard]] UnitName template_name() const;
  /// "foo@x.service" of "foo@.service". Requires: is_template(). Fails where `instance` is empty or no such name can be.
  [[nodiscard]] Result<UnitName> with_instance(std::string_view instance) const;

  friend auto operator<=>(const UnitName&, const UnitName&) = default;

 private:
  UnitName(std::string text, UnitType type) : text_(std::move(text)), type_(type) {}
  std::string text_;
  UnitType type_;
};

/// The escaping of systemd.unit(5), undone: "-" is "/", "\x2d" is "-". What is no escape stays as it is.
std::string unescape_name(std::string_view escaped);

/// `; did you mean NAME?` where one of `candidates` is near, else nothing: for the end of a message.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace perdure::unit
