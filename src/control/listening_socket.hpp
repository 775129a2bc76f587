// ListeningSocket: a socket with a file, that of the control server above all, made at a path or adopted from somebody else.
//
// A socket made here is never more open than asked for, whatever the umask, and what stood at the path is replaced only if it is a
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
#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::control {

/// 107: sun_path without the NUL at its end (unix(7)).
inline constexpr std::size_t socket_path_max = sizeof(sockaddr_un::sun_path) - 1;

/// The address of `path`. On failure: empty, too long, or with a NUL; `attempt` is what could not be done ("listen on").
Result<sockaddr_un> socket_address(const std::string& path, std::string_view attempt);

struct ListeningSocketOptions {
  /// Of the file. Rights that the umask takes away are an error: connecting needs the right to write (unix(7)).
  mode_t permissions = 0600;
  /// Connections that wait for accept(2); the kernel lets further clients wait in connect(2).
  int backlog = 64;
};

/// The file of a socket. A number alone is no identity, nor is a path.
struct SocketFile {
  std::string path{};  ///< "": there is none, or it is somebody else's
  dev_t device = 0;    ///< with inode: the file at path that is ours
  ino_t inode = 0;
};

class ListeningSocket {
 public:
  static Result<ListeningSocket> at(const std::string& path, const ListeningSocketOptions& options = {});
  /// Takes over `fd`, which must be a listening Unix stream socket, and makes it non-blocking and close-on-exec. Its path stays.
  /// On failure: it is still the caller's.
  static Result<ListeningSocket> adopt(int fd);

  /// Owns the listening socket `fd`, which has no file that is ours.
  explicit ListeningSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  ListeningSocket(ListeningSocket&&) noexcept = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  /// Unlinks the path if it is still this very socket, in the process that made it.
  ~ListeningSocket();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  /// Leaves the descriptor to the caller, who closes it, and the path alone.
  void release() noexcept { (void)fd_.release(); }

  // A process that hands the socket over leaves the file to its successor, which owns it from then on.
  [[nodiscard]] const SocketFile& file() const noexcept { return file_; }
  void own(SocketFile file) noexcept;
  void disown() noexcept { file_ = {}; }
  /// Unlinks the file where it is ours, as the destructor does; the socket stays open. Nobody may look at file() meanwhile.
  void remove_file() noexcept;

 private:
  UniqueFd fd_;
  SocketFile file_{};
  pid_t owner_ = 0;  ///< of the file
};

}  // namespace perdure::control
