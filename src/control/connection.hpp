// Connection: one requester of the control server, from its first byte to its last.
//
// Splits what arrives into lines, keeps the answers in the order of their requests, and knows by when something must happen.
// Its life: Open (requests may come) → Answering (no more requests are taken, answers are still owed) → Draining (all is said
// and our side is shut; what the peer still sends is thrown away, so that closing does not cost it our last words: a Unix
// socket closed over unread bytes resets its peer) → Over. Any failure leads straight to Over.
// Never waits and never reads a clock. Left out: what is watched (control_server.cpp), what a line means (wire/control_frame).
// Thread safety: as a plain value. Fork: a child's copy must only be destroyed. Signal safety: none.
//
//     connection.receive(now);
//     while (auto line = connection.next_line(now)) …           // expect(), reject()
//     connection.send(now);                                     // after each answer(), too
//     epoll_ctl(…, connection.interest(Room::ForMore));  if (connection.is_over()) …
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "perdure/control.hpp"
#include "perdure/unique_fd.hpp"
#include "wire/control_frame.hpp"

namespace perdure::control {

/// Requests of one connection that nobody has answered; while there are so many, it is not read.
inline constexpr std::size_t unanswered_max = 8;
/// Bytes of answers that a peer may leave unread before another one; whoever has more is closed.
inline constexpr std::size_t unread_max = 256 * 1024;
/// How long a connection that has asked in JSON may be silent before its next request.
inline constexpr std::chrono::milliseconds idle_within{60'000};
/// How long a peer may take to close its side once all is said.
inline constexpr std::chrono::milliseconds drain_within{1'000};

/// Whether the server as a whole takes further requests.
enum class Room : std::uint8_t { ForMore, Full };

class Connection {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  Connection(UniqueFd socket, const Credentials& peer, Instant now) : socket_(std::move(socket)), peer_(peer), since_(now) {}

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  [[nodiscard]] const Credentials& peer() const noexcept { return peer_; }
  [[nodiscard]] bool is_over() const noexcept { return phase_ == Phase::Over; }
  [[nodiscard]] bool is_draining() const noexcept { return phase_ == Phase::Draining; }

  /// Takes one portion of what has arrived.
  void receive(Instant now);
  /// The peer has closed both directions: takes the rest. An unterminated line is no request any more, because its end may be
  /// missing and nobody waits for the answer.
  void receive_rest(Instant now);
  /// Whether next_line() may give one although nothing has arrived since.
  [[nodiscard]] bool takes_requests() const noexcept;
  /// The next whole line; at the end of the input, what is left. A line that is too long is answered here.
  std::optional<std::string> next_line(Instant now);
  /// A request was handed out; answer(id) follows. A plain one is the last.
  void expect(std::uint64_t id, wire::Dialect dialect);
  /// Answers the line just taken with an error. A plain one was the last.
  void reject(wire::Dialect dialect, std::string_view why);
  void answer(std::uint64_t id, const wire::ControlAnswer& answer);
  /// Sends what the socket takes of the answers whose turn it is, and moves on when all is said.
  void send(Instant now);
  /// The deadline has passed: says so where that helps, and closes.
  void expire(Instant now, std::chrono::milliseconds line_within);
  void close() noexcept { phase_ = Phase::Over; }
  /// What was taken is answered, nothing further is taken.
  void take_no_more() noexcept {
    if (phase_ == Phase::Open) phase_ = Phase::Answering;
  }
  /// Reading goes on after a pause that was ours: the peer's time starts again.
  void restart_clock(Instant now) noexcept { since_ = now; }

  /// What to wait for, as epoll(7) has it. EPOLLOUT also stands for "a request is waiting here and may be taken now".
  [[nodiscard]] std::uint32_t interest(Room room) const noexcept;
  [[nodiscard]] std::optional<Instant> deadline(Room room, std::chrono::milliseconds line_within) const noexcept;

 private:
  enum class Phase : std::uint8_t { Open, Answering, Draining, Over };
  struct Answer {
    std::uint64_t id = 0;
    wire::Dialect dialect = wire::Dialect::Plain;
    std::optional<std::string> bytes{};  ///< none as long as it is owed
  };

  void refuse(wire::Dialect dialect, std::string_view why);
  void finish(Instant now);
  [[nodiscard]] bool has_line() const noexcept;
  [[nodiscard]] std::size_t unsent() const noexcept { return output_.size() - sent_; }

  UniqueFd socket_;
  Credentials peer_;
  Phase phase_ = Phase::Open;
  Instant since_;  ///< when what the deadline counts from began
  std::string input_{};
  std::size_t searched_ = 0;      ///< bytes of input_ known to have no newline
  bool ended_ = false;            ///< the peer will send nothing more
  bool gone_ = false;             ///< nor read
  bool has_asked_ = false;        ///< at least one line was taken
  std::deque<Answer> answers_{};  ///< in the order of the requests
  std::size_t held_ = 0;          ///< bytes in answers_
  std::string output_{};
  std::size_t sent_ = 0;  ///< bytes of output_ the socket has taken
};

}  // namespace perdure::control
