// Upstream: another line server on this machine, asked over a bounded number of connections that are used again. A broken one is dropped.
//
// Thread safety: ask() from any thread. An upstream that is silent is given up after two seconds; one that sends its answer byte by
// byte holds the thread for as long as it does so.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "perdure/connection_pool.hpp"
#include "perdure/unique_fd.hpp"

class Upstream {
 public:
  Upstream(std::uint16_t port, unsigned connections)
      : pool_({.max = connections, .connect = [port] { return connect_to(port); }, .is_usable = is_silent}) {}
  /// What it answers, without the newline. Throws std::runtime_error; the next question gets another connection then.
  std::string ask(const std::string& line) {
    auto connection = pool_.take(std::chrono::seconds{2});
    if (!connection) throw std::runtime_error{connection.error().message()};
    return exchange((*connection)->get(), line + '\n');  // a lease that an exception ends does not go back
  }

 private:
  static perdure::Result<perdure::UniqueFd> connect_to(std::uint16_t port) {
    const timeval limit{.tv_sec = 2, .tv_usec = 0};  // of sending it is that of connect(2) as well: socket(7)
    sockaddr_in to{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    perdure::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
        ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return perdure::Error::from_errno(errno, "connect to the upstream, port", std::to_string(port));
    return fd;
  }
  /// Neither closed by the other side nor with bytes of which nobody knows what they answer.
  static bool is_silent(const perdure::UniqueFd& fd) {
    char byte = 0;
    return ::recv(fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
  }
  static std::string exchange(int fd, const std::string& question) {
    std::string answer;
    std::array<char, 4096> buffer;
    ssize_t count = ::send(fd, question.data(), question.size(), MSG_NOSIGNAL);
    while (count > 0 && answer.size() < 64 * buffer.size() && !answer.ends_with('\n'))
      if (count = ::recv(fd, buffer.data(), buffer.size(), 0); count > 0)
        answer.append(buffer.data(), static_cast<std::size_t>(count));
    if (answer.empty() || answer.find('\n') != answer.size() - 1) throw std::runtime_error{"the upstream does not answer"};
    return answer.substr(0, answer.size() - 1);
  }

  perdure::ConnectionPool<perdure::UniqueFd> pool_;
};
