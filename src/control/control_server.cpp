#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <unordered_map>
#include <utility>

#include <fmt/core.h>

#include "base/errno_name.hpp"
#include "control/connection.hpp"
#include "control/listening_socket.hpp"
#include "os/system.hpp"
#include "perdure/control.hpp"
#include "wire/control_frame.hpp"

namespace perdure {
namespace sys = os::sys;
using control::Connection;
using control::ListeningSocket;
using control::Room;

namespace {

using Clock = std::chrono::steady_clock;

/// Requests handed out and not answered, those of requesters that are gone included: they too are work under way.
constexpr std::size_t in_flight_max = 64;
/// Connections accepted in one round, so that a flood of them does not keep the others waiting.
constexpr int accept_burst = 16;
/// Enough to let in all that wait at a socket: more than its backlog.
constexpr int former_rounds = 8;
/// How long to let clients queue when there is no descriptor or memory for another connection.
constexpr std::chrono::milliseconds accept_pause{1'000};
constexpr unsigned connections_limit = 4'096;
/// Bytes that are read of somebody who may not ask: enough to say what was wanted.
constexpr std::size_t stranger_bytes_max = 4 * 1024;

constexpr std::uint64_t listener_key = 0;

bool is_permitted(const Credentials& peer) noexcept { return peer.uid == 0 || peer.uid == ::geteuid(); }

std::string not_permitted(const Credentials& peer) {
  const uid_t own = ::geteuid();
  const std::string allowed = own == 0 ? "uid 0" : fmt::format("uid 0 and uid {}", own);
  return fmt::format("not permitted: only {} may ask here, you are uid {}", allowed, peer.uid);
}

/// One line to somebody whose request will not be read. Nothing was received, so the dialect is unknown: plain.
void turn_away(const UniqueFd& socket, std::string_view why) {
  const auto line = wire::control_answer(wire::Dialect::Plain, {.ok = false, .text = std::string{why}});
  sys::sendto(socket.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
}

/// The same to a stranger who was let in; what it still sends is thrown away, so that it can read this.
void turn_away(Connection& stranger) {
  stranger.reject(wire::Dialect::Plain, not_permitted(stranger.peer()));
  stranger.take_no_more();
}

}  // namespace

Reply Reply::unknown() { return error("unknown command"); }

struct ControlServer::State {
  struct Client {
    Connection connection;
    std::uint32_t watched = EPOLLIN;
    bool is_stranger = false;
    std::size_t heard = 0;  ///< bytes of a stranger
  };

  using Clients = std::map<std::uint64_t, Client>;

  State(ListeningSocket socket, UniqueFd poller, const ControlServerOptions& options)
      : listening(std::move(socket)),
        epoll(std::move(poller)),
        line_within(options.line_within),
        connections_max(options.connections_max),
        strangers_max(options.strangers_max),
        maker(::getpid()),
        events(connections_max + 1) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    // A child forked meanwhile may hold copies of these sockets: shutdown reaches the peer all the same. In such a child,
    // on the other hand, the connections are not ours to end.
    if (::getpid() != maker) return;
    for (const auto& [key, client] : clients) sys::shutdown(client.connection.fd(), SHUT_RDWR);
  }

  [[nodiscard]] Room room() const noexcept { return in_flight.size() < in_flight_max ? Room::ForMore : Room::Full; }

  void process(std::vector<Request>& requests);
  void serve(std::uint64_t key, Client& client, std::uint32_t happened, std::vector<Request>& requests);
  void take_requests(std::uint64_t key, Client& client, std::vector<Request>& requests);
  static bool has_said_too_much(Client& client) noexcept;
  [[nodiscard]] std::size_t strangers() const noexcept;
  Result<void> listen_at(int listener, std::vector<Request>& requests);
  void accept_some(std::vector<Request>& requests);
  void admit(UniqueFd socket, std::vector<Request>& requests);
  bool make_place();
  Clients::iterator dismiss(Clients::iterator client);
  void listen_to_newcomers(bool wanted);
  void expire();
  void settle();

  std::optional<ListeningSocket> listening;  ///< one, until a successor has it
  UniqueFd epoll;
  std::chrono::milliseconds line_within;
  std::size_t connections_max;
  std::size_t strangers_max;
  pid_t maker;
  std::vector<epoll_event> events;
  Clients clients{};                                             ///< by key, which is never used again
  std::unordered_map<std::uint64_t, std::uint64_t> in_flight{};  ///< request id → the key of who waits for it
  std::uint64_t last_key = listener_key;
  std::uint64_t last_request = 0;
  std::optional<Clock::time_point> accept_again{};  ///< when accepting pauses
};

void ControlServer::State::process(std::vector<Request>& requests) {
  const int count = sys::epoll_wait(epoll.get(), events.data(), static_cast<int>(events.size()), 0);
  bool newcomers = accept_again && Clock::now() >= *accept_again;
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    const std::uint64_t key = event.data.u64;
    if (key == listener_key) newcomers = true;
    else if (const auto client = clients.find(key); client != clients.end())
      serve(key, client->second, event.events, requests);
  }
  // Those who are here come first, and what has arrived counts even where the owner came too late to look at it in time.
  if (newcomers) accept_some(requests);
  expire();
  settle();
}

void ControlServer::State::serve(std::uint64_t key, Client& client, std::uint32_t happened, std::vector<Request>& requests) {
  Connection& connection = client.connection;
  const auto now = Clock::now();
  if (client.is_stranger && (happened & (EPOLLIN | EPOLLHUP)) != 0 && connection.takes_requests() &&
      has_said_too_much(client)) {
    turn_away(connection);
  }
  if ((happened & (EPOLLHUP | EPOLLERR)) != 0) {
    connection.receive_rest(now);
    take_requests(key, client, requests);
    connection.close();
    return;
  }
  if ((happened & EPOLLIN) != 0) connection.receive(now);
  connection.send(now);
  take_requests(key, client, requests);
}

/// Looks at what waits in the socket, so that none of it is read where it is too much.
bool ControlServer::State::has_said_too_much(Client& client) noexcept {
  int waiting = 0;
  if (sys::ioctl(client.connection.fd(), FIONREAD, &waiting) == 0) client.heard += static_cast<std::size_t>(waiting);
  return client.heard > stranger_bytes_max;
}

void ControlServer::State::take_requests(std::uint64_t key, Client& client, std::vector<Request>& requests) {
  Connection& connection = client.connection;
  while (room() == Room::ForMore) {
    const auto now = Clock::now();
    const auto line = connection.next_line(now);
    if (line && client.is_stranger && line->size() > stranger_bytes_max) {  // more came than was waiting
      turn_away(connection);
    } else if (line) {
      auto request = wire::parse_control_request(*line);
      if (request) {
        const std::uint64_t id = ++last_request;
        in_flight.emplace(id, key);
        connection.expect(id, request->dialect);
        requests.push_back({id, std::move(request->verb), std::move(request->text), std::move(request->json),
                            connection.peer(), !client.is_stranger});
      } else {
        connection.reject(wire::control_dialect(*line),
                          client.is_stranger ? not_permitted(connection.peer()) : request.error().message());
      }
      if (client.is_stranger) connection.take_no_more();
    }
    connection.send(now);
    if (!line) return;
  }
}

Result<void> ControlServer::State::listen_at(int listener, std::vector<Request>& requests) {
  PERDURE_TRY(ListeningSocket fresh, ListeningSocket::adopt(listener));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = listener_key;
  if (sys::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fresh.fd(), &event) != 0) {
    Error error = Error::from_errno(errno, "watch the control socket");
    fresh.release();
    return error;
  }
  for (int round = 0; round < former_rounds && !accept_again; ++round) accept_some(requests);
  // By hand, because others may hold copies that keep the former socket alive and registered.
  if (listening) sys::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, listening->fd(), nullptr);
  listening.emplace(std::move(fresh));
  accept_again.reset();
  settle();
  return {};
}

