// Connections: ends those whose clients take too long. httplib limits the time between two bytes only, and does not tell its
// sockets, so they are looked up in /proc/self/fd. Only reading is ended: an answer on its way still arrives.
// Thread safety: one thread, while others serve the connections.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

class Connections {
 public:
  using Clock = std::chrono::steady_clock;
  /// Those whose own end is TCP port `port`, and which were first seen, by a call of this function, `age` ago or earlier.
  void end_older_than(int port, std::chrono::milliseconds age, Clock::time_point now) {
    std::map<std::uint64_t, Clock::time_point> open;
    std::error_code error;
    for (std::filesystem::directory_iterator entry{"/proc/self/fd", error}, end; entry != end; entry.increment(error)) {
      const int fd = std::atoi(entry->path().filename().c_str());
      std::uint64_t cookie = 0;
      socklen_t size = sizeof cookie;
      if (!is_connection(fd, port) || getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) continue;
      const auto known = first_seen_.find(cookie);
      const auto since = open.emplace(cookie, known == first_seen_.end() ? now : known->second).first->second;
      // If httplib has closed it in this instant and accepted another under its number, that client has to ask again.
      if (now - since >= age) shutdown(fd, SHUT_RD);
    }
    first_seen_ = std::move(open);
  }

 private:
  static bool is_connection(int fd, int port) {
    sockaddr_in6 own{}, peer{};  // large enough for IPv4, whose port is at the same place
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    return getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
           (own.sin6_family == AF_INET || own.sin6_family == AF_INET6) && ntohs(own.sin6_port) == port &&
           getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0;  // a listener has none
  }
  std::map<std::uint64_t, Clock::time_point> first_seen_;  ///< by SO_COOKIE, which is never used twice
};
