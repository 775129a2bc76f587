// When something that ended is started again: the words users say, as values.
//
// The arithmetic on them (backoff, budgets) is the policy module's, shared by workers, supervised processes and the supervisor.
// Thread, fork and signal safety: plain values.
#pragma once

#include <chrono>
#include <cstdint>

namespace perdure {

/// As systemd.service(5) Restart=: Never is "no".
enum class Restart : std::uint8_t {
  Never,      ///< it ended; that is that
  OnFailure,  ///< after a non-zero exit code, an exception or a signal (other than a requested stop)
  Always,     ///< whatever it ended with, unless a stop was asked for
};

/// How restarts are paced and when they are given up. Durations must not be negative.
struct RestartPolicy {
  Restart when = Restart::OnFailure;
  /// Pause before the first restart; 0 restarts at once.
  std::chrono::milliseconds delay{0};
  /// The pause doubles from `delay` up to this with every restart in a row, after a `delay` of 0 from 100 ms; 0 keeps it at
  /// `delay`.
  std::chrono::milliseconds delay_max{0};
  /// Each pause is varied by up to this fraction of itself, either way. Range: 0 to 1.
  double jitter = 0.0;
  /// After this many starts within `within`, the first one included, give up instead of restarting. 0: never give up. At most
  /// 10,000 are counted.
  unsigned give_up_after = 0;
  /// The window in which starts are counted; 0 counts all of them.
  std::chrono::milliseconds within{0};
  /// Running this long makes it healthy again: the pause starts over at `delay`. 0: at once when it has been started.
  std::chrono::milliseconds healthy_after{10000};
};

}  // namespace perdure