void ControlServer::State::accept_some(std::vector<Request>& requests) {
  if (!listening) return;
  for (int i = 0; i < accept_burst; ++i) {
    UniqueFd socket{sys::accept4(listening->fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (socket) {
      admit(std::move(socket), requests);
    } else if (errno == EAGAIN) {
      break;
    } else if (errno != EINTR && errno != ECONNABORTED) {
      // EMFILE, ENFILE, ENOMEM: the client stays in the queue, so a poll would find it again at once, for ever.
      return listen_to_newcomers(false);
    }
  }
  if (accept_again) listen_to_newcomers(true);
}

void ControlServer::State::admit(UniqueFd socket, std::vector<Request>& requests) {
  const auto peer = peer_credentials(socket.get());
  if (!peer) return turn_away(socket, "not permitted: " + peer.error().message());
  const bool is_stranger = !is_permitted(*peer);
  // Nobody makes way for somebody who may not ask.
  const bool has_place = clients.size() < connections_max;
  if (is_stranger && (!has_place || strangers() >= strangers_max)) return turn_away(socket, not_permitted(*peer));
  if (!has_place && !make_place()) {
    return turn_away(socket, fmt::format("too many connections ({}); try again later", connections_max));
  }
  const std::uint64_t key = ++last_key;
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = key;
  if (sys::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0) {
    return turn_away(socket, "no room for another connection: " + base::errno_words(errno));
  }
  const auto client =
      clients.emplace(key, Client{Connection{std::move(socket), *peer, Clock::now()}, EPOLLIN, is_stranger, 0}).first;
  serve(key, client->second, EPOLLIN, requests);  // most have sent their line by now
}

std::size_t ControlServer::State::strangers() const noexcept {
  return static_cast<std::size_t>(std::count_if(clients.begin(), clients.end(), [](const auto& entry) {
    return entry.second.is_stranger && !entry.second.connection.is_over();
  }));
}

/// Whoever has been answered in full and only has not hung up yet makes way.
bool ControlServer::State::make_place() {
  const auto done = std::find_if(clients.begin(), clients.end(), [](const auto& entry) {
    return entry.second.connection.is_draining() || entry.second.connection.is_over();
  });
  if (done == clients.end()) return false;
  dismiss(done);
  return true;
}

ControlServer::State::Clients::iterator ControlServer::State::dismiss(Clients::iterator client) {
  // Both by hand, because a child forked meanwhile may hold a copy that keeps the socket alive and registered.
  const int fd = client->second.connection.fd();
  sys::epoll_ctl(epoll.get(), EPOLL_CTL_DEL, fd, nullptr);
  sys::shutdown(fd, SHUT_RDWR);
  return clients.erase(client);
}

void ControlServer::State::listen_to_newcomers(bool wanted) {
  if (!listening) return;
  epoll_event event{};
  event.events = wanted ? std::uint32_t{EPOLLIN} : 0U;
  event.data.u64 = listener_key;
  const bool done = sys::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, listening->fd(), &event) == 0;
  if (wanted && done) accept_again.reset();
  else accept_again = Clock::now() + accept_pause;
}

void ControlServer::State::expire() {
  const auto now = Clock::now();
  for (auto& [key, client] : clients) {
    const auto deadline = client.connection.deadline(room(), line_within);
    if (deadline && now >= *deadline) client.connection.expire(now, line_within);
  }
}

/// Closes what is over and tells the kernel what else to wait for.
void ControlServer::State::settle() {
  bool closed_one = false;
  for (auto entry = clients.begin(); entry != clients.end();) {
    auto& [connection, watched, is_stranger, heard] = entry->second;
    if (!connection.is_over()) {
      const auto wanted = connection.interest(room());
      epoll_event event{};
      event.events = wanted;
      event.data.u64 = entry->first;
      if (wanted != watched && sys::epoll_ctl(epoll.get(), EPOLL_CTL_MOD, connection.fd(), &event) != 0) {
        connection.close();
      } else {
        if (wanted == EPOLLIN && watched == 0) connection.restart_clock(Clock::now());
        watched = wanted;
      }
    }
    if (connection.is_over()) {
      entry = dismiss(entry);
      closed_one = true;
    } else {
      ++entry;
    }
  }
  if (closed_one && accept_again) listen_to_newcomers(true);  // its descriptor is free for somebody who waits
}

Result<ControlServer> ControlServer::listen(const ControlServerOptions& options) {
  if (options.connections_max == 0 || options.connections_max > connections_limit) {
    return Error{fmt::format("cannot serve {} connections: connections_max must be from 1 to {}", options.connections_max,
                             connections_limit),
                 EINVAL};
  }
  UniqueFd epoll{sys::epoll_create1(EPOLL_CLOEXEC)};
  if (!epoll) return Error::from_errno(errno, "make an epoll descriptor for the control socket");
  const bool is_adopted = options.listener >= 0;
  PERDURE_TRY(ListeningSocket listening,
              is_adopted ? ListeningSocket::adopt(options.listener) : ListeningSocket::at(options.path));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = listener_key;
  if (sys::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listening.fd(), &event) != 0) {
    Error error = Error::from_errno(errno, "watch the control socket");
    if (is_adopted) listening.release();
    return error;
  }
  return ControlServer{std::make_unique<State>(std::move(listening), std::move(epoll), options)};
}

