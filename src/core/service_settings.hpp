// What the core needs to know of a unit: values only, resolved from the unit file by the shell.
//
// Spelling and meaning are those of systemd.service(5), systemd.unit(5) and systemd.kill(5). Names of units are the shell's; the
// core knows numbers, which mean the same unit for as long as the keeper lives, also across a death of the manager.
// Left out: everything a process is started with (command line, user, environment): the shell compiles it once per unit.
// Thread, fork and signal safety: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "policy/service_restart.hpp"

namespace perdure::core {

/// A unit of the loaded set. Never given to another unit.
using UnitId = std::uint32_t;
inline constexpr UnitId no_unit = 0;

/// Type= of a service.
enum class ServiceType : std::uint8_t {
  Simple,  ///< running as soon as there is a process
  Exec,    ///< running once the program has been executed
};

/// Restart=: what kind of ending is followed by another start (the table of systemd.service(5)).
using policy::RestartWhen;

/// KillMode=: which processes a stop signals.
enum class KillMode : std::uint8_t { ControlGroup, Mixed, Process, None };

/// SuccessExitStatus= and its relatives: which exit codes and signals.
struct StatusSet {
  std::vector<std::uint8_t> codes{};
  std::vector<int> signals{};
};

struct ServiceSettings {
  ServiceType type = ServiceType::Simple;
  RestartWhen restart = RestartWhen::No;
  base::Duration restart_sec = std::chrono::milliseconds{100};
  /// none: infinity
  std::optional<base::Duration> timeout_start = std::chrono::seconds{90};
  std::optional<base::Duration> timeout_stop = std::chrono::seconds{90};
  /// StartLimitIntervalSec= and StartLimitBurst=; an interval or a burst of 0 switches the limit off.
  base::Duration start_limit_interval = std::chrono::seconds{10};
  std::uint32_t start_limit_burst = 5;
  KillMode kill_mode = KillMode::ControlGroup;
  int kill_signal = 15;
  bool send_sigkill = true;
  StatusSet success_status{};  ///< besides code 0 and SIGHUP, SIGINT, SIGTERM, SIGPIPE
  StatusSet restart_prevent_status{};
  StatusSet restart_force_status{};
  std::vector<UnitId> wants{};  ///< started along; their failure changes nothing
  std::vector<UnitId> after{};  ///< started only once a start of these has ended, where both are to start
};

}  // namespace perdure::core
