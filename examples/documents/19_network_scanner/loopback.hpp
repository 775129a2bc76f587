// TcpPort: a port of 127.0.0.1 that nobody else has, for tests: one that listens, or one that only is taken.
//
// Thread safety: one thread.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <stdexcept>

#include "perdure/unique_fd.hpp"

struct TcpPort {
  enum class Listens : std::uint8_t { No, Yes };
  perdure::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::uint16_t number = 0;

  explicit TcpPort(Listens listens, int backlog = 16) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (bind(socket.get(), generic, size) != 0 || getsockname(socket.get(), generic, &size) != 0 ||
        (listens == Listens::Yes && listen(socket.get(), backlog) != 0))
      throw std::runtime_error{"cannot take a port of the loopback"};
    number = ntohs(address.sin_port);
  }
};
