// Small questions about text: trimming, splitting, strict numbers, showing foreign bytes, "did you mean".
//
// All of it is ASCII-only and takes no notice of the locale. Views point into the argument.
// Thread and fork safety: pure functions. Signal safety: those that return no string or vector.
//
//     for (std::string_view line : lines(text)) …
//     if (auto port = parse_number<std::uint16_t>(word)) …
//     "unknown verb " + quote(word)
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace perdure::base {

/// Space, tab, newline, carriage return, vertical tab, form feed.
constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
constexpr char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

/// Without the white space at both ends.
std::string_view trim(std::string_view text) noexcept;
std::string_view trim_end(std::string_view text) noexcept;

/// The lines without their "\n" or "\r\n"; a newline at the end opens no further line. "" has none.
std::vector<std::string_view> lines(std::string_view text);
/// The parts between white space, none of them empty.
std::vector<std::string_view> words(std::string_view text);
/// The parts between `separator`, empty ones included; "" is one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// Takes `prefix` off the front of `text` where it stands there, and says whether it did.
bool remove_prefix(std::string_view& text, std::string_view prefix) noexcept;

/// The same text on one line that no terminal obeys: control characters, separators and direction marks of Unicode, and
/// bytes that are not UTF-8 come out as \n, \r, \t or \xNN. Backslashes stay, so this is for reading only.
std::string escape(std::string_view text);
/// `escape`d, between double quotes, and cut with "…" after 80 bytes: for the user's own words in a message.
std::string quote(std::string_view text);
/// The number of bytes of the UTF-8 sequence that `text` begins with; 0 where it begins with something else.
std::size_t utf8_length(std::string_view text) noexcept;

/// The candidate that `word` probably meant: a few letters wrong, missing, too many or swapped, or in the other case. The
/// first of equals.
std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> candidates);
std::optional<std::string_view> closest(std::string_view word, std::initializer_list<std::string_view> candidates);

/// A whole number in base 10 and nothing else: no spaces, no '+', no '-' for unsigned types. Nothing where it does not fit.
template <std::integral T>
std::optional<T> parse_number(std::string_view text) noexcept {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace perdure::base
