// spawn(): starts a process. The one call of the seam that returns twice, and so the one that is not in os.
//
// Everything is decided and allocated by the caller; between clone and exec only async-signal-safe calls are made, on a
// stack of their own, in the caller's memory, while the calling thread stands still. Other threads go on.
// Left out: looking up PATH, making pipes, building the environment (command.cpp).
// Thread safety: all. Fork safety: all. Signal safety: none (mmap).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "perdure/unique_fd.hpp"

namespace perdure::process {

/// What the child does, in this order. Each has its words for messages (words_of).
enum class SpawnStep : std::uint8_t {
  Clone,
  Dispositions,
  Group,
  Descriptors,
  CloseOthers,
  Directory,
  Mask,
  Execute,
  count_,
};

/// "entering its working directory failed"
const char* words_of(SpawnStep step) noexcept;

/// The child gets `from` as `to`, without close-on-exec.
struct FdMove {
  int from = -1;
  int to = -1;
};

struct SpawnSpec {
  /// Absolute or relative paths that are tried in turn, as execvp(3) does: missing ones are skipped.
  std::span<const char* const> candidates;
  char* const* arguments = nullptr;         ///< ends with nullptr
  char* const* environment = nullptr;       ///< ends with nullptr
  const char* working_directory = nullptr;  ///< nullptr: the caller's
  /// Requires: targets are distinct. Sources may be targets of others. Everything else ≥ 3 is closed in the child.
  std::vector<FdMove> fds{};
  /// The child becomes our parent's, who reaps it, also where executing fails (CLONE_PARENT; not for process 1).
  bool as_sibling = false;
};

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
  /// Where it failed; then there is no child.
  struct Failure {
    SpawnStep step;
    int error;
  };
  std::optional<Failure> failure{};
};

Spawned spawn(SpawnSpec spec) noexcept;

}  // namespace perdure::process
