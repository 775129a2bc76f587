// Whether something that ended is started again, and after which pause.
//
// One place for workers, supervised processes and the supervisor. Pure: the time and the random fraction are parameters, and
// what an ending means is said in this module's own words, so that a process, a thread and a test can all be the subject.
// Left out: waiting, starting, logging.
// Thread safety: as a plain value. Fork safe. Not signal-safe.
//
//     Restarts restarts{policy};
//     restarts.started(now);                                             // each time it was started
//     const RestartDecision d = restarts.ended(Ending::Failed, now, random_fraction);
//     if (d.verdict == Verdict::Restart) start_again_at(now + d.pause);
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/time.hpp"
#include "perdure/restart.hpp"

namespace perdure::policy {

/// How it ended, as far as restarting is concerned.
enum class Ending : std::uint8_t {
  Clean,          ///< returned, or exited with code 0
  Failed,         ///< a non-zero exit code or an exception; also an ending that nobody saw
  Killed,         ///< by a signal that nobody of us sent
  StopRequested,  ///< whatever it ended with, after it was asked to stop
};

/// Whether `when` wants a restart after `ending`: the table in restart.cpp.
[[nodiscard]] bool wants_restart(Restart when, Ending ending) noexcept;

inline constexpr base::Duration pause_max = std::chrono::hours{24 * 365};
/// Where the first restart comes at once, the pauses double from here.
inline constexpr base::Duration pause_after_none = std::chrono::milliseconds{100};
inline constexpr unsigned starts_remembered_max = 10'000;

/// The pauses between restarts: doubling up to a limit, varied by chance, starting over after a healthy run.
/// Requires of the policy: no negative duration; jitter from 0 to 1.
class Backoff {
 public:
  explicit Backoff(const RestartPolicy& policy);
  /// The pause before the restart after a run of `run_time`. `fraction` is a random number, 0 ≤ fraction < 1.
  /// Ensures: at least 0; at most pause_max, or delay_max varied by the jitter.
  [[nodiscard]] base::Duration next(base::Duration run_time, double fraction);

 private:
  RestartPolicy policy_;
  base::Duration pause_{};  ///< the next one, before chance
};

/// Counts starts in a sliding window.
class StartBudget {
 public:
  explicit StartBudget(const RestartPolicy& policy);
  /// Requires: `now` is not before the last start.
  void started(base::Instant now);
  /// Whether one more start is within the budget.
  [[nodiscard]] bool allows(base::Instant now) const;
  /// Counts one more start where it is within the budget, and says whether it is.
  [[nodiscard]] bool try_start(base::Instant now);

 private:
  std::size_t starts_max_;          ///< 0: no limit
  base::Duration window_;           ///< 0: all starts count
  std::deque<base::Instant> last_;  ///< the last starts, starts_max_ at most
};

enum class Verdict : std::uint8_t {
  Restart,
  Finish,  ///< the policy wants no restart after such an ending
  GiveUp,  ///< it wants one, and the budget of starts is spent
};

struct RestartDecision {
  Verdict verdict = Verdict::Finish;
  base::Duration pause{};  ///< before the restart; 0 for other verdicts
  friend bool operator==(const RestartDecision&, const RestartDecision&) = default;
};

/// One subject's restarts: the table, the budget and the pauses together.
class Restarts {
 public:
  explicit Restarts(const RestartPolicy& policy);
  void started(base::Instant now);
  /// Requires: started() came before.
  [[nodiscard]] RestartDecision ended(Ending ending, base::Instant now, double fraction);
  /// Starts after the first.
  [[nodiscard]] std::uint64_t count() const noexcept { return starts_ == 0 ? 0 : starts_ - 1; }

 private:
  Restart when_;
  Backoff backoff_;
  StartBudget budget_;
  base::Instant started_at_{};
  std::uint64_t starts_ = 0;
};

}  // namespace perdure::policy
