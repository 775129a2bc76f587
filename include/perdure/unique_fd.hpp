// UniqueFd: a file descriptor with one owner, closed with it.
//
// Thread safety: as a plain value. Fork: a child owns its copy and may close it. Signal safety: get() only.
//
//     perdure::UniqueFd log{::open(path, O_WRONLY | O_CLOEXEC)};
//     if (!log) return perdure::Error::from_errno(errno, "open", path);
#pragma once

#include <utility>

#include "perdure/export.hpp"

namespace perdure {

class PERDURE_EXPORT UniqueFd {
 public:
  UniqueFd() noexcept = default;
  /// Takes ownership of `fd`; -1 (the result of a failed call) makes an empty one.
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  /// The descriptor, or -1 when empty.
  [[nodiscard]] int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives up ownership: the caller closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes what it holds and takes `fd` instead. errno is kept.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

}  // namespace perdure
