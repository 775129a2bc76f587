// The executor's steps that decide which files the service sees: bind mounts, root directory, working directory.
//
// Each ends the process where it fails (report.hpp), within ten seconds also on a file system that does not answer, and does
// nothing, not even a system call, for what the spec does not ask for. Their order is executor.cpp's. Freestanding.
#pragma once

#include "executor/spec_view.hpp"

namespace perdure::executor {

/// A namespace of mounts of its own, into which the machine's later mounts still come, with the spec's bind mounts in it, in their
/// order. Destinations are looked up within the root directory, links too; where one is missing it is made, for all to see.
void mount_paths(SpecView spec) noexcept;
void enter_root_directory(SpecView spec) noexcept;
/// Last of the three, with the service's own rights: on a network file system only these may do.
void change_directory(SpecView spec) noexcept;

}  // namespace perdure::executor
