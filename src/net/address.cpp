#include "net/address.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include <fmt/core.h>

#include "base/text.hpp"

namespace perdure::net {
namespace {

/// sun_path without the NUL at its end, or at the front of an abstract name (unix(7)).
constexpr std::size_t unix_name_max = sizeof(sockaddr_un::sun_path) - 1;
constexpr std::string_view wanted = "wanted is 127.0.0.1:8080, [::1]:8080, 8080, /run/x.sock or @name";

Error refused(std::string_view text, std::string_view why, int code = EINVAL) {
  return Error{fmt::format("cannot listen on {}: {}", base::quote(text), why), code};
}

template <class Sockaddr>
Address address_of(const Sockaddr& socket, std::size_t size = sizeof(Sockaddr)) noexcept {
  Address address;
  std::memcpy(&address.socket, &socket, sizeof socket);
  address.size = static_cast<socklen_t>(size);
  return address;
}

Result<Address> parse_unix(std::string_view text, std::string_view name) {
  const bool is_abstract = name.starts_with('@');
  if (name.size() < 2) return refused(text, is_abstract ? "the abstract name is empty" : "the path is empty");
  if (!is_abstract && !name.starts_with('/')) return refused(text, "the path of a socket must be absolute");
  if (name.find('\0') != std::string_view::npos) return refused(text, "it has a NUL byte");
  if (!is_abstract && name.ends_with('/')) return refused(text, "a path that ends in / is a directory's");
  const std::size_t bytes = is_abstract ? name.size() - 1 : name.size();
  if (bytes > unix_name_max) {
    return refused(text,
                   fmt::format("it has {} bytes, a Unix socket's at most {}; choose a shorter one", bytes, unix_name_max),
                   ENAMETOOLONG);
  }
  sockaddr_un socket{};
  socket.sun_family = AF_UNIX;
  std::memcpy(socket.sun_path, name.data(), name.size());
  if (is_abstract) socket.sun_path[0] = '\0';
  // The size of an abstract name is exact: NULs behind it would belong to it.
  Address address = address_of(socket, is_abstract ? offsetof(sockaddr_un, sun_path) + name.size() : sizeof socket);
  if (!is_abstract) address.path = name;
  return address;
}

std::optional<in_addr> ipv4(const std::string& text) {
  in_addr result{};
  return ::inet_pton(AF_INET, text.c_str(), &result) == 1 ? std::optional{result} : std::nullopt;
}

std::optional<in6_addr> ipv6(const std::string& text) {
  in6_addr result{};
  return ::inet_pton(AF_INET6, text.c_str(), &result) == 1 ? std::optional{result} : std::nullopt;
}

Address with_ipv6(const in6_addr& host, std::uint16_t port) noexcept {
  sockaddr_in6 socket{};
  socket.sin6_family = AF_INET6;
  socket.sin6_port = htons(port);
  socket.sin6_addr = host;
  return address_of(socket);
}

Address with_ipv4(const in_addr& host, std::uint16_t port) noexcept {
  sockaddr_in socket{};
  socket.sin_family = AF_INET;
  socket.sin_port = htons(port);
  socket.sin_addr = host;
  return address_of(socket);
}

}  // namespace

Result<Address> parse_address(std::string_view text) {
  std::string_view rest = text;
  if (base::remove_prefix(rest, "unix:") || text.starts_with('/') || text.starts_with('@')) return parse_unix(text, rest);

  const auto colon = text.rfind(':');
  const std::string_view port_text = colon == std::string_view::npos ? text : text.substr(colon + 1);
  std::string host{colon == std::string_view::npos ? "*" : text.substr(0, colon)};
  const bool is_bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (!is_bracketed && ipv6(std::string{text}))
    return refused(text, "write an IPv6 address in brackets, with a port: [::1]:8080");
  const auto port = base::parse_number<std::uint16_t>(port_text);
  if (!port) {
    const bool is_number = !port_text.empty() && port_text.find_first_not_of("0123456789") == std::string_view::npos;
    if (is_number) return refused(text, "a port is a number from 0 to 65535");
    return refused(text, colon == std::string_view::npos || port_text.empty() ? fmt::format("it has no port; {}", wanted)
                                                                              : std::string{wanted});
  }
  if (is_bracketed) {
    if (const auto address = ipv6(host.substr(1, host.size() - 2))) return with_ipv6(*address, *port);
    return refused(text, "what is in the brackets is no IPv6 address");
  }
  if (host == "*") {
    Address address = with_ipv6(in6addr_any, *port);
    address.is_for_all = true;
    return address;
  }
  if (const auto address = ipv4(host)) return with_ipv4(*address, *port);
  return refused(text, fmt::format("names are not looked up; {}", wanted));
}

Address all_of_ipv4(const Address& address) noexcept {
  sockaddr_in6 socket{};
  std::memcpy(&socket, &address.socket, sizeof socket);
  return with_ipv4({htonl(INADDR_ANY)}, ntohs(socket.sin6_port));
}

}  // namespace perdure::net
