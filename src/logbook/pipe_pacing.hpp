// PipePacing: when to look at a pipe again. A value; no clock, no descriptor.
//
// An idle pipe is watched and served at once. One that keeps coming is taken out of the watched set and looked at after a pause
// in which it fills to less than half, because a reader that wakes for every small write costs the writer more than the copying
// does. A pause is never longer than pause_max, so nobody waits longer than that to read a line.
// Left out: everything about the pipe but how many bytes a look has found.
// Thread, fork and signal safety: a plain value.
//
//     PipePacing::Next next = taken.blocked ? pacing.after_block(now) : pacing.after_look(now, taken.bytes);
//     if (next.resize != 0) pacing.resized(resize_pipe(pipe, next.resize));
//     if (next.how == PipePacing::How::Watch) watch(pipe);          // epoll: level-triggered, EPOLLIN
//     else { unwatch(pipe); timers.arm(token, next.at); }           // EPOLL_CTL_DEL: EPOLLHUP cannot be masked
//
// The loop's wait must be finer than a millisecond (epoll_pwait2) and its thread's timer slack small (PR_SET_TIMERSLACK, 1).
#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace perdure::logbook {

/// What a pipe holds at first (pipe(7)), and at most: it grows fourfold while it fills faster than a look is worth, at once while
/// its log cannot be written. Of an ordinary user, 64 MiB of pipes can be made larger (pipe-user-pages-soft).
inline constexpr std::uint32_t pipe_bytes_default = 64U << 10;
inline constexpr std::uint32_t pipe_bytes_max = 1U << 20;

class PipePacing {
 public:
  enum class How : std::uint8_t {
    Watch,  ///< have epoll tell when there is something (or the end)
    Look,   ///< do not watch; take again at `at`
  };
  struct Next {
    How how = How::Watch;
    base::Instant at{};
    std::uint32_t resize = 0;  ///< make the pipe hold this much first; 0: leave it
  };

  /// After a take() that was not blocked. `now`: when it began, as a writer goes on while it is taken from. `moved`: its bytes.
  Next after_look(base::Instant now, std::uint64_t moved) noexcept;
  /// After a take() that was blocked: the pipe is made larger once, and the pauses double from block_pause_min to block_pause_max.
  Next after_block(base::Instant now) noexcept;
  /// What resize_pipe() has returned; 0 leaves things as they are and is not asked for again.
  void resized(std::uint32_t capacity) noexcept;

  [[nodiscard]] bool is_busy() const noexcept { return busy_; }

  static constexpr base::Duration pause_min = std::chrono::microseconds{100};
  static constexpr base::Duration pause_max = std::chrono::milliseconds{5};
  /// Two looks closer together than this make a watched pipe a busy one.
  static constexpr base::Duration busy_gap = std::chrono::milliseconds{1};
  /// A pipe that wants to be looked at more often than this is made larger.
  static constexpr base::Duration worthwhile_pause = std::chrono::microseconds{500};
  static constexpr base::Duration block_pause_min = std::chrono::milliseconds{100};
  static constexpr base::Duration block_pause_max = std::chrono::seconds{5};

 private:
  base::Instant looked_{};
  base::Duration pause_{};
  std::uint32_t capacity_ = pipe_bytes_default;
  bool busy_ = false;
  bool resize_refused_ = false;
};

}  // namespace perdure::logbook
