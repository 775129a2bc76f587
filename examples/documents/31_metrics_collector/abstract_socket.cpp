#include "abstract_socket.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

namespace {

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

perdure::Result<Address> address_of(const std::string& name) {
  Address a;
  if (name.empty() || name.size() > sizeof a.address.sun_path - 1)
    return perdure::Error{"the name of an abstract socket has 1 to 107 bytes"};
  a.address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), a.address.sun_path + 1);  // the first byte stays NUL: that is what makes it abstract
  a.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return a;
}

}  // namespace

perdure::Result<perdure::UniqueFd> listen_abstract(const std::string& name) {
  constexpr int backlog = 16;
  PERDURE_TRY(const Address address, address_of(name));
  perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket || bind(socket.get(), address.get(), address.length) != 0 || listen(socket.get(), backlog) != 0)
    return perdure::Error::from_errno(errno, "listen on abstract socket", name);
  return socket;
}

perdure::Result<perdure::UniqueFd> connect_abstract(const std::string& name) {
  PERDURE_TRY(const Address address, address_of(name));
  perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket || connect(socket.get(), address.get(), address.length) != 0)
    return perdure::Error::from_errno(errno, "connect to abstract socket", name);
  return socket;
}
