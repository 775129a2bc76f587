// InitListener: what a supervising parent does for an init that listens, while it waits for signals.
//
// Linux (init_listener.cpp): a NotifyRelay between the worker and the init. A portable build (init_listener_posix.cpp) has none:
// NOTIFY_SOCKET is systemd's.
// Thread safety: none. Fork: the worker calls become_worker() first. Signal safety: none.
//
//     PERDURE_TRY(auto init, InitListener::connect(taken, 90s));          // nothing: no init listens
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string_view>

#include "base/time.hpp"
#include "perdure/result.hpp"

namespace perdure::daemon {

class InitListener {
 public:
  /// `taken`: the signals that end wait(); they are blocked. nullptr where no init listens. On failure: nothing was changed.
  static Result<std::unique_ptr<InitListener>> connect(const sigset_t& taken, base::Duration start_within);
  virtual ~InitListener() = default;

  /// In the worker, after the fork: closes what is the parent's.
  virtual void become_worker() noexcept = 0;
  virtual void worker_started(pid_t worker, base::Instant now) = 0;
  virtual void worker_ended(base::Instant now) = 0;
  virtual void stopping() = 0;
  virtual void status(std::string_view text) = 0;
  /// Relays, and comes back when one of the signals is pending, at the deadline, or for nothing.
  virtual void wait(const std::optional<base::Instant>& deadline) = 0;
};

}  // namespace perdure::daemon