ControlServer::ControlServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
ControlServer::ControlServer(ControlServer&&) noexcept = default;
ControlServer& ControlServer::operator=(ControlServer&&) noexcept = default;
ControlServer::~ControlServer() = default;

int ControlServer::fd() const noexcept { return state_->epoll.get(); }
int ControlServer::listener() const noexcept { return state_->listening ? state_->listening->fd() : -1; }

ControlServer::File ControlServer::file() const {
  if (!state_->listening) return {};
  const control::SocketFile& file = state_->listening->file();
  return {file.path, file.device, file.inode};
}

void ControlServer::take_over(const File& file) {
  if (!state_->listening) return;
  state_->listening->own({file.path, file.device, file.inode});
  // The credentials are those of whoever called listen(2) last (unix_listen, Linux 2.6 to 6.x).
  sys::listen(state_->listening->fd(), control::ListeningSocketOptions{}.backlog);
}

void ControlServer::leave_to_successor() noexcept {
  if (!state_->listening) return;
  state_->listening->disown();
  // By hand: the successor's copy keeps the socket alive, and registered.
  sys::epoll_ctl(state_->epoll.get(), EPOLL_CTL_DEL, state_->listening->fd(), nullptr);
  state_->listening.reset();
  state_->accept_again.reset();
}
std::size_t ControlServer::connections() const noexcept { return state_->clients.size(); }

std::optional<Clock::time_point> ControlServer::next_deadline() const noexcept {
  auto next = state_->accept_again;
  for (const auto& [key, client] : state_->clients) {
    const auto deadline = client.connection.deadline(state_->room(), state_->line_within);
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  return next;
}

void ControlServer::process(std::vector<Request>& requests) { state_->process(requests); }

Result<void> ControlServer::listen_at(int listener, std::vector<Request>& requests) {
  return state_->listen_at(listener, requests);
}

void ControlServer::reply(std::uint64_t id, const Reply& reply) {
  const auto waiting = state_->in_flight.find(id);
  if (waiting == state_->in_flight.end()) return;
  const std::uint64_t key = waiting->second;
  state_->in_flight.erase(waiting);
  if (const auto client = state_->clients.find(key); client != state_->clients.end()) {
    client->second.connection.answer(
        id, {.ok = reply.ok, .text = reply.message, .data = reply.json, .data_is_sound = reply.json_is_sound});
    client->second.connection.send(Clock::now());
  }
  state_->settle();
}

}  // namespace perdure
