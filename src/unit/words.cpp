#include "unit/words.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace perdure::unit {
namespace {

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::optional<char> simple_escape(char c) noexcept {
  switch (c) {
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    case 'v': return '\v';
    case 's': return ' ';  // of the XDG desktop files; systemd has it too
    case '\\':
    case '"':
    case '\'': return c;
    default: return std::nullopt;
  }
}

// `digits` digits of `text` from `at` on, all of them; nothing where one is missing, and for 0.
std::optional<std::uint32_t> number(std::string_view text, std::size_t at, std::size_t digits, int base) noexcept {
  if (text.size() < at + digits) return std::nullopt;
  const char* const begin = text.data() + at;
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(begin, begin + digits, value, base);
  if (error != std::errc{} || end != begin + digits || value == 0) return std::nullopt;
  return value;
}

void append_utf8(std::string& out, std::uint32_t code) {
  const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80u | ((code >> shift) & 0x3Fu)); };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0u | (code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0u | (code >> 12));
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xF0u | (code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

bool is_character(std::uint32_t code) noexcept { return code < 0x110000 && (code < 0xD800 || code > 0xDFFF); }

// What the escape whose backslash stands before `text` means; the number of bytes it takes, 0 where it is none.
std::size_t decode_escape(std::string_view text, std::string& out) {
  if (const auto c = simple_escape(text[0])) {
    out += *c;
    return 1;
  }
  if (text[0] == 'x') {
    const auto byte = number(text, 1, 2, 16);
    if (!byte) return 0;
    out += static_cast<char>(*byte);
    return 3;
  }
  if (text[0] == 'u' || text[0] == 'U') {
    const std::size_t digits = text[0] == 'u' ? 4 : 8;
    const auto code = number(text, 1, digits, 16);
    if (!code || !is_character(*code)) return 0;
    append_utf8(out, *code);
    return 1 + digits;
  }
  const auto byte = number(text, 0, 3, 8);
  if (!byte || *byte > 0xFF) return 0;
  out += static_cast<char>(*byte);
  return 3;
}

}  // namespace

void WordReader::skip(std::size_t bytes) noexcept {
  rest_.remove_prefix(bytes);
  while (!rest_.empty() && is_blank(rest_.front())) rest_.remove_prefix(1);
}

// Requires: a backslash at the beginning of rest_.
bool WordReader::read_escape(std::string& word) {
  rest_.remove_prefix(1);
  if (rest_.empty()) return false;
  if (escapes_ == Escapes::Decode) {
    if (const std::size_t length = decode_escape(rest_, word); length > 0) {
      rest_.remove_prefix(length);
      return true;
    }
    has_unknown_escape_ = true;
    word += '\\';
  }
  word += rest_.front();
  rest_.remove_prefix(1);
  return true;
}

std::optional<std::string> WordReader::next() {
  skip(0);
  if (rest_.empty() || has_failed_) return std::nullopt;
  std::string word;
  char quote = 0;
  while (!rest_.empty()) {
    const char c = rest_.front();
    if (c == '\\' && escapes_ != Escapes::Keep) {
      if (read_escape(word)) continue;
      if (open_ == OpenQuote::CloseAtEnd) return word;
      has_failed_ = true;
      return std::nullopt;
    }
    if (quote == 0 && is_blank(c)) break;
    rest_.remove_prefix(1);
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      word += c;
    }
  }
  if (quote != 0 && open_ == OpenQuote::Refuse) {
    has_failed_ = true;
    return std::nullopt;
  }
  skip(0);
  return word;
}

Result<std::vector<std::string>> split_words(std::string_view text, Escapes escapes) {
  WordReader reader{text, escapes};
  std::vector<std::string> all;
  while (auto word = reader.next()) all.push_back(*std::move(word));
  if (reader.has_failed()) return Error{"a quote is not closed, or a backslash stands at the end"};
  return all;
}

}  // namespace perdure::unit
