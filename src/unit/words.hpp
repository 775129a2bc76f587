// Words: how the values of unit files are split, systemd.syntax(7) "Quoting".
//
// Blanks separate words; '…' and "…" keep them within one, anywhere in a word, and are removed; a backslash escape means what it
// does in C, and \s is a blank. An escape that does not exist stays as it is written (systemd 252 does that and warns).
// Thread and fork safety: pure functions. Signal safety: none.
//
//     WordReader words{"-c 'echo a b'"};
//     while (auto word = words.next()) …      // -c, echo a b
//     if (words.has_failed()) …
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::unit {

enum class Escapes : std::uint8_t {
  Decode,    ///< \n \t \x41 … as in C
  Keep,      ///< a backslash is an ordinary character
  DropMark,  ///< the backslash goes, what it stands before stays (values of variables in command lines)
};
enum class OpenQuote : std::uint8_t { Refuse, CloseAtEnd };

class WordReader {
 public:
  explicit WordReader(std::string_view text, Escapes escapes = Escapes::Decode, OpenQuote open = OpenQuote::Refuse)
      : rest_(text), escapes_(escapes), open_(open) {}

  /// The next word; nothing at the end and after a fault.
  std::optional<std::string> next();
  /// What has not been read, blanks before it skipped.
  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }
  void skip(std::size_t bytes) noexcept;
  /// A quote is not closed, or the text ends in a backslash.
  [[nodiscard]] bool has_failed() const noexcept { return has_failed_; }
  /// An escape was left as it is because there is none like it.
  [[nodiscard]] bool has_unknown_escape() const noexcept { return has_unknown_escape_; }

 private:
  bool read_escape(std::string& word);
  std::string_view rest_;
  Escapes escapes_;
  OpenQuote open_;
  bool has_failed_ = false;
  bool has_unknown_escape_ = false;
};

/// All words; an Error where a quote is not closed.
Result<std::vector<std::string>> split_words(std::string_view text, Escapes escapes = Escapes::Decode);

}  // namespace perdure::unit
