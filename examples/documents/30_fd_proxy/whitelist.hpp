// Whitelist: the only files that are opened for others, and only where it is certain that they are what their names say.
//
// A request must be one of the paths, byte for byte. That alone would not do: open(2) follows links, and in a directory like /tmp
// anybody can put a link to a secret, or a second name of one (link(2)), in the file's place. So a file is taken
//   - through a symbolic link only where nobody but root or we could have put it there: /etc/os-release is such a link;
//   - from a directory that others may write to only where it is our own and has no second name;
//   - only as a regular file, read-only.
// What is passed on is the very file that was examined. Thread safety: none needed, no state but the list.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

class Whitelist {
 public:
  explicit Whitelist(std::vector<std::string> paths) : paths_(std::move(paths)) {}

  [[nodiscard]] bool contains(std::string_view path) const;
  /// For reading. Requires: contains(path). On failure: nothing is open.
  [[nodiscard]] static perdure::Result<perdure::UniqueFd> open(const std::string& path);

 private:
  std::vector<std::string> paths_;
};

/// Creates or replaces the file, mode 0600; refuses what is no plain file of ours.
perdure::Result<void> write_test_file(const std::string& path, std::string_view content);
