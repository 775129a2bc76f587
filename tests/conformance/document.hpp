// The C++ blocks of a Markdown document that lies outside this project.
//
// Left out: every other part of the document. Blocks are found by a word that only they contain, so that no text of the
// document needs to be repeated here. Thread, fork and signal safety: plain values.
//
//     const Document document{path};
//     std::string code = document.block("RESTART_DELAY");
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace conformance {

class Document {
 public:
  /// Reads the blocks fenced as cpp; a file that cannot be read has none.
  explicit Document(const std::string& path);
  [[nodiscard]] bool is_present() const noexcept { return !blocks_.empty(); }
  /// The first block that contains all words; throws std::runtime_error naming them where there is none.
  [[nodiscard]] std::string block(const std::vector<std::string_view>& words) const;

 private:
  std::vector<std::string> blocks_;
};

/// `text` with its only occurrence of `from` replaced; throws std::runtime_error where it does not occur.
std::string edited(std::string text, std::string_view from, std::string_view to);

}  // namespace conformance
