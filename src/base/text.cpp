#include "base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace perdure::base {
namespace {

constexpr std::size_t quoted_max = 80;
// Longer words are never a slip of the finger, and the table of distances grows with their square.
constexpr std::size_t closest_max = 48;

unsigned char byte(char c) noexcept { return static_cast<unsigned char>(c); }

char32_t decode(std::string_view sequence) noexcept {
  if (sequence.size() == 1) return byte(sequence[0]);
  char32_t code = byte(sequence[0]) & (0x7Fu >> sequence.size());
  for (const char c : sequence.substr(1)) code = (code << 6) | (byte(c) & 0x3Fu);
  return code;
}

// C0 and C1 controls, DEL, line and paragraph separators, and the marks that reverse what is read.
bool is_obeyed(char32_t code) noexcept {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069);
}

void append_escaped(std::string& out, char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  switch (c) {
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  out += "\\x";
  out += hex[byte(c) >> 4];
  out += hex[byte(c) & 0xF];
}

// Optimal string alignment distance: insertions, deletions, replacements, swaps of neighbours; case
// does not count. Requires: both ≤ closest_max.
std::size_t distance(std::string_view a, std::string_view b) noexcept {
  using Row = std::array<std::size_t, closest_max + 1>;
  std::array<Row, 3> rows{};
  const auto same = [](char x, char y) { return to_lower(x) == to_lower(y); };
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    Row& row = rows[i % 3];
    const Row& above = rows[(i + 2) % 3];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = above[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
        row[j] = std::min(row[j], rows[(i + 1) % 3][j - 2] + 1);
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string_view trim_end(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return trim_end(text);
}

std::vector<std::string_view> lines(std::string_view text) {
  std::vector<std::string_view> all;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    all.push_back(line);
  }
  return all;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> all;
  for (text = trim(text); !text.empty(); text = trim(text)) {
    const auto end = static_cast<std::size_t>(std::find_if(text.begin(), text.end(), is_space) - text.begin());
    all.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return all;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> all;
  for (std::size_t end; (end = text.find(separator)) != std::string_view::npos; text.remove_prefix(end + 1))
    all.push_back(text.substr(0, end));
  all.push_back(text);
  return all;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

bool remove_prefix(std::string_view& text, std::string_view prefix) noexcept {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::size_t utf8_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  const unsigned char first = byte(text[0]);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (const char c : text.substr(1, length - 1))
    if ((byte(c) & 0xC0) != 0x80) return 0;
  const char32_t code = decode(text.substr(0, length));
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const std::string_view sequence = text.substr(0, std::max<std::size_t>(length, 1));
    if (length == 0 || is_obeyed(decode(sequence))) {
      for (const char c : sequence) append_escaped(out, c);
    } else {
      out += sequence;
    }
    text.remove_prefix(sequence.size());
  }
  return out;
}

std::string quote(std::string_view text) {
  if (text.size() <= quoted_max) return '"' + escape(text) + '"';
  std::size_t end = quoted_max;
  while (end > quoted_max - 4 && (byte(text[end]) & 0xC0) == 0x80) --end;  // do not cut through a character
  return '"' + escape(text.substr(0, end)) + "…\"";
}

std::optional<std::string_view> closest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.size() > closest_max) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t allowed = std::max<std::size_t>(1, word.size() / 3);
  for (const std::string_view candidate : candidates) {
    if (candidate.size() > closest_max || candidate.empty()) continue;
    const std::size_t away = distance(word, candidate);
    // Everything is one step from a one-letter word; a guess must keep at least half of what was typed.
    if (away > allowed || away * 2 > word.size() || (best && away == allowed)) continue;
    best = candidate;
    allowed = away;
  }
  return best;
}

std::optional<std::string_view> closest(std::string_view word, std::initializer_list<std::string_view> candidates) {
  return closest(word, std::span{candidates.begin(), candidates.size()});
}

}  // namespace perdure::base
