#include "chat_room.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include <fmt/core.h>

#include "perdure/control.hpp"

std::vector<pollfd> ChatRoom::poll_set() const {
  std::vector<pollfd> set;
  for (const Client& client : clients_)
    set.push_back({client.socket.get(), static_cast<short>(client.unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  if (!accepting_pauses_) set.push_back({listener_, POLLIN, 0});
  return set;
}

std::chrono::nanoseconds ChatRoom::patience() const {
  return accepting_pauses_ ? accept_pause : std::chrono::nanoseconds{-1};
}

void ChatRoom::process(const std::vector<pollfd>& polled) {
  // Nobody comes or leaves before all were looked at: the index in `polled` is the client's.
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i].is_gone) continue;
    if (polled[i].revents & POLLOUT) send_unsent(clients_[i]);
    if (polled[i].revents & ~POLLOUT) hear(clients_[i]);
  }
  for (const Client& client : clients_)
    if (client.is_gone) say_(fmt::format("[-] pid {} left", client.pid));
  std::erase_if(clients_, [](const Client& client) { return client.is_gone; });
  accepting_pauses_ = false;
  let_in();
}

void ChatRoom::let_in() {
  while (true) {
    perdure::UniqueFd socket{accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      accepting_pauses_ = errno != EAGAIN;
      return;
    }
    if (clients_.size() == clients_max) {
      constexpr std::string_view refusal = "server full\n";  // fits into any empty socket buffer
      (void)!send(socket.get(), refusal.data(), refusal.size(), MSG_NOSIGNAL);
      continue;
    }
    const auto peer = perdure::peer_credentials(socket.get());
    clients_.push_back({std::move(socket), peer ? peer->pid : 0});
    say_(fmt::format("[+] pid {} joined ({} total)", clients_.back().pid, clients_.size()));
  }
}

void ChatRoom::hear(Client& client) {
  std::array<char, message_bytes_max> buffer;
  const ssize_t count = recv(client.socket.get(), buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    client.is_gone = true;
    return;
  }
  const std::string message =
      fmt::format("[pid {}] {}", client.pid, std::string_view{buffer.data(), static_cast<std::size_t>(count)});
  for (Client& other : clients_)
    if (&other != &client && !other.is_gone) tell(other, message);
}

void ChatRoom::tell(Client& client, std::string_view text) {
  client.unsent += text;
  send_unsent(client);
  if (client.unsent.size() <= queue_bytes_max) return;
  say_(fmt::format("pid {} does not read what the others say: disconnecting it", client.pid));
  client.is_gone = true;
}

void ChatRoom::send_unsent(Client& client) {
  const ssize_t count = send(client.socket.get(), client.unsent.data(), client.unsent.size(), MSG_NOSIGNAL);
  if (count >= 0) client.unsent.erase(0, static_cast<std::size_t>(count));
  else if (errno != EAGAIN && errno != EINTR) client.unsent.clear();  // it has left: hear() gets its last words first
}
