#include "supervisor/message_socket.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr int receive_buffer = 8 << 20;
// Linux 6.5; not in the headers of older C libraries.
constexpr int so_passpidfd = 76;
constexpr int scm_pidfd = 4;
constexpr suseconds_t interruption_us = 10'000;

/// While it lives, this process gets no new descriptor, whatever a message brings.
class NoNewDescriptors {
 public:
  NoNewDescriptors() {
    is_set_ = sys::prlimit(RLIMIT_NOFILE, nullptr, &before_) == 0;
    const rlimit none{0, before_.rlim_max};
    is_set_ = is_set_ && sys::prlimit(RLIMIT_NOFILE, &none, nullptr) == 0;
  }
  ~NoNewDescriptors() {
    if (is_set_) sys::prlimit(RLIMIT_NOFILE, &before_, nullptr);
  }
  NoNewDescriptors(const NoNewDescriptors&) = delete;
  NoNewDescriptors& operator=(const NoNewDescriptors&) = delete;
  [[nodiscard]] bool is_set() const { return is_set_; }

 private:
  rlimit before_{};
  bool is_set_ = false;
};

/// While it lives, whatever waits and may be interrupted is: the last one to have a TCP socket waits in it for SO_LINGER seconds.
class Interruptions {
 public:
  Interruptions() {
    struct sigaction nothing {};
    nothing.sa_handler = [](int) {};
    // Stays: one more may be on its way when the timer is stopped.
    is_set_ = sys::sigaction(SIGALRM, &nothing, nullptr) == 0;
    if (!is_set_) return;
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sys::sigprocmask(SIG_UNBLOCK, &alarm, &before_);
    sys::setitimer(ITIMER_REAL, {{0, interruption_us}, {0, interruption_us}});
  }
  ~Interruptions() {
    if (!is_set_) return;
    sys::setitimer(ITIMER_REAL, {});
    sys::sigprocmask(SIG_SETMASK, &before_, nullptr);
  }
  Interruptions(const Interruptions&) = delete;
  Interruptions& operator=(const Interruptions&) = delete;

 private:
  sigset_t before_{};
  bool is_set_ = false;
};

/// What it carries is refused a number for want of room, or for want of descriptors.
std::optional<ReceivedMessage> look(int socket, std::span<char> room, bool with_pidfd = true) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int))];
  iovec part{room.data(), room.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = with_pidfd ? sizeof control : CMSG_SPACE(sizeof(ucred));
  const ssize_t size = sys::recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK);
  if (size < 0) return std::nullopt;
  ReceivedMessage message;
  for (const cmsghdr* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, const_cast<cmsghdr*>(one))) {
    if (one->cmsg_level != SOL_SOCKET) continue;
    if (one->cmsg_type == SCM_CREDENTIALS) {
      ucred peer{};
      std::memcpy(&peer, CMSG_DATA(one), sizeof peer);
      message.sender = peer.pid;
    } else if (one->cmsg_type == scm_pidfd) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(one), sizeof fd);
      if (fd >= 0) message.sender_pidfd.reset(fd);  // else an errno
    }
  }
  message.bytes = {room.data(), static_cast<std::size_t>(size)};
  message.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
  message.carries_descriptors = (header.msg_flags & MSG_CTRUNC) != 0;
  return message;
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
  struct stat there {};
  if (sys::lstat(path.c_str(), &there) == 0) {
    if (!S_ISSOCK(there.st_mode)) return Error::from_errno(EEXIST, "bind", path);
    sys::unlink(path.c_str());
  }
  const mode_t mask = sys::umask(0);  // every user may send; who is heard is looked at message by message
  const bool is_bound = sys::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  sys::umask(mask);
  if (!is_bound) return Error::from_errno(error, "bind", path);
  return socket;
}

/// The kernel puts what is sent along before the pidfd: asking for the latter is safe only when it is known that there is nothing.
std::optional<ReceivedMessage> look_at_message(int socket, std::span<char> room) {
  std::optional<ReceivedMessage> message;
  {
    const NoNewDescriptors guard;
    message = look(socket, room, guard.is_set());  // room for no pidfd is room for no descriptor
  }
  if (!message || message->carries_descriptors) return message;
  return look(socket, room);
}

void drop_message(int socket, const ReceivedMessage& message) {
  msghdr nothing{};
  std::optional<Interruptions> interruptions;
  if (message.carries_descriptors) interruptions.emplace();
  static_cast<void>(sys::recvmsg(socket, &nothing, MSG_DONTWAIT));
}

}  // namespace perdure::supervisor
