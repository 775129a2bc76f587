// import_supervisord(): unit files that do what a supervisord.conf says.
//
// One .service for each process, a .target for each group and for each program with several processes, a .socket for each
// fcgi-program. What cannot be carried over, or means something else, is said in a comment beside the setting. Defaults are those
// of supervisord 4.2. Left out: event listeners (they speak supervisord's own protocol) and what configures supervisord
// itself; remarks say so. Thread safety: one thread. Fork and signal safety: none.
//
//     const ImportedUnits units = client::import_supervisord("supervisord.conf", environment);
//     if (units.errors.empty()) for (const auto& unit : units.files) …
#pragma once

#include <string>
#include <vector>

#include "client/arguments.hpp"
#include "client/supervisord_file.hpp"

namespace perdure::client {

/// Processes of one program.
inline constexpr int imported_processes_max = 1'000;

struct ImportedUnits {
  struct File {
    std::string name{};  ///< "web.service"
    std::string text{};
  };
  std::vector<File> files{};           ///< in the order of the sections; none where there are errors
  std::vector<std::string> errors{};   ///< one line each, with the place
  std::vector<std::string> remarks{};  ///< what is not in any unit
};

/// `environment`: of the process; what %(ENV_x)s stands for.
ImportedUnits import_supervisord(const std::string& path, const Variables& environment);

/// `perdure import supervisord FILE`: writes the units into a directory, all or none.
int import_command(const Arguments& arguments);

}  // namespace perdure::client
