// Conditions: whether Condition…= and Assert…= of systemd.unit(5) hold, asked right before a start.
//
// Facts about this machine and this moment are looked up here; nothing is waited for, nothing is kept. A kind that this version
// does not know counts as not met, so that nothing starts that its author wanted kept back; the loader has said so by then.
// Left out: what follows from the answer (core).
// Thread safety: all. Fork safe. Signal safety: none.
//
//     if (const ConditionReport report = check(unit.conditions); !report.is_met) say(report.text);
#pragma once

#include <span>
#include <string>

#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

struct ConditionReport {
  bool is_met = true;
  bool is_assert = false;  ///< what does not hold is an Assert…=
  std::string text{};      ///< one line: "ConditionPathExists=/etc/x is not met"
};

/// All that are no triggers must hold, and one of the triggers ("|") where there are any: each of the two kinds for itself.
[[nodiscard]] ConditionReport check(std::span<const unit::Condition> conditions);

/// Whether one holds, "!" taken into account.
[[nodiscard]] bool holds(const unit::Condition& condition);

}  // namespace perdure::supervisor
