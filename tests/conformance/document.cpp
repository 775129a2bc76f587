#include "document.hpp"

#include <algorithm>
#include <fstream>
#include <stdexcept>

namespace conformance {

Document::Document(const std::string& path) {
  std::ifstream file{path};
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (!inside && line.starts_with("```cpp")) {
      blocks_.emplace_back();
      inside = true;
    } else if (inside && line.starts_with("```")) {
      inside = false;
    } else if (inside) {
      blocks_.back() += line + "\n";
    }
  }
}

std::string Document::block(const std::vector<std::string_view>& words) const {
  const auto found = std::find_if(blocks_.begin(), blocks_.end(), [&](const std::string& text) {
    return std::all_of(words.begin(), words.end(),
                       [&](std::string_view word) { return text.find(word) != std::string::npos; });
  });
  if (found != blocks_.end()) return *found;
  std::string all;
  for (const std::string_view word : words) all.append(" ").append(word);
  throw std::runtime_error("the document has no C++ block with the words" + all);
}

std::string edited(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("the block has no \"" + std::string{from} + "\"");
  return text.replace(at, from.size(), to);
}

}  // namespace conformance
