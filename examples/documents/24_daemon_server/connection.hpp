// Connection: one client's socket, what it has said, and what it has not read yet. Both are bounded, and what is empty takes no
// memory, so that thousands of idle clients cost little. The memory comes from the pool of the container that connections are in.
//
// Left out: what lines mean. Thread safety: none, it is the loop's.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>

#include "perdure/unique_fd.hpp"

class Connection {
 public:
  using allocator_type = std::pmr::polymorphic_allocator<>;
  /// Bytes of a line, and of answers: who has so many to read is not answered before it reads some.
  static constexpr std::size_t line_max = 4096, unread_max = 64 * 1024;

  /// `socket` does not block.
  Connection(perdure::UniqueFd socket, const allocator_type& pool) : socket_(std::move(socket)), in_(pool), out_(pool) {}

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  /// Takes what has arrived, through `scratch`. False: the connection is broken.
  bool receive(std::span<char> scratch) {
    const ssize_t count = ::recv(fd(), scratch.data(), scratch.size(), 0);
    if (count > 0) in_.append(scratch.data(), static_cast<std::size_t>(count));
    if (count == 0) is_last = true;
    return count >= 0 || errno == EAGAIN;
  }
  /// The next whole line without its newline, if it may be answered now. Valid until the next call.
  std::optional<std::string_view> next_line() {
    if (!may_answer()) return std::nullopt;
    if (const std::size_t end = in_.find('\n', taken_); end != in_.npos) {
      const std::size_t begin = std::exchange(taken_, end + 1);
      if (end - begin <= line_max) return std::string_view{in_}.substr(begin, end - begin);
      has_long_line_ = true;
      return std::nullopt;
    }
    in_.erase(0, std::exchange(taken_, 0));
    if (in_.empty()) in_.shrink_to_fit();
    return std::nullopt;
  }
  void say(std::string_view line) { out_.append(line).push_back('\n'); }
  /// Sends as much as the client takes. False: the connection is broken.
  bool flush() {
    if (out_.empty()) return true;
    const ssize_t count = ::send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (count > 0) out_.erase(0, static_cast<std::size_t>(count));
    if (out_.empty()) out_.shrink_to_fit();
    return count >= 0 || errno == EAGAIN;
  }

  [[nodiscard]] bool may_answer() const noexcept { return !is_waiting && out_.size() < unread_max; }
  [[nodiscard]] bool is_flushed() const noexcept { return out_.empty(); }
  /// What comes next is no acceptable line, whatever its end. Requires: next_line() has just given none.
  [[nodiscard]] bool is_too_long() const noexcept { return may_answer() && (has_long_line_ || in_.size() > line_max); }

  bool is_waiting = false;     ///< for a job; what it says meanwhile waits too, so that answers come in order
  bool is_last = false;        ///< nothing is read any more, and it is closed once it has its answers
  std::uint32_t interest = 0;  ///< what epoll watches it for
  std::uint64_t requests = 0;

 private:
  perdure::UniqueFd socket_;
  std::pmr::string in_, out_;
  std::size_t taken_ = 0;  ///< of in_
  bool has_long_line_ = false;
};
