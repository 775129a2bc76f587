// SocketFile: the file of a socket of ours, and whether it still stands at its path.
//
// Files there are removed by whoever cleans up, and replaced by whoever thinks that the path is his. The open file keeps its inode,
// so that no other file can look like it. What is not ours is never removed.
// Left out: binding; being told of a change (inotify). Thread safety: as a plain value. Fork: a child's copy changes nothing.
// Signal safety: none.
//
//     SocketFile file = SocketFile::at("/run/perdure/notify");   // what stands there now is ours
//     if (file.look() == Standing::Free) …                       // it may be bound again
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

/// Whether somebody receives at the socket of that path, whatever its type.
bool is_listened_to(const std::string& path);

enum class Standing : std::uint8_t {
  Ours,
  Free,      ///< nothing is there, or a socket that nobody listens at
  Anothers,  ///< somebody listens there, or it is no socket
};

class SocketFile {
 public:
  SocketFile() = default;
  /// `file` is of O_PATH; none: nothing that stands there is ours.
  SocketFile(std::string path, UniqueFd file) : path_(std::move(path)), file_(std::move(file)) {}
  /// What stands there now is ours.
  static SocketFile at(std::string path);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  [[nodiscard]] Standing look() const;
  /// Removes it where it is ours.
  void remove() const;

 private:
  std::string path_{};
  UniqueFd file_{};
};

}  // namespace perdure::supervisor
