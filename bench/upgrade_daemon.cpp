// What upgrade_bench replaces again and again: answers each connection's first bytes with "yes" and closes it.
#include <sys/socket.h>
#include <unistd.h>

#include <list>
#include <vector>

#include "perdure/perdure.hpp"
#include "perdure/unique_fd.hpp"

namespace {

using Clients = std::list<perdure::UniqueFd>;

void answer(Clients& clients, const std::vector<pollfd>& set, std::size_t first) {
  auto client = clients.begin();
  for (std::size_t i = first; i < set.size(); ++i) {
    const auto one = client++;
    if (set[i].revents == 0) continue;
    char request[64];
    if (::read(one->get(), request, sizeof request) > 0) ::send(one->get(), "yes", 3, MSG_NOSIGNAL);
    clients.erase(one);
  }
}

void serve(perdure::Context& ctx) {
  Clients clients;
  std::vector<pollfd> set;
  const auto fill = [&](std::initializer_list<int> listeners) {
    set.clear();
    for (const int fd : listeners) set.push_back({fd, POLLIN, 0});
    for (const auto& client : clients) set.push_back({client.get(), POLLIN, 0});
  };
  for (;;) {
    fill({ctx.listener("tcp"), ctx.listener("local")});
    if (ctx.wait_fds(set, std::chrono::hours{1}) < 0) break;
    answer(clients, set, 2);
    for (std::size_t i = 0; i < 2; ++i) {
      if (set[i].revents == 0) continue;
      perdure::UniqueFd client{::accept4(set[i].fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
      if (client) clients.push_back(std::move(client));
    }
  }
  while (!clients.empty()) {
    fill({});
    ::poll(set.data(), set.size(), 1000);
    answer(clients, set, 0);
  }
}

}  // namespace

int main(int argc, char** argv) {
  return perdure::run(argc, argv,
                      {.name = "upgrade-daemon",
                       .arguments = "PORT PATH",
                       .before_start = [argc, argv](perdure::Options& o) -> perdure::Result<void> {
                         o.listeners = {{.name = "tcp", .address = std::string{"127.0.0.1:"} + argv[argc - 2]},
                                        {.name = "local", .address = argv[argc - 1]}};
                         return {};
                       }},
                      serve);
}
