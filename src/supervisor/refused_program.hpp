// Why the kernel does not execute a file: execve(2) has one errno for many causes, and the file and the way to it tell them apart.
//
// EACCES may be a directory on the way, the kind of file, its permissions or its file system; ENOEXEC an empty file, a cut one,
// another machine's or a text without "#!"; ENOENT the file, its interpreter or a carriage return. Permissions are judged for whom
// the service runs as, by mode bits: access(2) would answer for the manager, which is mostly root.
// Left out: access control lists and security modules; what the file was when it was tried, for it may have changed since.
// Thread and fork safety: reads files, keeps nothing. Signal safety: none.
//
//     const Rights rights = rights_in_spec(specs.fd(), unit.launch.place);
//     say(why_not_executed(EACCES, "/opt/web/bin/web", rights));   // "the directory /opt/web (mode 700, uid 0, gid 0) lets …"
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "supervisor/launch.hpp"

namespace perdure::supervisor {

/// Whom the kernel takes a process for when it asks whether a file may be used.
struct Rights {
  uid_t user = 0;
  std::vector<gid_t> groups{};  ///< the process' own first
  /// RootDirectory=, BindPaths=: what stands at a path for us says nothing of what stands there for the service.
  bool sees_other_files = false;
};

/// The manager's, and of every service that does not change its user.
Rights our_rights();
/// Those that the executor takes on for the spec at `place` of the memory file `specs`; ours where it cannot be read.
Rights rights_in_spec(int specs, SpecPlace place);

/// What stands behind `error` of an execve(2) of `program`, for the end of a line; empty where the errno says it all.
std::string why_not_executed(int error, const std::string& program, const Rights& rights);

}  // namespace perdure::supervisor
