#include "supervisor/refusal_pacing.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace perdure::supervisor {

std::optional<std::string> RefusalPacing::note(base::Instant now, const Refusal& refusal) {
  // Who was counted must still be told of: take_due() forgets those.
  std::erase_if(windows_, [now](const Window& known) { return known.counted == 0 && now - known.since >= window; });
  const auto of = [this](std::optional<uid_t> uid) {
    return std::find_if(windows_.begin(), windows_.end(), [uid](const Window& known) { return known.uid == uid; });
  };
  auto known = of(refusal.uid);
  const bool is_full = known == windows_.end() && windows_.size() >= users_max;
  if (is_full) known = of(std::nullopt);
  if (known != windows_.end()) {
    ++known->counted;
    return std::nullopt;
  }
  windows_.push_back({is_full ? std::nullopt : std::optional{refusal.uid}, now, 0});
  const std::string pid = refusal.pid > 0 ? fmt::format(" (pid {})", refusal.pid) : "";
  return fmt::format("permission denied: uid {}{} may not {}; nothing was changed", refusal.uid, pid, refusal.wish);
}

std::vector<std::string> RefusalPacing::take_due(base::Instant now) {
  std::vector<std::string> lines;
  std::erase_if(windows_, [&](const Window& known) {
    if (now - known.since < window) return false;
    if (known.counted > 0) {
      const std::string who = known.uid ? fmt::format("uid {}", *known.uid) : "further users";
      const char* const requests = known.counted == 1 ? "request was" : "requests were";
      lines.push_back(fmt::format("permission denied: {} more {} refused, of {}", known.counted, requests, who));
    }
    return true;
  });
  return lines;
}

std::optional<base::Instant> RefusalPacing::next_deadline() const {
  std::optional<base::Instant> first;
  for (const Window& known : windows_) {
    if (known.counted > 0 && (!first || known.since + window < *first)) first = known.since + window;
  }
  return first;
}

}  // namespace perdure::supervisor
