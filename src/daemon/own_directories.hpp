// The directories that a daemon's own files are in: made for the user it becomes where they are missing, and named to its sandbox.
//
// A user who may write its directory can remove its PID file and reopen its log; in /run it cannot. Made are directories only, not
// their parents; they are taken away again unless keep() was called. Fork: the copy in a child takes away as well. Threads: none.
#pragma once

#include <string>
#include <vector>

#include "daemon/places.hpp"
#include "perdure/result.hpp"
#include "perdure/rights.hpp"

namespace perdure::daemon {

/// The directories of PID file, control socket, health file and log; and those that an init made for us (RUNTIME_DIRECTORY,
/// STATE_DIRECTORY, CACHE_DIRECTORY, LOGS_DIRECTORY). `log_path`: where the log is, if that is not in `places`.
std::vector<std::string> written_places(const Places& places, const std::string& log_path = {});

class OwnDirectories {
 public:
  /// Does nothing unless `rights` has a new user. On failure: those that were made are gone again.
  static Result<OwnDirectories> make(const RightsDrop& rights, const std::vector<std::string>& directories);
  OwnDirectories(OwnDirectories&&) noexcept = default;
  OwnDirectories& operator=(OwnDirectories&&) = delete;
  ~OwnDirectories();
  void keep() noexcept { made_.clear(); }

 private:
  OwnDirectories() = default;
  std::vector<std::string> made_;
};

}  // namespace perdure::daemon
