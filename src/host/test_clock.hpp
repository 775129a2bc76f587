// TestClock: a clock that stands still until it is moved, and knows when everybody who could do something has done it.
//
// Whoever waits by poll() is known with what it waits for; other work is counted by work_begins() and work_ends(). It is quiet
// when the count is zero and nothing is there that a waiting thread waits for.
// Thread safety: all calls, from any thread.
//
//     clock.move(10min, 5s);
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "os/clock.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::host {

class TestClock final : public os::Clock {
 public:
  TestClock();

  [[nodiscard]] os::Instant now() const noexcept override;
  int poll(std::span<pollfd> fds, std::optional<os::Instant> deadline) noexcept override;
  void work_begins() noexcept override;
  void work_ends() noexcept override;

  /// Waits until it is quiet; false where it is not within `patience` of the machine's time.
  [[nodiscard]] bool settle(std::chrono::nanoseconds patience);
  /// To the next moment at which a waiting thread is due, and not beyond `end`; false where there is none.
  bool step(os::Instant end);
  /// Time as far as it goes without anybody being due.
  void jump(os::Instant to);
  /// Threads that wait by poll() now.
  [[nodiscard]] std::vector<pid_t> waiting() const;

 private:
  struct Waiter {
    pid_t thread;
    std::vector<pollfd> fds;  ///< the last one is its wake-up
    std::optional<os::Instant> deadline;
    UniqueFd wake_up;
    bool is_due = false;
  };
  [[nodiscard]] bool is_quiet();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  os::Instant now_;
  int at_work_ = 0;
  std::list<Waiter> waiters_;
};

}  // namespace perdure::host
