// NotifyRelay: a supervising parent speaks to the init for its worker, because the init listens to its main process only.
//
// The worker gets a notify socket of its own in NOTIFY_SOCKET. Of what it says there, this goes on to the init: READY=1,
// RELOADING=1 with MONOTONIC_USEC, STATUS, WATCHDOG=1, EXTEND_TIMEOUT_USEC, and STOPPING=1 while the parent stops too. Nothing else
// does: MAINPID (the parent is the main process and stays it), FDSTORE and other descriptors (closed unread), BARRIER (answered
// here), WATCHDOG_USEC and what later versions may add. Who is not the worker itself is not heard (the kernel names the sender:
// unix(7), SCM_CREDENTIALS). The init's watchdog: once a worker has said READY=1 or WATCHDOG=1, only its own WATCHDOG=1 counts.
// Before that, at most for its start_within, and between two workers the parent answers for it.
// Thread safety: none. Fork: the worker calls become_worker() first. Signal safety: none.
//
//     PERDURE_TRY(auto relay, NotifyRelay::from_environment(90s));        // nothing: no init listens
//     poll(relay->fd(), …); relay->forward(now);
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "perdure/notify.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::daemon {

/// What of a worker's datagram goes on to the init.
struct Relayed {
  std::string lines{};             ///< empty: nothing
  bool speaks_for_itself = false;  ///< READY=1 or WATCHDOG=1 was in it
};
/// `is_stopping`: the parent was asked to stop. A worker that stops for reasons of its own may be started again, and an init that
/// had heard STOPPING=1 would end us all.
Relayed relayed(std::string_view datagram, bool is_stopping);

/// Who answers the init's watchdog.
class WatchdogDuty {
 public:
  /// `timeout`: the init's.
  WatchdogDuty(base::Duration timeout, base::Duration start_within) noexcept
      : interval_(timeout / 2), start_within_(start_within) {}

  void worker_started(base::Instant now) noexcept { next_ = now, until_ = now + start_within_; }
  void worker_ended(base::Instant now) noexcept { next_ = now, until_ = base::Instant::max(); }
  /// From here on the pings are the worker's.
  void worker_spoke() noexcept { until_ = base::Instant::min(); }

  /// When to call take_ping(); nothing while the pings are the worker's.
  [[nodiscard]] std::optional<base::Instant> next_ping() const noexcept {
    return next_ < until_ ? std::optional{next_} : std::nullopt;
  }
  /// Whether the parent is to ping now.
  bool take_ping(base::Instant now) noexcept;

 private:
  base::Duration interval_;
  base::Duration start_within_;
  base::Instant next_{};
  base::Instant until_ = base::Instant::min();
};

class NotifyRelay {
 public:
  /// Takes NOTIFY_SOCKET and its kin out of the environment until it is destroyed. nullptr where there is none. On failure (an
  /// address that cannot be used, no descriptor left): the environment is as it was.
  static Result<std::unique_ptr<NotifyRelay>> from_environment(base::Duration start_within);
  ~NotifyRelay();
  NotifyRelay(const NotifyRelay&) = delete;
  NotifyRelay& operator=(const NotifyRelay&) = delete;

  /// In the worker, after the fork: closes what is the parent's and says in the environment where the worker may speak.
  void become_worker() noexcept;
  void worker_started(pid_t worker, base::Instant now);
  /// What it said last goes on before it is forgotten.
  void worker_ended(base::Instant now);
  /// Tells the init, and lets the worker's STOPPING=1 through from now on.
  void stopping();
  /// In the parent's own name; a newline in it becomes a space.
  void status(std::string_view text);

  /// Forwards what the worker has said, a bounded number of messages, and pings if it is time.
  void forward(base::Instant now);
  /// Readable when there is something to forward; -1 while the init's queue is full, and the worker is to wait as well.
  [[nodiscard]] int fd() const noexcept { return unsent_.empty() ? socket_.get() : -1; }
  /// When to call forward() although nothing is readable.
  [[nodiscard]] std::optional<base::Instant> next_deadline() const noexcept;

 private:
  NotifyRelay(Notify init, UniqueFd socket, std::string address, base::Duration start_within);
  void say(std::string lines);
  bool send_unsent(base::Instant now);
  bool take_one();

  Notify init_;
  UniqueFd socket_;
  std::string address_;
  std::vector<std::pair<std::string, std::string>> taken_;  ///< variables, as they were
  std::optional<WatchdogDuty> watchdog_;
  pid_t worker_ = 0;
  bool is_stopping_ = false;
  std::deque<std::string> unsent_;  ///< the init's queue was full
  base::Instant retry_at_{};
};

}  // namespace perdure::daemon
