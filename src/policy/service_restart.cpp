#include "policy/service_restart.hpp"

#include <array>
#include <cstddef>
#include <limits>

namespace perdure::policy {
namespace {

// "Exit causes and the effect of the Restart= settings" of systemd.service(5). The last column is not in the manual; it is what
// systemd 252 does with its result "resources".
// clang-format off
constexpr bool yes = true, no = false;
constexpr std::array<std::array<bool, 6>, 7> restart_table{{
    //                  Clean  UncleanCode  UncleanSignal  Timeout  Watchdog  Resources
    /* No         */ {{ no,    no,          no,            no,      no,       no }},
    /* OnSuccess  */ {{ yes,   no,          no,            no,      no,       no }},
    /* OnFailure  */ {{ no,    yes,         yes,           yes,     yes,      yes }},
    /* OnAbnormal */ {{ no,    no,          yes,           yes,     yes,      yes }},
    /* OnWatchdog */ {{ no,    no,          no,            no,      yes,      no }},
    /* OnAbort    */ {{ no,    no,          yes,           no,      no,       no }},
    /* Always     */ {{ yes,   yes,         yes,           yes,     yes,      yes }},
}};
// clang-format on

}  // namespace

bool wants_restart(RestartWhen when, ServiceEnding ending) noexcept {
  return restart_table.at(static_cast<std::size_t>(when)).at(static_cast<std::size_t>(ending));
}

bool StartWindow::try_start(base::Instant now, base::Duration interval, std::uint32_t burst) noexcept {
  if (interval <= interval.zero() || burst == 0) return true;
  if (starts == 0 || now - began > interval) {
    began = now;
    starts = 1;
    return true;
  }
  if (starts == std::numeric_limits<std::uint32_t>::max()) return false;
  return ++starts <= burst;
}

}  // namespace perdure::policy
