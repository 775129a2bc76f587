// The system calls that a sandbox forbids, as a program for the kernel.
//
// The list is a table; a program of classic BPF is made of it, which the kernel runs at each call. What is forbidden is refused or
// kills; what is not in the table is allowed, also what later kernels bring. Calls of another architecture (32-bit, x32) are
// forbidden altogether, because their numbers mean other calls. The kernel remembers which calls are allowed whatever their
// arguments (Linux 5.11), so that these cost nothing.
// clone3(2) hides its flags from filters and is answered with ENOSYS: the C library takes clone(2) then.
// Thread safety: pure functions.
// Source: seccomp(2), linux/seccomp.h; why by hand: docs/decisions/0013-the-deny-list-is-written-by-hand.md.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "perdure/rights.hpp"

struct sock_filter;

namespace perdure::rights {

/// A call that is forbidden, or forbidden with one argument.
struct ForbiddenRule {
  enum class When : std::uint8_t { Always, ArgumentIs, ArgumentHasBit };
  std::string_view call;
  std::uint32_t number;
  When when = When::Always;
  unsigned argument = 0;    ///< 0 to 5
  std::uint32_t value = 0;  ///< compared with the argument's lower 32 bits
};

/// The table of a preset; nothing for Sandbox::None.
std::vector<ForbiddenRule> forbidden_calls(Sandbox sandbox);

/// The program, for the architecture this is compiled for.
std::vector<sock_filter> call_filter(Sandbox sandbox, ForbiddenCall answer);

}  // namespace perdure::rights
