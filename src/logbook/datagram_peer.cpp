#include "logbook/datagram_peer.hpp"

#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "os/system.hpp"

namespace perdure::logbook {
namespace {

// The peer has gone, and perhaps another one listens at the same path by now.
bool is_lost_peer(int code) noexcept {
  return code == ECONNREFUSED || code == ENOTCONN || code == ECONNRESET || code == EDESTADDRREQ || code == EPIPE;
}

}  // namespace

Result<void> DatagramPeer::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) return Error::from_errno(ENAMETOOLONG, "connect to", path_);
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  UniqueFd socket{os::sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) return Error::from_errno(errno, "make a socket for", path_);
  if (os::sys::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno(errno, "connect to", path_);
  }
  socket_ = std::move(socket);
  return {};
}

Result<void> DatagramPeer::send(std::string_view bytes) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return send(message);
}

Result<void> DatagramPeer::send(const msghdr& message) {
  const auto is_sent = [&] { return os::sys::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0; };
  if (socket_ && is_sent()) return {};
  if (socket_ && !is_lost_peer(errno)) return Error::from_errno(errno, "send to", path_);
  socket_.reset();
  PERDURE_CHECK(connect());
  if (!is_sent()) return Error::from_errno(errno, "send to", path_);
  return {};
}

}  // namespace perdure::logbook
