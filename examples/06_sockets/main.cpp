// A server on one thread: wait_fds() waits for the sockets, the stop and the heartbeat at once. A socket that an init opened
// (socket activation) is used if there is one.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/perdure.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace {

perdure::Result<perdure::UniqueFd> listen_on_loopback() {
  perdure::UniqueFd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 ||
      ::listen(socket.get(), 64) < 0)
    return perdure::Error::from_errno(errno, "listen on", "127.0.0.1");
  return socket;
}

int port_of(int socket) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

int serve(perdure::Context& ctx) {
  perdure::UniqueFd listener = ctx.listen_fds().take_any();
  if (!listener) {
    auto opened = listen_on_loopback();
    if (!opened) throw std::runtime_error{opened.error().message()};  // reaches the terminal: we are not ready yet
    listener = *std::move(opened);
  }
  ctx.log().info("echo on 127.0.0.1:{}", port_of(listener.get()));

  std::vector<perdure::UniqueFd> clients;
  std::vector<pollfd> set;
  for (;;) {
    set.assign(1, {listener.get(), POLLIN, 0});
    for (const auto& client : clients) set.push_back({client.get(), POLLIN, 0});
    if (ctx.wait_fds(set, std::chrono::hours{1}) < 0) return 0;

    for (std::size_t i = set.size() - 1; i >= 1; --i) {
      if (set[i].revents == 0) continue;
      char buffer[1024];
      const ssize_t size = ::read(clients[i - 1].get(), buffer, sizeof buffer);
      if (size <= 0 || ::send(clients[i - 1].get(), buffer, static_cast<std::size_t>(size), MSG_NOSIGNAL) != size)
        clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i - 1));
    }
    if (set.front().revents != 0) {
      perdure::UniqueFd client{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
      if (client && clients.size() < 64) clients.push_back(std::move(client));
    }
  }
}

}  // namespace

int main(int argc, char** argv) { return perdure::run(argc, argv, {.name = "sockets"}, serve); }
