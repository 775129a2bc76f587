#include "net/listen.hpp"

#include <cerrno>

#include "base/assert.hpp"
#include "os/system.hpp"

namespace perdure::net {
namespace sys = os::sys;
namespace {

const sockaddr* as_sockaddr(const Address& address) noexcept { return reinterpret_cast<const sockaddr*>(&address.socket); }

Result<void> set(const UniqueFd& fd, int level, int option, int value) {
  if (sys::setsockopt(fd.get(), level, option, &value, sizeof value) == 0) return {};
  return Error::from_errno(errno, "set an option of the socket");
}

}  // namespace

Result<UniqueFd> listen_at(const Address& address, const ListenOptions& options) {
  PERDURE_ASSERT(address.path.empty(), "files are made by control::ListeningSocket");
  UniqueFd fd{sys::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!fd && errno == EAFNOSUPPORT && address.is_for_all) return listen_at(all_of_ipv4(address), options);
  if (!fd) return Error::from_errno(errno, "make a socket");
  if (address.family() != AF_UNIX && options.reuse_address) PERDURE_CHECK(set(fd, SOL_SOCKET, SO_REUSEADDR, 1));
  // What net.ipv6.bindv6only says has no part in it: one address is one address, all are all.
  if (address.family() == AF_INET6) PERDURE_CHECK(set(fd, IPPROTO_IPV6, IPV6_V6ONLY, address.is_for_all ? 0 : 1));
  if (sys::bind(fd.get(), as_sockaddr(address), address.size) != 0) {
    // A machine whose IPv6 is switched off still makes the socket (net.ipv6.conf.all.disable_ipv6).
    if (errno == EADDRNOTAVAIL && address.is_for_all) return listen_at(all_of_ipv4(address), options);
    return Error::from_errno(errno, "bind the socket");
  }
  if (sys::listen(fd.get(), options.backlog) != 0) return Error::from_errno(errno, "listen on the socket");
  return fd;
}

Result<void> accept_passed_listener(int fd) {
  const auto ask = [fd](int option) {
    int value = -1;
    socklen_t size = sizeof value;
    return sys::getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
  };
  errno = 0;
  const int type = ask(SO_TYPE);
  if (type < 0) return Error{errno == EBADF ? "it is not open" : "it is not a socket", errno};
  if (type != SOCK_STREAM) return Error{"it is not a stream socket", EINVAL};
  if (ask(SO_ACCEPTCONN) != 1) return Error{"it does not listen", EINVAL};
  const int flags = sys::fcntl(fd, F_GETFL);
  if (flags < 0 || sys::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || sys::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return Error::from_errno(errno, "make it non-blocking");
  return {};
}

bool somebody_listens(const Address& address) noexcept {
  const UniqueFd fd{sys::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  // EAGAIN: its queue is full, so there is one.
  return fd && (sys::connect(fd.get(), as_sockaddr(address), address.size) == 0 || errno == EAGAIN);
}

}  // namespace perdure::net
