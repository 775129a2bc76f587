// ListeningSocket: the one socket that the control server accepts on, made at a path or adopted from somebody else.
//
// A socket made here is never more open than 0600, whatever the umask, and what stood at the path is replaced only if it is a
// socket too, by a rename, so that a client finds the old one or the new one, never none. Left out: deciding whether the old
// one is still in use; the caller holds the instance's lock.
// A replacement is bound under a temporary name, PATH.XXXXXXXX, and ss(8) goes on showing that name (the kernel keeps the
// address of bind(2)); a path over 98 bytes has no room for one, there the old socket is unlinked first.
// Thread safety: as a plain value. Fork: a child's copy closes its descriptor and leaves the path alone.
//
//     PERDURE_TRY(auto listening, control::ListeningSocket::at("/run/thermod.sock"));
//     os::sys::accept4(listening.fd(), …);
#pragma once

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

#include <optional>
#include <string>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::control {

/// 107: sun_path without the NUL at its end (unix(7)).
inline constexpr std::size_t socket_path_max = sizeof(sockaddr_un::sun_path) - 1;

/// The address of `path`. On failure: empty, too long, or with a NUL; `attempt` is what could not be done ("listen on").
Result<sockaddr_un> socket_address(const std::string& path, std::string_view attempt);

class ListeningSocket {
 public:
  static Result<ListeningSocket> at(const std::string& path);
  /// Takes over `fd`, which must be a listening Unix stream socket, and makes it non-blocking and close-on-exec. Its path stays.
  /// On failure: it is still the caller's.
  static Result<ListeningSocket> adopt(int fd);

  ListeningSocket(ListeningSocket&&) noexcept = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  /// Unlinks the path if it is still this very socket, in the process that made it.
  ~ListeningSocket();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Leaves the descriptor to the caller, who closes it, and the path alone.
  void release() noexcept { (void)fd_.release(); }

 private:
  explicit ListeningSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::string path_{};  ///< empty: adopted
  dev_t device_ = 0;    ///< with inode_: the file at path_ that is ours
  ino_t inode_ = 0;
  pid_t maker_ = 0;
};

}  // namespace perdure::control
