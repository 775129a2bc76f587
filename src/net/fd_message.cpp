#include "net/fd_message.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/assert.hpp"
#include "os/system.hpp"

namespace perdure::net {
namespace sys = os::sys;
namespace {

/// Other control messages (SCM_CREDENTIALS, SCM_SECURITY, timestamps), should the owner of the socket have asked for them.
constexpr std::size_t other_control_max = 512;

/// Space as the kernel aligns it. A buffer for exactly one descriptor is a trap: its padding has room for a second one.
struct ControlBuffer {
  alignas(cmsghdr) char bytes[CMSG_SPACE(message_fds_max * sizeof(int)) + other_control_max];
};

std::vector<UniqueFd> descriptors_of(msghdr& message) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

Result<void> send_message(int socket, std::string_view bytes, std::span<const int> fds) {
  PERDURE_ASSERT(!bytes.empty() && fds.size() <= message_fds_max,
                 "a message has a byte, and as many descriptors as the kernel takes");
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  ControlBuffer control{};
  if (!fds.empty()) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = -1;
  do sent = sys::sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  if (sent < 0) return Error::from_errno(errno, "send over the socket");
  return {};
}

Result<FdMessage> receive_message(int socket, std::size_t bytes_max) {
  FdMessage result;
  result.bytes.resize(bytes_max);
  iovec part{result.bytes.data(), result.bytes.size()};
  ControlBuffer control;  // NOLINT(cppcoreguidelines-pro-type-member-init): recvmsg fills it
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control.bytes;
  ssize_t size = -1;
  do size = sys::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0) return Error::from_errno(errno, "receive from the socket");
  result.fds = descriptors_of(message);
  if ((message.msg_flags & MSG_CTRUNC) != 0) {
    return Error{
        "descriptors came that this process may not open as well (EMFILE); none was kept; raise the limit on open files",
        EMFILE};
  }
  result.is_cut = (message.msg_flags & MSG_TRUNC) != 0;
  result.bytes.resize(static_cast<std::size_t>(size));
  return result;
}

}  // namespace perdure::net
