#include "health/watchdog.hpp"

#include <algorithm>

namespace perdure::health {

void Watchdog::unwatch(const Heartbeat& beat) noexcept {
  std::erase_if(watched_, [&](const Watched& watched) { return watched.beat == &beat; });
}

bool Watchdog::take_ping(TimePoint now) noexcept {
  if (now < next_) return false;
  const bool is_anybody_late =
      std::any_of(watched_.begin(), watched_.end(), [&](const Watched& watched) { return watched.beat->is_late(now); });
  if (is_anybody_late) {
    next_ = now + interval_ / 4;
    return false;
  }
  next_ += interval_;
  if (next_ <= now) next_ = now + interval_;
  return true;
}

std::vector<Watchdog::Late> Watchdog::late(TimePoint now) const {
  std::vector<Late> late;
  for (const Watched& watched : watched_) {
    if (watched.beat->is_late(now)) late.push_back({watched.name, watched.beat->age(now)});
  }
  return late;
}

}  // namespace perdure::health
