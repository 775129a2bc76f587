// WakeUp: makes a waiting loop return, from another thread or from a signal handler.
//
// Several wake-ups before a drain are one. It carries no message: put that elsewhere before wake(), look for it after drain().
// Thread safety: wake() from any, drain() from the loop's. Fork: shared with the child, whose wake() wakes the parent. Signal
// safety: wake(), which keeps errno.
//
//     PERDURE_TRY(WakeUp wake_up, WakeUp::open());
//     PERDURE_CHECK(poller.add(wake_up.fd(), Interest::Read, woken));
//     …                                          // elsewhere: requested.store(true); wake_up.wake();
//     wake_up.drain();
//     if (requested.exchange(false)) …
#pragma once

#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::loop {

class WakeUp {
 public:
  static Result<WakeUp> open();

  void wake() const noexcept;
  /// Takes all wake-ups there are; false when there was none. Never waits.
  bool drain() const noexcept;
  /// Readable while there are wake-ups to drain.
  [[nodiscard]] int fd() const noexcept { return counter_.get(); }

 private:
  explicit WakeUp(UniqueFd counter) noexcept : counter_(std::move(counter)) {}
  UniqueFd counter_;
};

}  // namespace perdure::loop
