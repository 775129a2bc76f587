// The locks of an instance: one in its runtime directory, which makes it one instance, and one in each other directory that it
// writes in, so that no second instance takes its services, or mixes its logs with it. Held by open files, which the keeper
// inherits and its successors pass on; the files say whose they are, to be read by people and by who is refused.
// Left out: the directories themselves (run_instance.hpp). Thread safety: all. Fork: the locks go along. Signal safety: none.
//
//     PERDURE_TRY(const UniqueFd lock, client::take_instance_lock(places.lock()));
//     PERDURE_TRY(const auto locks, client::take_directory_locks(places));
#pragma once

#include <string>

#include "client/places.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::client {

/// The lock of the instance, held by the descriptor; its file says whose it is.
/// On failure: another one holds it, and its pid is named.
Result<UniqueFd> take_instance_lock(const std::string& path);

/// Empty where the directory is one of those before it, which is locked already.
struct DirectoryLocks {
  UniqueFd state{};
  UniqueFd log{};
};
/// Requires: the directories exist (prepare_directories()).
/// On failure: another instance writes there, and it is named.
Result<DirectoryLocks> take_directory_locks(const Places& places);

/// Wakes the keeper of the instance that has this lock: by SIGCONT, of which it tells its manager as it does of every signal; and a
/// manager that then gives no sign of life within 10 s is woken, and 5 s later replaced.
/// False: no process is proved to be the keeper, by having the lock open where a keeper has it, or we may not look.
bool wake_keeper(const std::string& lock_path);

}  // namespace perdure::client
