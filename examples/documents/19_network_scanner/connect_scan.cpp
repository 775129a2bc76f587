#include "connect_scan.hpp"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "perdure/unique_fd.hpp"

using Clock = std::chrono::steady_clock;

namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

perdure::Result<Addresses> look_up(const std::string& host) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM;
  const int error = getaddrinfo(host.c_str(), "1", &wanted, &found);  // some port, so that the address has room for one
  if (error != 0) return perdure::Error{"cannot look up " + host + ": " + gai_strerror(error)};
  return Addresses{found, freeaddrinfo};
}

PortState state_of(int error) {
  if (error == 0) return PortState::Open;
  return error == ECONNREFUSED ? PortState::Closed : PortState::NoAnswer;
}

struct Attempt {
  perdure::UniqueFd socket;
  bool is_under_way = false;
  PortState state = PortState::NoAnswer;

  Attempt(const addrinfo& host, std::uint16_t port) {
    sockaddr_storage address{};
    std::copy_n(reinterpret_cast<const char*>(host.ai_addr), host.ai_addrlen, reinterpret_cast<char*>(&address));
    // sin_port and sin6_port are at the same place (ip(7), ipv6(7)).
    reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port);
    socket.reset(::socket(host.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return;
    const int error = connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), host.ai_addrlen) == 0 ? 0 : errno;
    is_under_way = error == EINPROGRESS;
    if (!is_under_way) state = state_of(error);
  }

  void finish() {
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    state = state_of(error);
    is_under_way = false;
  }
};

void wait_for(std::vector<Attempt>& attempts, Clock::time_point until) {
  while (true) {
    std::vector<pollfd> set;
    for (const Attempt& attempt : attempts) set.push_back({attempt.is_under_way ? attempt.socket.get() : -1, POLLOUT, 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0 || std::ranges::all_of(set, [](const pollfd& p) { return p.fd < 0; })) return;
    if (poll(set.data(), set.size(), static_cast<int>(left.count())) < 0) continue;
    for (std::size_t i = 0; i < set.size(); ++i)
      if (set[i].revents != 0) attempts[i].finish();
  }
}

}  // namespace

std::string_view to_text(PortState state) {
  return state == PortState::Open ? "open" : state == PortState::Closed ? "closed" : "no answer";
}

perdure::Result<std::vector<ScannedPort>> connect_scan(const std::string& host, const std::vector<std::uint16_t>& ports,
                                                       std::chrono::milliseconds within) {
  const auto until = Clock::now() + within;
  PERDURE_TRY(const Addresses addresses, look_up(host));
  std::vector<Attempt> attempts;
  for (const std::uint16_t port : ports) attempts.emplace_back(*addresses, port);
  wait_for(attempts, until);
  std::vector<ScannedPort> scanned;
  for (std::size_t i = 0; i < ports.size(); ++i) scanned.push_back({ports[i], attempts[i].state});
  return scanned;
}
