#include "client/moment.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::client {
namespace {

constexpr std::int64_t us_per_s = 1'000'000;
/// No moment beyond, in either direction: 9999 is the last year that the text can name.
constexpr std::int64_t moment_max = 253'402'300'800 * us_per_s;

Error no_moment(std::string_view text) {
  return Error{
      fmt::format("{} is no time; write \"2026-11-21 18:00:00\", \"18:00\", \"today\", \"yesterday\", \"now\", \"-2h\", "
                  "\"2h ago\" or \"@1763700010\"",
                  base::quote(text))};
}

/// ".25" of a second, in microseconds; further digits are dropped. Nothing for anything else.
std::optional<std::int64_t> fraction_us(std::string_view digits) {
  if (digits.empty() || !std::all_of(digits.begin(), digits.end(), base::is_digit)) return std::nullopt;
  std::int64_t value = 0, unit = us_per_s;
  for (const char c : digits.substr(0, 6)) value += (c - '0') * (unit /= 10);
  return value;
}

/// "1h 30min", "2 days", "90": systemd.time(7), "Parsing Time Spans"; a number alone is seconds.
std::optional<std::int64_t> span_us(std::string_view text) {
  constexpr std::int64_t min = 60 * us_per_s, h = 60 * min, day = 24 * h;
  constexpr auto units = std::to_array<std::pair<std::string_view, std::int64_t>>({
      {"", us_per_s},
      {"us", 1},
      {"usec", 1},
      {"ms", 1'000},
      {"msec", 1'000},
      {"s", us_per_s},
      {"sec", us_per_s},
      {"second", us_per_s},
      {"seconds", us_per_s},
      {"m", min},
      {"min", min},
      {"minute", min},
      {"minutes", min},
      {"h", h},
      {"hr", h},
      {"hour", h},
      {"hours", h},
      {"d", day},
      {"day", day},
      {"days", day},
      {"w", 7 * day},
      {"week", 7 * day},
      {"weeks", 7 * day},
      {"M", 2'629'800 * us_per_s},
      {"month", 2'629'800 * us_per_s},
      {"months", 2'629'800 * us_per_s},
      {"y", 31'557'600 * us_per_s},
      {"year", 31'557'600 * us_per_s},
      {"years", 31'557'600 * us_per_s},
  });
  const auto skip = [&text](auto matches) {
    const auto end = std::find_if_not(text.begin(), text.end(), matches);
    const std::string_view part = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(part.size());
    return part;
  };
  std::int64_t total = 0;
  if (base::trim(text).empty()) return std::nullopt;
  while (!(text = base::trim(text)).empty()) {
    const auto whole = base::parse_number<std::int64_t>(skip(base::is_digit));
    std::int64_t part_us = 0;
    if (base::remove_prefix(text, ".")) {
      const auto fraction = fraction_us(skip(base::is_digit));
      if (!fraction) return std::nullopt;
      part_us = *fraction;
    }
    skip(base::is_space);
    const std::string_view name = skip([](char c) { return base::is_lower(base::to_lower(c)); });
    const auto* const unit = std::find_if(units.begin(), units.end(), [&](const auto& u) { return u.first == name; });
    if (!whole || unit == units.end() || *whole > moment_max / unit->second) return std::nullopt;
    total += *whole * unit->second + part_us * unit->second / us_per_s;
    if (total > moment_max) return std::nullopt;
  }
  return total;
}

std::optional<std::tm> broken_down(std::int64_t us, bool is_utc) {
  const auto seconds = static_cast<std::time_t>(us / us_per_s);
  std::tm parts{};
  const bool known = (is_utc ? ::gmtime_r(&seconds, &parts) : ::localtime_r(&seconds, &parts)) != nullptr;
  return known ? std::optional{parts} : std::nullopt;
}

std::optional<std::int64_t> moment_of(std::tm parts, bool is_utc) {
  const std::tm asked = parts;
  parts.tm_isdst = -1;
  const std::time_t seconds = is_utc ? ::timegm(&parts) : ::mktime(&parts);
  // 31 February is no day, and comes out as another one.
  if (asked.tm_mday != parts.tm_mday || asked.tm_mon != parts.tm_mon || asked.tm_year != parts.tm_year) return std::nullopt;
  return std::int64_t{seconds} * us_per_s;
}

void to_midnight(std::tm& parts) { parts.tm_hour = parts.tm_min = parts.tm_sec = 0; }

/// A whole number of `digits_min` to 2 (years: 4) digits within limits.
bool take_number(std::string_view text, std::size_t digits_min, std::size_t digits_max, int least, int most, int& value) {
  const auto number = base::parse_number<int>(text);
  if (!number || text.size() < digits_min || text.size() > digits_max || *number < least || *number > most) return false;
  value = *number;
  return true;
}

bool take_date(std::string_view text, std::tm& parts) {
  const auto numbers = base::split(text, '-');
  int year = 0, month = 0;
  if (numbers.size() != 3 || !take_number(numbers[0], 2, 4, 0, 9999, year) || !take_number(numbers[1], 1, 2, 1, 12, month) ||
      !take_number(numbers[2], 1, 2, 1, 31, parts.tm_mday))
    return false;
  if (numbers[0].size() == 3) return false;
  if (numbers[0].size() == 2) year += year < 69 ? 2000 : 1900;  // strptime(3): %y
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  return true;
}

bool take_clock(std::string_view text, std::tm& parts, std::int64_t& us) {
  to_midnight(parts);
  const auto numbers = base::split(text, ':');
  if (numbers.size() < 2 || numbers.size() > 3 || !take_number(numbers[0], 1, 2, 0, 23, parts.tm_hour) ||
      !take_number(numbers[1], 1, 2, 0, 59, parts.tm_min))
    return false;
  if (numbers.size() == 2) return true;
  const std::string_view seconds = numbers[2].substr(0, numbers[2].find('.'));
  if (!take_number(seconds, 1, 2, 0, 60, parts.tm_sec)) return false;
  if (seconds.size() == numbers[2].size()) return true;
  const auto fraction = fraction_us(numbers[2].substr(seconds.size() + 1));
  us = fraction.value_or(0);
  return fraction.has_value();
}

std::optional<int> weekday_of(std::string_view word) {
  constexpr auto names =
      std::to_array<std::string_view>({"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"});
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (base::equals_ignoring_case(word, names[i]) || base::equals_ignoring_case(word, names[i].substr(0, 3)))
      return static_cast<int>(i);
  }
  return std::nullopt;
}

std::optional<std::int64_t> named_moment(std::string_view text, std::int64_t now_us) {
  int days = 0;
  if (text == "now") return now_us;
  if (text == "yesterday") days = -1;
  else if (text == "tomorrow") days = 1;
  else if (text != "today") return std::nullopt;
  auto parts = broken_down(now_us, false);
  if (!parts) return std::nullopt;
  to_midnight(*parts);
  parts->tm_mday += days;
  parts->tm_isdst = -1;
  return std::int64_t{::mktime(&*parts)} * us_per_s;
}

std::optional<std::int64_t> relative_moment(std::string_view text, std::int64_t now_us) {
  const auto at = [&](std::string_view span, int direction) -> std::optional<std::int64_t> {
    const auto us = span_us(span);
    return us ? std::optional{now_us + direction * *us} : std::nullopt;
  };
  if (base::remove_prefix(text, "-")) return at(text, -1);
  if (base::remove_prefix(text, "+")) return at(text, 1);
  if (text.ends_with(" ago")) return at(text.substr(0, text.size() - 4), -1);
  if (text.ends_with(" left")) return at(text.substr(0, text.size() - 5), 1);
  return std::nullopt;
}

std::optional<std::int64_t> unix_moment(std::string_view text) {
  if (!base::remove_prefix(text, "@")) return std::nullopt;
  const std::string_view whole = text.substr(0, text.find('.'));
  const auto seconds = base::parse_number<std::int64_t>(whole);
  if (!seconds || *seconds < 0 || *seconds > moment_max / us_per_s) return std::nullopt;
  if (whole.size() == text.size()) return *seconds * us_per_s;
  const auto fraction = fraction_us(text.substr(whole.size() + 1));
  return fraction ? std::optional{*seconds * us_per_s + *fraction} : std::nullopt;
}

std::optional<std::int64_t> written_moment(std::string_view text, std::int64_t now_us) {
  auto words = base::words(text);
  const bool is_utc = words.size() > 1 && words.back() == "UTC";
  if (is_utc) words.pop_back();
  const auto weekday = words.size() > 1 ? weekday_of(words.front()) : std::nullopt;
  if (weekday) words.erase(words.begin());
  if (words.size() == 1) {
    const std::size_t between = words.front().find('T');
    if (between != std::string_view::npos) {
      const std::string_view both = words.front();
      words = {both.substr(0, between), both.substr(between + 1)};
    }
  }
  auto parts = broken_down(now_us, is_utc);
  if (!parts || words.empty() || words.size() > 2) return std::nullopt;
  std::int64_t us = 0;
  to_midnight(*parts);
  const bool has_date = take_date(words.front(), *parts);
  if (!has_date && (weekday || words.size() == 2)) return std::nullopt;
  if ((!has_date || words.size() == 2) && !take_clock(words.back(), *parts, us)) return std::nullopt;
  const auto moment = moment_of(*parts, is_utc);
  if (!moment) return std::nullopt;
  if (weekday && broken_down(*moment, is_utc)->tm_wday != *weekday) return std::nullopt;
  return *moment + us;
}

}  // namespace

Result<std::int64_t> parse_span(std::string_view text) {
  const auto us = span_us(text);
  if (us) return *us;
  return Error{fmt::format("{} is no time span; write \"10s\", \"1min 30s\" or \"500ms\"", base::quote(text))};
}

Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now_us) {
  const std::string_view trimmed = base::trim(text);
  for (const auto& moment : {named_moment(trimmed, now_us), unix_moment(trimmed), relative_moment(trimmed, now_us)}) {
    if (moment) return *moment;
  }
  if (const auto moment = written_moment(trimmed, now_us)) return *moment;
  return no_moment(text);
}

}  // namespace perdure::client
