// What the tests of these programs share: a daemon's pid, signals to it, one plain request on a Unix socket, and a stand-in for
// an init's or syslog's socket.
//
// Header-only, for tests. Thread safety: one thread.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 leaves this to its users
}

#include "perdure/testing/process.hpp"
#include "perdure/unique_fd.hpp"

namespace trial {

/// The number in a PID file; 0 where there is none.
inline pid_t pid_in(const std::string& path) {
  const auto text = perdure::testing::read_file(path).value_or("");
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc{} && std::string_view{end} == "\n" ? pid : 0;
}

/// To a daemon that the test started.
inline void send_signal(pid_t pid, int number) {
  const perdure::UniqueFd process{pid > 1 ? pidfd_open(pid, 0) : -1};
  if (!process || pidfd_send_signal(process.get(), number, nullptr, 0) != 0)
    throw std::runtime_error{"cannot send a signal to pid " + std::to_string(pid)};
}

inline perdure::UniqueFd connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error{"too long for a socket: " + path};
  std::memcpy(address.sun_path, path.data(), path.size());
  // An abstract name has a NUL in front, and every byte of its length counts.
  const std::size_t length = offsetof(sockaddr_un, sun_path) + path.size() + (path.empty() || path[0] == '\0' ? 0 : 1);
  perdure::UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket || connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length)) != 0)
    throw std::runtime_error{"cannot connect to " + path};
  return socket;
}

inline void say(const perdure::UniqueFd& socket, std::string_view text) {
  if (send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error{"cannot send a request"};
}

/// Everything until the other side closes.
inline std::string hear(const perdure::UniqueFd& socket) {
  std::string heard;
  for (std::array<char, 4096> buffer;;) {
    pollfd readable{socket.get(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(perdure::testing::hang_limit);
    if (poll(&readable, 1, static_cast<int>(limit.count())) <= 0) throw std::runtime_error{"no answer; so far: " + heard};
    const ssize_t count = read(socket.get(), buffer.data(), buffer.size());
    if (count <= 0) return heard;
    heard.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

/// As `printf TEXT | socat - UNIX-CONNECT:PATH` does it: send, half-close, read.
inline std::string ask(const std::string& path, std::string_view text) {
  const auto socket = connect_to(path);
  say(socket, text);
  shutdown(socket.get(), SHUT_WR);
  return hear(socket);
}

/// Waits until the file contains `text`.
inline bool file_says(const std::string& path, std::string_view text) {
  return perdure::testing::eventually(
      [&] { return perdure::testing::read_file(path).value_or("").find(text) != std::string::npos; });
}

/// Receives datagrams in the place of an init ($NOTIFY_SOCKET) or of syslog ($PERDURE_SYSLOG_SOCKET).
class Datagrams {
 public:
  explicit Datagrams(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) throw std::runtime_error{"too long for a socket: " + path};
    std::memcpy(address.sun_path, path.data(), path.size());
    if (!socket_ || bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error{"cannot bind " + path};
  }
  /// The next one, waited for; throws at the hang limit.
  [[nodiscard]] std::string next() const {
    pollfd readable{socket_.get(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(perdure::testing::hang_limit);
    if (poll(&readable, 1, static_cast<int>(limit.count())) <= 0) throw std::runtime_error{"no datagram comes"};
    std::array<char, 65536> buffer;
    const ssize_t count = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<std::size_t>(count < 0 ? 0 : count)};
  }
  /// None is waiting to be read.
  [[nodiscard]] bool is_empty() const {
    pollfd readable{socket_.get(), POLLIN, 0};
    return poll(&readable, 1, 0) == 0;
  }

 private:
  perdure::UniqueFd socket_;
};

inline bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace trial
