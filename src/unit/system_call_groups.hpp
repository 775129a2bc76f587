// System call groups: what "@system-service" and the others of SystemCallFilter= stand for, systemd.exec(5).
//
// The names are those of systemd 252, whatever the kernel below knows; numbers are the business of whoever builds the filter.
// Thread and fork safety: constants. Signal safety: all but is_system_call().
//
//     if (const SystemCallGroup* g = find_system_call_group("@mount")) for (std::string_view name : base::words(g->members)) …
#pragma once

#include <span>
#include <string_view>

namespace perdure::unit {

struct SystemCallGroup {
  std::string_view name;     ///< with its "@"
  std::string_view members;  ///< names of system calls and of other groups, between blanks; no group contains itself
};

/// In systemd's order: @default first, @known last.
std::span<const SystemCallGroup> system_call_groups() noexcept;
/// nullptr where there is none.
const SystemCallGroup* find_system_call_group(std::string_view name) noexcept;
/// Whether some architecture has, or had, a system call of this name.
bool is_system_call(std::string_view name);

}  // namespace perdure::unit
