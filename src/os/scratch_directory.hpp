// ScratchDirectory: a directory of mode 0700 for one test, removed with everything in it. For tests only.
//
// For modules below `testing`, whose TempDir does the same for users' tests. Thread, fork and signal safety: none is needed.
//
//     const ScratchDirectory dir;
//     write_file_atomically(dir / "x", …);
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace perdure::os::testing {

class ScratchDirectory {
 public:
  ScratchDirectory() : path_((std::filesystem::temp_directory_path() / "perdure-test-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) != nullptr) return;
    std::perror("cannot create a directory for a test");
    std::abort();
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return path_ + "/" + std::string{name}; }
  /// The names in it, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{path_}) found.push_back(entry.path().filename().string());
    std::sort(found.begin(), found.end());
    return found;
  }
  void put(std::string_view name, std::string_view content) const {
    std::ofstream{*this / name, std::ios::binary} << content;
  }
  /// What a file holds; empty where there is none.
  [[nodiscard]] std::string get(std::string_view name) const {
    std::ostringstream content;
    content << std::ifstream{*this / name, std::ios::binary}.rdbuf();
    return content.str();
  }

 private:
  std::string path_;
};

}  // namespace perdure::os::testing
