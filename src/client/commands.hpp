// run_command(): carries out one verb of `perdure` and gives its exit code.
//
// Data goes to stdout, messages to stderr, one line each. Exit codes are systemctl's (docs/reference/command.md).
// Left out: `run`, which becomes another program (run_instance.hpp). Thread safety: none. Fork and signal safety: none.
//
//     return client::run_command(*arguments, *places);
#pragma once

#include <string_view>

#include "client/arguments.hpp"
#include "client/places.hpp"

namespace perdure::client {

enum Exit : int {
  exit_done = 0,
  exit_failed = 1,  ///< also: wrong usage, nobody to ask, is-failed of what has not
  exit_not_active = 3,
  exit_no_rights = 4,
  exit_no_such_unit = 4,    ///< status
  exit_not_installed = 5,   ///< start, stop, restart of a unit that is not there
  exit_not_configured = 6,  ///< … whose file cannot be used
};

int run_command(const Arguments& arguments, const Places& places);

/// "perdure: WHY" on stderr.
void complain(std::string_view why);
/// To stdout, all of it. False: it could not be written, and that was said.
bool print(std::string_view text);

}  // namespace perdure::client
