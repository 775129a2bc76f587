// What a unit asks for and its main process does not have: priorities, scheduling, limits.
//
// The executor leaves what the kernel does not allow as it is, and lowers limits to the hard limit in force; whoever looks at the
// service is told. The process itself is looked at, so that it is the truth
// whoever has changed it.
// Left out: what is enforced or refuses the start; IOSchedulingClass=.
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     for (std::string& line : not_in_effect(spec.service, main_pid)) remarks.push_back(std::move(line));
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// Whether there is anything that not_in_effect() looks at.
bool asks_for_priorities_or_limits(const unit::ServiceSpec& service) noexcept;

/// One line each: "Nice=-5 is not in effect: its main process has 0". A process that cannot be looked at has everything.
std::vector<std::string> not_in_effect(const unit::ServiceSpec& service, pid_t pid);

}  // namespace perdure::supervisor
