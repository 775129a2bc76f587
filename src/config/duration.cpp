// Time spans as systemd.time(7) writes them, to the nanosecond.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/text.hpp"
#include "perdure/settings.hpp"

namespace perdure::detail {
namespace {

constexpr std::uint64_t us = 1'000, ms = 1'000 * us, s = 1'000 * ms, minute = 60 * s, hour = 60 * minute, day = 24 * hour;
constexpr std::uint64_t month = 2'629'800 * s, year = 31'557'600 * s;  // averages: 30.44 and 365.25 days, as systemd's
constexpr std::uint64_t nanoseconds_max = std::numeric_limits<std::int64_t>::max();

struct Unit {
  std::string_view name;
  std::uint64_t nanoseconds;
};

// clang-format off
constexpr Unit units[] = {
    {"ns", 1}, {"nsec", 1},
    {"us", us}, {"usec", us}, {"µs", us}, {"μs", us},
    {"ms", ms}, {"msec", ms},
    {"s", s}, {"sec", s}, {"second", s}, {"seconds", s},
    {"m", minute}, {"min", minute}, {"minute", minute}, {"minutes", minute},
    {"h", hour}, {"hr", hour}, {"hour", hour}, {"hours", hour},
    {"d", day}, {"day", day}, {"days", day},
    {"w", 7 * day}, {"week", 7 * day}, {"weeks", 7 * day},
    {"M", month}, {"month", month}, {"months", month},
    {"y", year}, {"year", year}, {"years", year},
};
// clang-format on

constexpr std::array<Unit, 7> printed_units{
    {{"d", day}, {"h", hour}, {"min", minute}, {"s", s}, {"ms", ms}, {"us", us}, {"ns", 1}}};

std::string_view take_while(std::string_view& text, bool (*belongs)(char)) {
  const auto length = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), belongs) - text.begin());
  const std::string_view taken = text.substr(0, length);
  text.remove_prefix(length);
  return taken;
}

bool is_unit_byte(char c) { return base::is_lower(base::to_lower(c)) || static_cast<unsigned char>(c) >= 0x80; }

// WHOLE.FRACTION times `unit`; nothing where it is more than nanoseconds_max. What is finer than a nanosecond is dropped.
std::optional<std::uint64_t> product(std::string_view whole, std::string_view fraction, std::uint64_t unit) {
  std::uint64_t total = 0;
  if (!whole.empty()) {
    const auto count = base::parse_number<std::uint64_t>(whole);
    if (!count || __builtin_mul_overflow(*count, unit, &total)) return std::nullopt;
  }
  for (const char digit : fraction) {
    unit /= 10;
    if (__builtin_add_overflow(total, unit * static_cast<std::uint64_t>(digit - '0'), &total)) return std::nullopt;
  }
  return total <= nanoseconds_max ? std::optional{total} : std::nullopt;
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text, std::chrono::nanoseconds unit) {
  std::string_view rest = base::trim(text);
  if (rest == "infinity") return misfit(text, "is not allowed here; write a duration such as 30s");
  std::uint64_t total = 0;
  do {
    if (rest.starts_with('-')) return misfit(text, "is negative");
    const std::string_view whole = take_while(rest, base::is_digit);
    std::string_view fraction;
    if (base::remove_prefix(rest, ".")) fraction = take_while(rest, base::is_digit);
    if (whole.empty() && fraction.empty())
      return misfit(text, "is not a duration; write for example 90s, 1min 30s or 250ms");
    rest = base::trim(rest);

    auto factor = static_cast<std::uint64_t>(unit.count());
    if (const std::string_view name = take_while(rest, is_unit_byte); !name.empty()) {
      const auto* const known = std::find_if(std::begin(units), std::end(units), [&](Unit u) { return u.name == name; });
      if (known == std::end(units))
        return misfit(text, "has an unknown unit, " + base::quote(name) + "; there are ns us ms s min h d w month y");
      factor = known->nanoseconds;
    }
    const auto part = product(whole, fraction, factor);
    if (!part || nanoseconds_max - total < *part) return misfit(text, "is too long; at most 292 years can be counted");
    total += *part;
    rest = base::trim(rest);
  } while (!rest.empty());
  return std::chrono::nanoseconds{static_cast<std::int64_t>(total)};
}

std::string print_duration(std::chrono::nanoseconds value) {
  if (value == value.zero()) return "0s";
  std::string out = value < value.zero() ? "-" : "";
  // Through unsigned arithmetic, because the most negative count has no positive counterpart.
  auto rest = static_cast<std::uint64_t>(value.count());
  if (value < value.zero()) rest = 0 - rest;
  bool is_first = true;
  for (const Unit unit : printed_units) {
    const std::uint64_t count = rest / unit.nanoseconds;
    rest %= unit.nanoseconds;
    if (count == 0) continue;
    if (!is_first) out += ' ';
    is_first = false;
    out += std::to_string(count) + std::string{unit.name};
  }
  return out;
}

}  // namespace perdure::detail
