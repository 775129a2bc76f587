#include "supervisor/denial_pacing.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace perdure::supervisor {

bool DenialPacing::note(base::Instant now, uid_t uid) {
  // Who was counted must still be told of: take_due() forgets those.
  std::erase_if(windows_, [now](const Window& known) { return known.counted == 0 && now - known.since >= window; });
  const auto of = [this](std::optional<uid_t> wanted) {
    return std::find_if(windows_.begin(), windows_.end(), [wanted](const Window& known) { return known.uid == wanted; });
  };
  auto known = of(uid);
  const bool is_full = known == windows_.end() && windows_.size() >= users_max;
  if (is_full) known = of(std::nullopt);
  if (known != windows_.end()) {
    ++known->counted;
    return false;
  }
  windows_.push_back({is_full ? std::nullopt : std::optional{uid}, now, 0});
  return true;
}

std::string DenialPacing::line(const Denial& denial) {
  const std::string pid = denial.pid > 0 ? fmt::format(" (pid {})", denial.pid) : "";
  return fmt::format("permission denied: uid {}{} may not {}; nothing was changed", denial.uid, pid, denial.wish);
}

std::vector<std::string> DenialPacing::take_due(base::Instant now) {
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

std::optional<base::Instant> DenialPacing::next_deadline() const {
  std::optional<base::Instant> first;
  for (const Window& known : windows_) {
    if (known.counted > 0 && (!first || known.since + window < *first)) first = known.since + window;
  }
  return first;
}

}  // namespace perdure::supervisor
