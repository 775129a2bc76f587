#include "policy/restart.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"

namespace perdure::policy {
namespace {

// clang-format off
constexpr bool yes = true, no = false;
constexpr std::array<std::array<bool, 4>, 3> restart_table{{
    //                 Clean  Failed  Killed  StopRequested
    /* Never     */ {{ no,    no,     no,     no }},
    /* OnFailure */ {{ no,    yes,    yes,    no }},
    /* Always    */ {{ yes,   yes,    yes,    no }},
}};
// clang-format on

// Milliseconds may count far more than nanoseconds can.
base::Duration bounded(std::chrono::milliseconds value) {
  PERDURE_ASSERT(value.count() >= 0, "the durations of a RestartPolicy are not negative");
  return std::min(value, std::chrono::duration_cast<std::chrono::milliseconds>(pause_max));
}

}  // namespace

bool wants_restart(Restart when, Ending ending) noexcept {
  return restart_table.at(static_cast<std::size_t>(when)).at(static_cast<std::size_t>(ending));
}

Backoff::Backoff(const RestartPolicy& policy) : policy_(policy), pause_(bounded(policy.delay)) {
  PERDURE_ASSERT(policy.jitter >= 0.0 && policy.jitter <= 1.0, "the jitter of a RestartPolicy is from 0 to 1");
  PERDURE_ASSERT(policy.delay_max.count() >= 0 && policy.healthy_after.count() >= 0,
                 "the durations of a RestartPolicy are not negative");
}

base::Duration Backoff::next(base::Duration run_time, double fraction) {
  PERDURE_ASSERT(fraction >= 0.0 && fraction < 1.0, "a random fraction is at least 0 and less than 1");
  if (run_time >= bounded(policy_.healthy_after)) pause_ = bounded(policy_.delay);
  const base::Duration pause = pause_;

  const base::Duration doubled = pause_ == pause_.zero() ? pause_after_none : 2 * pause_;
  // A delay_max below delay, as 0 is, leaves the pause as it is.
  pause_ = std::max(bounded(policy_.delay), std::min(doubled, bounded(policy_.delay_max)));

  const double varied = static_cast<double>(pause.count()) * (1.0 + policy_.jitter * (2.0 * fraction - 1.0));
  return std::min(base::Duration{static_cast<base::Duration::rep>(varied)}, pause_max);
}

StartBudget::StartBudget(const RestartPolicy& policy)
    : starts_max_(std::min(policy.give_up_after, starts_remembered_max)), window_(bounded(policy.within)) {}

void StartBudget::started(base::Instant now) {
  if (starts_max_ == 0) return;
  if (last_.size() == starts_max_) last_.pop_front();
  last_.push_back(now);
}

bool StartBudget::allows(base::Instant now) const {
  if (starts_max_ == 0 || last_.size() < starts_max_) return true;
  return window_ != window_.zero() && now - last_.front() >= window_;
}

bool StartBudget::try_start(base::Instant now) {
  const bool is_allowed = allows(now);
  if (is_allowed) started(now);
  return is_allowed;
}

Restarts::Restarts(const RestartPolicy& policy) : when_(policy.when), backoff_(policy), budget_(policy) {}

void Restarts::started(base::Instant now) {
  budget_.started(now);
  started_at_ = now;
  ++starts_;
}

RestartDecision Restarts::ended(Ending ending, base::Instant now, double fraction) {
  PERDURE_ASSERT(starts_ > 0, "what was never started cannot end");
  if (!wants_restart(when_, ending)) return {.verdict = Verdict::Finish};
  const base::Duration pause = backoff_.next(now - started_at_, fraction);
  // Counted at the moment of the restart: starts may leave the window during the pause.
  if (!budget_.allows(now + pause)) return {.verdict = Verdict::GiveUp};
  return {.verdict = Verdict::Restart, .pause = pause};
}

}  // namespace perdure::policy
