// Places: where this instance keeps its files, decided once from the options and the command line.
//
// Thread safety: a value. Everything is absolute, so that nothing depends on the directory after detaching.
#pragma once

#include <string>

#include "daemon/command_line.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"

namespace perdure::daemon {

struct Places {
  std::string instance{};  ///< NAME or NAME@INSTANCE
  std::string pid_file{};
  std::string control{};      ///< "" for none
  std::string config_file{};  ///< "" for none
  bool config_must_exist = false;
  std::string health_file{};  ///< "" for none
  std::string log_file{};     ///< "" unless asked for
};

/// The runtime directory is looked at (and for an ordinary user made) only where a default of ours needs it.
Result<Places> choose_places(const Options& options, const CommandLine& line);

}  // namespace perdure::daemon
