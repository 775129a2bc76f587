#include "collector.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "perdure/control.hpp"

namespace {

bool may_report(int socket) {
  const auto peer = perdure::peer_credentials(socket);
  return peer && (peer->uid == 0 || peer->uid == geteuid());
}

}  // namespace

std::vector<pollfd> Collector::poll_set(Clock::time_point now) const {
  std::vector<pollfd> set;
  for (const Client& client : clients_) set.push_back({client.socket.get(), POLLIN, 0});
  if (clients_.size() < clients_max && now >= accept_from_) set.push_back({listener_.get(), POLLIN, 0});
  return set;
}

std::chrono::nanoseconds Collector::patience(Clock::time_point now) const {
  auto until =
      clients_.empty() ? Clock::time_point::max() : clients_.front().deadline;  // the first to come is the first late
  if (now < accept_from_) until = std::min(until, accept_from_);
  if (until == Clock::time_point::max()) return std::chrono::nanoseconds{-1};
  return std::max(until - now, Clock::duration::zero());
}

void Collector::process(const std::vector<pollfd>& polled, Clock::time_point now) {
  for (Client& client : clients_) {
    const auto found =
        std::find_if(polled.begin(), polled.end(), [&](const pollfd& p) { return p.fd == client.socket.get(); });
    const bool over = found != polled.end() && found->revents != 0 && serve(client);
    if (!over && now < client.deadline) continue;
    client.socket.reset();
    ++finished_;
  }
  std::erase_if(clients_, [](const Client& client) { return !client.socket; });
  accept_clients(now);
}

void Collector::accept_clients(Clock::time_point now) {
  while (clients_.size() < clients_max && now >= accept_from_) {
    perdure::UniqueFd socket{accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) {
      if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) accept_from_ = now + accept_pause;
      return;
    }
    if (may_report(socket.get())) clients_.push_back({std::move(socket), {}, now + client_within});
  }
}

bool Collector::serve(Client& client) {
  std::array<char, request_bytes_max> buffer;
  const ssize_t count = recv(client.socket.get(), buffer.data(), buffer.size() - client.received.size(), 0);
  if (count < 0) return errno != EAGAIN && errno != EINTR;
  client.received.append(buffer.data(), static_cast<std::size_t>(count));
  const Answer answer = averages_.take(client.received);
  if (answer.kind == Answer::Kind::Incomplete && count > 0 && client.received.size() < request_bytes_max) return false;
  for (const std::string& line : answer.dump) print_(line);
  // A reply fits into any empty socket buffer; whoever does not read it loses it.
  if (answer.kind == Answer::Kind::Reply)
    (void)!send(client.socket.get(), answer.reply.data(), answer.reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  return true;
}
