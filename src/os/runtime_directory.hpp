// The runtime directory: where control sockets, PID files and health files go when nobody says otherwise.
//
//   1. the first entry of $RUNTIME_DIRECTORY (an init made it for us), if absolute
//   2. for root: /run
//   3. $XDG_RUNTIME_DIR, if it is absolute and a directory of the user's own
//   4. perdure-UID in $TMPDIR or /tmp, made here with mode 0700
// The fourth lies where others may write: a link, a foreign owner or rights for others are an attack or a mistake, and refused.
// Left out: removing it; subdirectories. Thread safety: all, as far as getenv(3) is. Fork and signal safety: fork yes, signal no.
//
//     PERDURE_TRY(std::string directory, os::runtime_directory(os::RuntimeSurroundings::of_this_process()));
#pragma once

#include <sys/types.h>

#include <string>

#include "perdure/result.hpp"

namespace perdure::os {

/// What the choice depends on; unset variables are empty.
struct RuntimeSurroundings {
  std::string runtime_directory{};  ///< $RUNTIME_DIRECTORY
  std::string xdg_runtime_dir{};    ///< $XDG_RUNTIME_DIR
  std::string tmpdir{};             ///< $TMPDIR
  uid_t user = 0;                   ///< the effective user

  static RuntimeSurroundings of_this_process();
};

/// An absolute path without '/' at its end. Nothing is created except in the fourth case.
Result<std::string> runtime_directory(const RuntimeSurroundings& surroundings);

/// Makes `path` with mode 0700, or accepts what is there: a real directory (no link) of `owner`'s without rights for others.
Result<void> make_private_directory(const std::string& path, uid_t owner);

/// Of a supervisor's: its services send to a socket in it, and see nothing else of it.
inline constexpr mode_t instance_runtime_mode = 0711;

/// Makes `path` with exactly `mode` (the umask has no say), or accepts what is there: a real directory (no link) of the effective
/// user's that nobody else may write in. The directory above must be one in which nobody else may rename it.
Result<void> make_own_directory(const std::string& path, mode_t mode);

}  // namespace perdure::os
