// Text to value and back, for every kind of field but durations.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "base/text.hpp"
#include "perdure/settings.hpp"

namespace perdure::detail {
namespace {

struct SizeUnit {
  char letter;
  unsigned shift;
};
constexpr std::array<SizeUnit, 6> size_units{{{'E', 60}, {'P', 50}, {'T', 40}, {'G', 30}, {'M', 20}, {'K', 10}}};

bool is_whole_number(std::string_view text) {
  base::remove_prefix(text, "-");
  return !text.empty() && std::all_of(text.begin(), text.end(), base::is_digit);
}

Error out_of_range(std::string_view text, const std::string& min, const std::string& max) {
  constexpr std::size_t digits_shown = 40;
  const std::string shown = text.size() <= digits_shown ? std::string{text} : base::quote(text);
  return Error{shown + " is out of range: " + min + " to " + max, ERANGE};
}

template <class T>
Result<T> parse_whole(std::string_view text, T min, T max) {
  if (!is_whole_number(text)) return misfit(text, "is not an integer");
  const auto value = base::parse_number<T>(text);
  if (!value || *value < min || *value > max) return out_of_range(text, std::to_string(min), std::to_string(max));
  return *value;
}

template <class T>
std::string print_shortest(T value) {
  std::array<char, 32> buffer{};
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return error == std::errc{} ? std::string{buffer.data(), end} : std::string{};
}

bool needs_quotes(std::string_view value) {
  if (value.empty() || base::is_space(value.front()) || base::is_space(value.back())) return true;
  if (value.front() == '"' || value.front() == '\'' || value.front() == '#') return true;
  return value.find(" #") != std::string_view::npos || base::escape(value) != value;
}

}  // namespace

Error misfit(std::string_view text, std::string_view why) { return Error{base::quote(text) + ' ' + std::string{why}}; }

Result<bool> parse_bool(std::string_view text) {
  for (const std::string_view word : {"yes", "true", "on", "1"})
    if (base::equals_ignoring_case(text, word)) return true;
  for (const std::string_view word : {"no", "false", "off", "0"})
    if (base::equals_ignoring_case(text, word)) return false;
  return misfit(text, "is neither yes nor no");
}

Result<std::int64_t> parse_integer(std::string_view text, std::int64_t min, std::int64_t max) {
  return parse_whole(text, min, max);
}

Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t max) {
  return parse_whole(text, std::uint64_t{0}, max);
}

Result<double> parse_double(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_complete = end == text.data() + text.size();
  if (error == std::errc::result_out_of_range && is_complete) return misfit(text, "is too large or too small");
  if (error != std::errc{} || !is_complete || !std::isfinite(value)) return misfit(text, "is not a number");
  return value;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view wanted = "is not a size; write bytes, or a number with K, M, G or T as in 64K";
  std::string_view number = text;
  unsigned shift = 0;
  if (!number.empty() && !base::is_digit(number.back())) {
    const auto unit =
        std::find_if(size_units.begin(), size_units.end(), [&](SizeUnit u) { return u.letter == number.back(); });
    if (unit == size_units.end() && number.back() != 'B') return misfit(text, wanted);
    if (unit != size_units.end()) shift = unit->shift;
    number = base::trim_end(number.substr(0, number.size() - 1));
  }
  if (number.empty() || !std::all_of(number.begin(), number.end(), base::is_digit)) return misfit(text, wanted);
  const auto count = base::parse_number<std::uint64_t>(number);
  if (!count || *count > (std::numeric_limits<std::uint64_t>::max() >> shift)) return misfit(text, "is too large");
  return *count << shift;
}

Result<std::size_t> parse_word(std::string_view text, const std::vector<std::string_view>& words) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (base::equals_ignoring_case(text, words[i])) return i;
  std::string why = "is none of";
  for (std::size_t i = 0; i < words.size(); ++i) why += (i == 0 ? " " : ", ") + std::string{words[i]};
  if (const auto near = base::closest(text, words)) why += "; did you mean " + std::string{*near} + '?';
  return misfit(text, why);
}

std::string print_float(float value) { return print_shortest(value); }
std::string print_double(double value) { return print_shortest(value); }

std::string print_size(std::uint64_t value) {
  for (const SizeUnit unit : size_units)
    if (value != 0 && value % (std::uint64_t{1} << unit.shift) == 0)
      return std::to_string(value >> unit.shift) + unit.letter;
  return std::to_string(value);
}

std::string print_string(std::string_view value) {
  if (!needs_quotes(value)) return std::string{value};
  std::string out = "\"";
  while (!value.empty()) {
    const std::size_t length = std::max<std::size_t>(base::utf8_length(value), 1);
    if (value[0] == '\\' || value[0] == '"') out += '\\';
    out += base::escape(value.substr(0, length));
    value.remove_prefix(length);
  }
  return out + '"';
}

}  // namespace perdure::detail
