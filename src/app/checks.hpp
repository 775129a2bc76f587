// Checks: which of an App's checks is to be asked when, and what their answers amount to, decided without a clock or a thread.
//
// Each check is asked again and again; one that does not answer in time has failed until it does. Readiness wants every readiness
// check to have passed once; until then they are asked more often. Liveness is lost while a liveness check fails; one that
// was never asked yet passes.
// Left out: asking (captain.hpp).
// Thread safety: none, one owner. Pure.
//
//     for (std::size_t check : checks.take_due(now)) ask(check);            // then begun(), answered()
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "perdure/app.hpp"
#include "perdure/result.hpp"

namespace perdure::app {

/// How often a readiness check is asked, at most, until all have passed.
inline constexpr base::Duration unready_interval = std::chrono::milliseconds{200};

struct Check {
  std::string name{};
  bool is_liveness = false;
  CheckOptions options{};
};

inline constexpr std::size_t checks_max = 256;

/// On failure: a name that is none or is there twice, a time that is not positive.
Result<void> check_checks(const std::vector<Check>& checks);

class Checks {
 public:
  /// A check whose result is another one than before.
  struct Change {
    std::size_t check;
    bool passed;
    std::string why;
  };

  explicit Checks(std::vector<Check> checks, base::Instant now);

  /// The checks to ask now; each is asked once until it has answered.
  std::vector<std::size_t> take_due(base::Instant now);
  /// It is being asked: its time runs. (It may have had to wait for another one's answer.)
  void begun(std::size_t check, base::Instant now);
  [[nodiscard]] std::optional<Change> answered(std::size_t check, base::Instant now, const Health& health);
  /// Those that have taken too long by now.
  std::vector<Change> take_overdue(base::Instant now);
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;

  /// Every readiness check has passed once.
  [[nodiscard]] bool are_ready() const noexcept { return unready_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] const Check& check(std::size_t check) const { return entries_.at(check).check; }
  [[nodiscard]] bool passes(std::size_t check) const { return entries_.at(check).passes; }
  /// A readiness check that has never passed.
  [[nodiscard]] bool is_missing(std::size_t check) const;
  [[nodiscard]] const std::string& why(std::size_t check) const { return entries_.at(check).why; }

 private:
  struct Entry {
    Check check;
    bool passes;
    bool has_passed = false;
    bool was_told = false;  ///< somebody heard of a result
    std::string why;
    std::optional<base::Instant> due;      ///< no value: asked, and not answered yet
    std::optional<base::Instant> overdue;  ///< while it is being asked, until it is
  };
  std::optional<Change> note(std::size_t check, bool passes, std::string why);

  std::vector<Entry> entries_;
  std::size_t unready_ = 0;
};

}  // namespace perdure::app
