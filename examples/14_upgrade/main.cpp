// A server that is replaced under its clients: `greeter upgrade` starts what is at the program's path now, gives it the
// listening socket, and ends once the new one serves. No connection is refused or lost meanwhile.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include <fmt/core.h>

namespace {

struct Settings {
  std::string listen = "127.0.0.1:7012";
};

void describe(perdure::Fields& f, Settings& s) {
  f("listen", s.listen).flag("--listen").help("ADDRESS:PORT, PORT, /PATH or @NAME").restart_only();
}

void greet(int listener) {
  const perdure::UniqueFd client{::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)};
  if (!client) return;  // the other process, old or new, was quicker
  const std::string words = fmt::format("greetings from {}\n", ::getpid());
  ::send(client.get(), words.data(), words.size(), MSG_NOSIGNAL);
}

void serve(perdure::Context& ctx) {
  pollfd listener{ctx.listener("greetings"), POLLIN, 0};
  // -1: stopping, so nobody is accepted any more. In an upgrade whoever comes now is the new process's.
  while (ctx.wait_fds({&listener, 1}, std::chrono::hours{1}) >= 0)
    if (listener.revents != 0) greet(listener.fd);
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  return perdure::run(
      argc, argv,
      {.name = "greeter",
       .config = config,
       .configure = [&](perdure::Options& o) { o.listeners = {{.name = "greetings", .address = config->listen}}; }},
      serve);
}
