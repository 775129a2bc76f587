// The unit file that --print-unit prints: this command line as a systemd service, hardened as far as a daemon of ours can be.
//
// Values in, text out. Source: systemd.service(5), systemd.exec(5) of systemd 252.
#pragma once

#include <string>

#include "daemon/command_line.hpp"
#include "daemon/places.hpp"
#include "perdure/run.hpp"

namespace perdure::daemon {

/// `program`: the binary's absolute path.
std::string unit_file(const Options& options, const CommandLine& line, const Places& places, const std::string& program);

}  // namespace perdure::daemon
