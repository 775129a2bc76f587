// The executor's steps that take rights away: ids, capabilities, secure bits, no_new_privs, the filter of system calls.
//
// Each ends the process where it fails (report.hpp), and does nothing, not even a system call, for what the spec does not ask for.
// Their order is executor.cpp's. Freestanding.
#pragma once

#include "executor/spec_view.hpp"

namespace perdure::executor {

/// What the bounding set loses cannot be had again, by no program; the inheritable set loses it too.
void drop_bounding_set(SpecView spec) noexcept;
/// Groups, group, user, in this order, and reads them back. Capabilities that are needed afterwards stay permitted until execve(2).
void set_ids(SpecView spec) noexcept;
/// After set_ids(): the kernel empties the ambient set when the user changes.
void raise_ambient_set(SpecView spec) noexcept;
void set_secure_bits(SpecView spec) noexcept;
void set_no_new_privileges(SpecView spec) noexcept;
/// From here on no system call is sure to be allowed but execve(2) and exit_group(2).
void install_filters(SpecView spec) noexcept;

}  // namespace perdure::executor
