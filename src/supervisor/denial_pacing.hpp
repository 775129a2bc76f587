// DenialPacing: one line for whoever asks and may not, and a number for the rest, so that a flood of denials fills no log.
//
// Per user and second the first denial is a line; further ones are counted, and told as a number when that second is over.
// Beyond users_max users at a time, the others share one line. Who may ask is decided elsewhere (control).
// Thread and fork safety: pure; time is told. Signal safety: none.
//
//     if (pacing.note(now, 65534)) say(DenialPacing::line({65534, 812, "stop web.service"}));
//     for (const std::string& line : pacing.take_due(now)) say(line);            // at next_deadline()
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

namespace perdure::supervisor {

class DenialPacing {
 public:
  static constexpr std::chrono::seconds window{1};
  static constexpr std::size_t users_max = 16;

  struct Denial {
    uid_t uid = 0;
    pid_t pid = 0;  ///< 0: in another pid namespace
    std::string_view wish{};
  };
  /// True: the denial that happens now is to be told in a line; false: it was counted. Once for each.
  [[nodiscard]] bool note(base::Instant now, uid_t uid);
  static std::string line(const Denial& denial);
  /// Lines about those counted whose second is over.
  std::vector<std::string> take_due(base::Instant now);
  /// When there will be such a line.
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;

 private:
  struct Window {
    std::optional<uid_t> uid{};  ///< none: of all others
    base::Instant since{};
    std::uint64_t counted = 0;
  };
  std::vector<Window> windows_{};
};

}  // namespace perdure::supervisor
