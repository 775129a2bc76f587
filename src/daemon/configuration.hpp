// Configuration: reading the settings' sources, at the start and at every reload.
//
// The config module is pure; this is where its texts come from: the file, the environment and the command line.
// Thread safety: none; the start is single-threaded, reloads run on the callback thread.
#pragma once

#include <string>
#include <vector>

#include "daemon/command_line.hpp"
#include "daemon/places.hpp"
#include "perdure/result.hpp"
#include "perdure/settings.hpp"

namespace perdure::daemon {

/// How a reload ended.
struct ReloadOutcome {
  std::string refused{};               ///< why, in one line; empty: committed
  std::vector<std::string> changed{};  ///< names of the settings that are new
};

/// Reads the file as it is now, and the environment's variables that fields name.
/// On failure: the file is missing although it was named, or cannot be read.
Result<detail::SettingSources> read_sources(const detail::ConfigBase& config, const Places& places, const CommandLine& line);

/// The first load: diagnostics as lines, at most as many as there are faults. Empty: `config` is in force.
std::vector<std::string> load_first(detail::ConfigBase& config, const Places& places, const CommandLine& line);

/// For who only looks for an instance: as load_first(), but a file that is refused is left out. "", or what is wrong with it.
std::string load_what_is_good(detail::ConfigBase& config, const Places& places, const CommandLine& line);

/// Load, check, ask the hooks, then commit; or change nothing.
ReloadOutcome reload(detail::ConfigBase& config, const Places& places, const CommandLine& line);

}  // namespace perdure::daemon
