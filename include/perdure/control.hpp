// ControlServer and ControlClient: talk to a running daemon over a Unix socket.
//
// The socket is 0600; the peer's credentials (SO_PEERCRED) are checked before a byte is read: root or the server's own uid.
// A request is one line: a JSON object {"verb": "status", "text": "…"} answered by one JSON object per line, any number of
// times on one connection; or a plain line `VERB [TEXT]`, answered in plain text at once, then closed, so that
// `echo status | socat - UNIX-CONNECT:thermod.sock` works. Bounds: 64 KiB per line, depth 8, 32 connections, 5 s for a line to
// arrive whole: whoever exceeds one gets one line that says so. 8 requests of one connection and 64 of all are in flight at
// most; further ones wait in the socket. Who leaves more than 256 KiB of answers unread is closed. The server knows no verbs:
// it hands requests out and carries replies back, in the order of the requests. The protocol: docs/reference/control-protocol.md.
// Thread safety: a server belongs to one thread (its owner polls fd()); a client to one at a time. Not signal-safe.
//
//     PERDURE_TRY(auto server, perdure::ControlServer::listen({.path = "/run/thermod.sock"}));
//     // whenever server.fd() is readable, or at server.next_deadline():
//     std::vector<perdure::Request> requests;
//     server.process(requests);
//     for (auto& request : requests) server.reply(request.id, request.verb == "ping" ? Reply::text("pong") : Reply::unknown());
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/export.hpp"
#include "perdure/request.hpp"  // IWYU pragma: export
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

/// Asks the kernel. On failure: not a connected Unix socket.
PERDURE_EXPORT Result<Credentials> peer_credentials(int socket);

struct ControlServerOptions {
  /// At most 107 bytes (unix(7)). A stale socket there is replaced: call only while holding the instance's lock.
  /// Anything there that is not a socket is refused.
  std::string path{};
  /// A listening socket that an init or a predecessor handed over; used instead of `path`, which stays when the server ends.
  /// The server closes it; where listen() fails, it is still the caller's.
  int listener = -1;
  std::chrono::milliseconds line_within{5000};
  unsigned connections_max = 32;
  /// Peers who may not ask and are heard all the same, so many at a time and each for one request of at most 4 KiB, so that its
  /// denial can say what was wanted. Others are turned away unheard, and nobody is told of them: whoever sends more, and whoever
  /// comes when all connections are taken; no other connection makes way. Requires: whoever sets it looks at Request::is_permitted.
  unsigned strangers_max = 0;
};

class PERDURE_EXPORT ControlServer {
 public:
  static Result<ControlServer> listen(const ControlServerOptions& options);
  ControlServer(ControlServer&&) noexcept;
  ControlServer& operator=(ControlServer&&) noexcept;
  /// Closes all connections; unlinks the socket in the process that made it.
  ~ControlServer();

  /// An epoll descriptor: readable when process() has something to do.
  [[nodiscard]] int fd() const noexcept;
  /// The listening socket, for keep lists.
  [[nodiscard]] int listener() const noexcept;
  /// Goes on with another listening socket, in the place of one that nobody can reach any more. Connections stay, and whoever has
  /// come to the former one is let in first; appends requests as process() does. The server closes both, and unlinks neither.
  /// On failure: all is as it was, and `listener` is still the caller's.
  Result<void> listen_at(int listener, std::vector<Request>& requests);
  /// The file of the socket, as a successor needs it to take_over(): path, device and inode; an empty path where it is not ours.
  struct File {
    std::string path{};
    std::uint64_t device = 0, inode = 0;
  };
  [[nodiscard]] File file() const;
  /// A predecessor has left us the socket: `file`, unless its path is empty, is ours to unlink, and clients that ask the kernel who
  /// listens (SO_PEERCRED) are told of this process.
  void take_over(const File& file);
  /// Accepts nobody any more and leaves the file alone: a successor has a copy of listener(). Connections stay, and requests of
  /// theirs. listener() is -1 from then on.
  void leave_to_successor() noexcept;
  /// When process() should be called even if fd() is silent: a line is due, or accepting pauses.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next_deadline() const noexcept;
  /// Accepts, reads, writes and times out, without blocking; appends complete requests, at most 64.
  /// Each must be answered with reply(), also where its requester may be gone: until then it counts as in flight.
  void process(std::vector<Request>& requests);
  /// Answers one. A requester that is gone is ignored. Sends what the socket takes; process() sends the rest.
  void reply(std::uint64_t id, const Reply& reply);
  [[nodiscard]] std::size_t connections() const noexcept;

 private:
  struct State;
  explicit ControlServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class PERDURE_EXPORT ControlClient {
 public:
  /// On failure: the Error's code is ENOENT or ECONNREFUSED where nobody listens, EACCES where we may not.
  static Result<ControlClient> connect(const std::string& path, std::chrono::milliseconds within = std::chrono::seconds{5});
  /// Asks and waits for the answer. On failure (closed, not in time, not JSON): the connection is of no further use.
  Result<Reply> request(std::string_view verb, std::string_view text, std::chrono::milliseconds within);
  /// The same with a whole request: a JSON object with "verb", on one line, for commands that take more than a text.
  Result<Reply> request_object(std::string_view object, std::chrono::milliseconds within);
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }

 private:
  explicit ControlClient(UniqueFd socket) : socket_(std::move(socket)) {}
  Result<Reply> send_line(const std::string& line, std::chrono::milliseconds within);
  UniqueFd socket_;
  std::string unread_;
};

}  // namespace perdure
