// Timers: which deadlines are armed, and which have come. A container; it waits for nothing and calls nothing.
//
// A token has at most one deadline. Equal deadlines come due in the order in which they were armed, so a run repeats exactly.
// Left out: repetition (arm again when it comes due), reading a clock.
// Thread safety: one thread. Fork: a plain value. Signal safety: none.
//
//     timers.arm(watchdog, now + 5s);
//     poller.wait(timers.next(), ready);
//     for (Token token : timers.take_due(os::monotonic_now())) …
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "loop/token.hpp"

namespace perdure::loop {

using base::Instant;

class Timers {
 public:
  /// A deadline that `token` already had is replaced, and its place in the order of arming is the last.
  void arm(Token token, Instant deadline);
  /// Nothing happens where none is armed.
  void disarm(Token token);
  [[nodiscard]] bool is_armed(Token token) const { return armed_.contains(token); }
  [[nodiscard]] std::size_t size() const noexcept { return armed_.size(); }
  /// The earliest deadline.
  [[nodiscard]] std::optional<Instant> next() const;
  /// Disarms and returns those whose deadline is not after `now`, by deadline, then by order of arming.
  std::vector<Token> take_due(Instant now);

 private:
  using Place = std::pair<Instant, std::uint64_t>;
  std::map<Place, Token> by_deadline_;
  std::unordered_map<Token, Place> armed_;
  std::uint64_t armed_so_far_ = 0;
};

}  // namespace perdure::loop
