// Root for a moment: a port below 1024 is opened, then the daemon becomes nobody and is shut in. It tells each caller who it is.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <fmt/core.h>

struct Settings {
  int port = 81;
};

void describe(perdure::Fields& f, Settings& s) { f("port", s.port).range(1, 65535).flag("--port").restart_only(); }

perdure::Result<void> open_port(perdure::UniqueFd& listener, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  listener.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  if (!listener || ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
      ::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) < 0 || ::listen(listener.get(), 64) < 0)
    return perdure::Error::from_errno(errno, "listen on", "port " + std::to_string(port));
  return {};
}

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  perdure::UniqueFd listener;
  const perdure::Options options{
      .name = "rights",
      .config = config,
      .pid_file = "/run/rights/rights.pid",  // a directory of its own: nobody may remove the file again
      .control = "/run/rights/rights.sock",
      .rights = {.user = "nobody",
                 .sandbox = perdure::Sandbox::NetworkServer,
                 .limits = {.open_files = 256, .core_bytes = 0}},
      .before_drop = {[&] { return open_port(listener, config->port); }},
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    pollfd set[] = {{listener.get(), POLLIN, 0}};
    while (ctx.wait_fds(set, std::chrono::hours{1}) >= 0) {
      const perdure::UniqueFd client{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
      const std::string who = fmt::format("uid {}\n", ::getuid());
      if (client) (void)!::send(client.get(), who.data(), who.size(), MSG_NOSIGNAL);
    }
  });
}
