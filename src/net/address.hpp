// Address: where a stream socket listens, from the text that a person writes.
//
//     127.0.0.1:8080   [::1]:8080   one address of this machine
//     8080   *:8080                 every address, IPv6 and IPv4
//     /run/x.sock   unix:/run/x.sock   a file of the file system
//     @name   unix:@name               an abstract name (Linux; no file, open to everybody on the machine)
//
// Port 0 lets the kernel choose. Left out: names of hosts and services, because looking them up may block and change its mind;
// IPv6 zones. Thread, fork and signal safety: pure (signals: none).
//
//     PERDURE_TRY(net::Address address, net::parse_address("[::1]:8080"));
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::net {

struct Address {
  sockaddr_storage socket{};
  socklen_t size = 0;
  std::string path{};       ///< of the file; "" for everything else
  bool is_for_all = false;  ///< every address of the machine: where there is no IPv6, that of IPv4 does

  [[nodiscard]] int family() const noexcept { return socket.ss_family; }
};

/// On failure: `cannot listen on "…": ` and what is wanted instead, with EINVAL or ENAMETOOLONG.
Result<Address> parse_address(std::string_view text);

/// 0.0.0.0 with the port of an address that is for all.
Address all_of_ipv4(const Address& address) noexcept;

}  // namespace perdure::net
