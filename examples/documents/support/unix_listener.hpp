// UnixListener: a listening Unix socket with a path, for the servers among these programs.
//
// Mode 0600 unless told otherwise, whatever the umask. What a crash left at the path is replaced; a socket on which somebody
// listens, and anything that is no socket, stays and is refused. The path is unlinked with the object, in the process that made it.
// Thread safety: none, one owner. Fork: a child closes its copy and leaves the path alone.
//
//     PERDURE_TRY(auto listener, UnixListener::at("/tmp/zig_chat.sock", {.backlog = 5}));
//     accept4(listener.fd(), …)                                  // it does not block
#pragma once

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

class UnixListener {
 public:
  struct Options {
    int backlog = 5;
    mode_t mode = 0600;
  };

  static perdure::Result<UnixListener> at(const std::string& path, Options options = {5, 0600}) {
    using perdure::Error;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
      return Error{"cannot listen on " + path + ": the path of a socket has 1 to 107 bytes"};
    std::copy(path.begin(), path.end(), address.sun_path);
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    PERDURE_CHECK(make_room(path, where));
    perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket || bind(socket.get(), where, sizeof address) != 0) return Error::from_errno(errno, "bind to", path);
    UnixListener listener{std::move(socket), path};
    // Nobody can connect before listen(2), so nobody gets in under the mode that the umask left.
    if (chmod(path.c_str(), options.mode) != 0 || listen(listener.fd(), options.backlog) != 0)
      return Error::from_errno(errno, "listen on", path);
    return listener;
  }

  UnixListener(UnixListener&& other) noexcept
      : socket_(std::move(other.socket_)), path_(std::move(other.path_)), owner_(std::exchange(other.owner_, 0)) {}
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener() {
    if (owner_ == getpid()) unlink(path_.c_str());
  }

  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  UnixListener(perdure::UniqueFd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}

  static perdure::Result<void> make_room(const std::string& path, const sockaddr* where) {
    struct stat found {};
    if (lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode))
      return perdure::Error{"cannot listen on " + path + ": it is not a socket; it stays as it is"};
    const perdure::UniqueFd probe{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!probe || connect(probe.get(), where, sizeof(sockaddr_un)) == 0 || errno != ECONNREFUSED)
      return perdure::Error{"cannot listen on " + path + ": somebody listens there already (EADDRINUSE)", EADDRINUSE};
    if (unlink(path.c_str()) != 0) return perdure::Error::from_errno(errno, "replace", path);
    return {};
  }

  perdure::UniqueFd socket_;
  std::string path_;
  pid_t owner_ = getpid();
};
