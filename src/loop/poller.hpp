// Poller: waits for descriptors and a deadline, and tells what it found. It calls nobody.
//
// Level-triggered: what is not dealt with is told again. Several facts come as one batch, collected before anybody acts, so acting
// on one can make another stale: check the token. Left out: one-shot and edge-triggered modes, regular files (EPERM).
// Thread safety: add, modify and remove from any thread, wait from one. Fork: the set is shared with the child, so a child makes
// its own. Signal safety: none.
//
//     PERDURE_TRY(Poller poller, Poller::open());
//     PERDURE_CHECK(poller.add(listener.get(), Interest::Read, control_socket));
//     std::array<Readiness, 16> ready;
//     PERDURE_TRY(std::size_t count, poller.wait(timers.next(), ready));
//     for (const Readiness& fact : std::span{ready}.first(count)) …
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "base/time.hpp"
#include "loop/token.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::loop {

using base::Instant;

/// What to be told of. Errors and hang-ups are always told.
enum class Interest { None, Read, Write, ReadAndWrite };

/// A fact about one descriptor.
struct Readiness {
  Token token = 0;
  bool readable = false;  ///< reading does not block: data, a connection, or the end of it
  bool writable = false;
  bool broken = false;  ///< an error is pending, or the other side hung up altogether
};

/// How late a deadline may be told. Nanoseconds needs Linux 5.11 (before, it is as Milliseconds) and a thread whose timer slack is
/// small (PR_SET_TIMERSLACK); it makes the loop wake more often where deadlines are close together.
enum class Precision { Milliseconds, Nanoseconds };

/// Most facts in one batch, however large the caller's space.
inline constexpr std::size_t batch_max = 64;

class Poller {
 public:
  static Result<Poller> open();

  /// A descriptor can be in the set once. Requires: it is removed before it is closed.
  Result<void> add(int fd, Interest interest, Token token);
  Result<void> modify(int fd, Interest interest, Token token);
  Result<void> remove(int fd);

  /// Waits until there are facts, or `deadline` has passed (never returns before it without one), or a signal was handled; without
  /// a deadline, for ever. Returns how many facts are in `out`: 0 at the deadline and after a signal.
  Result<std::size_t> wait(std::optional<Instant> deadline, std::span<Readiness> out,
                           Precision precision = Precision::Milliseconds);

  /// Readable when a batch waits, to nest it in another loop.
  [[nodiscard]] int fd() const noexcept { return set_.get(); }

 private:
  explicit Poller(UniqueFd set) noexcept : set_(std::move(set)) {}
  Result<void> control(int operation, int fd, Interest interest, Token token, const char* attempt);
  UniqueFd set_;
};

/// The time until `deadline` as epoll_wait(2) takes it: rounded up, so that a wait never ends too early and turns into a spin; -1
/// for none.
int timeout_ms(std::optional<Instant> deadline, Instant now) noexcept;

}  // namespace perdure::loop
