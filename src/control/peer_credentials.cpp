#include <sys/socket.h>

#include <cerrno>

#include "os/system.hpp"
#include "perdure/control.hpp"

namespace perdure {

Result<Credentials> peer_credentials(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (os::sys::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return Error::from_errno(errno, "ask who is at the other end of the socket");
  }
  return Credentials{peer.pid, peer.uid, peer.gid};
}

}  // namespace perdure
