#include "supervisor/message_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr std::size_t message_fds_max = 253;  // SCM_MAX_FD of unix(7)
constexpr int receive_buffer = 8 << 20;
// Linux 6.5; not in the headers of older C libraries.
constexpr int so_passpidfd = 76;
constexpr int scm_pidfd = 4;

void take_sender(const cmsghdr* header, ReceivedMessage& message) {
  ucred peer{};
  std::memcpy(&peer, CMSG_DATA(header), sizeof peer);
  message.sender = peer.pid;
}

void take_fds(const cmsghdr* header, ReceivedMessage& message) {
  for (std::size_t at = 0; at + CMSG_LEN(0) + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
    if (header->cmsg_type != scm_pidfd) message.fds.emplace_back(fd);
    else if (fd >= 0) message.sender_pidfd.reset(fd);  // else an errno
  }
}

}  // namespace

Result<UniqueFd> bind_message_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return Error{"the directory's name is too long for a socket in it: " + path + " (ENAMETOOLONG)", ENAMETOOLONG};
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd socket{sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) return Error::from_errno(errno, "make a socket for", path);
  const int yes = 1;
  if (sys::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
    return Error::from_errno(errno, "set SO_PASSCRED of", path);
  static_cast<void>(sys::setsockopt(socket.get(), SOL_SOCKET, so_passpidfd, &yes, sizeof yes));
  static_cast<void>(sys::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer));
  sys::unlink(path.c_str());
  const mode_t mask = sys::umask(0);  // every user may send; who is heard is looked at message by message
  const bool is_bound = sys::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  sys::umask(mask);
  if (!is_bound) return Error::from_errno(error, "bind", path);
  return socket;
}

std::optional<ReceivedMessage> receive_message(int socket, std::span<char> room, Receive how) {
  alignas(
      cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int) * message_fds_max)];
  iovec part{room.data(), room.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC | (how == Receive::Look ? MSG_PEEK : 0);
  const ssize_t size = sys::recvmsg(socket, &header, flags);
  if (size < 0) return std::nullopt;
  ReceivedMessage message;
  for (const cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, const_cast<cmsghdr*>(one))) {
    if (one->cmsg_level != SOL_SOCKET) continue;
    if (one->cmsg_type == SCM_CREDENTIALS) take_sender(one, message);
    if (one->cmsg_type == SCM_RIGHTS || one->cmsg_type == scm_pidfd) take_fds(one, message);
  }
  message.bytes = {room.data(), static_cast<std::size_t>(size)};
  message.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
  return message;
}

}  // namespace perdure::supervisor
