// What the core needs to know of a unit: values only, resolved from the unit file by the shell.
//
// Spelling and meaning are those of systemd.service(5), systemd.unit(5) and systemd.kill(5). Names of units are the shell's; the
// core knows numbers, which mean the same unit for as long as the keeper lives, also across a death of the manager.
// Left out: everything a process is started with (command line, user, environment): the shell compiles it once per unit.
// Thread, fork and signal safety: plain values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.hpp"
#include "policy/service_restart.hpp"

namespace perdure::core {

/// A unit of the loaded set. Never given to another unit.
using UnitId = std::uint32_t;
inline constexpr UnitId no_unit = 0;

enum class UnitKind : std::uint8_t {
  Service,
  Target,  ///< no process: it is reached when what it comes after has been started
};

/// Type= of a service.
enum class ServiceType : std::uint8_t {
  Simple,   ///< running as soon as there is a process
  Exec,     ///< running once the program has been executed
  Forking,  ///< running once ExecStart= has ended well and left the main process behind
  Oneshot,  ///< started once every ExecStart= has ended well, one after the other
  Notify,   ///< running once it says READY=1
  Idle,     ///< as Simple
};

/// What a command of a service is for, in the order of its life.
enum class CommandPhase : std::uint8_t { Condition, StartPre, Start, StartPost, Reload, Stop, StopPost };
inline constexpr std::size_t phase_count = 7;

/// ExecStartPre=, ExecStart= …: how many there are. What they are, the shell knows.
struct Commands {
  std::uint8_t count = 0;
  std::uint64_t ignores_failure = 0;  ///< bit n: command n has the prefix "-"
};

/// What happens to the instance when a unit's start limit is hit: StartLimitAction=.
enum class EmergencyAction : std::uint8_t { None, Exit, ExitForce };

/// Restart=: what kind of ending is followed by another start (the table of systemd.service(5)).
using policy::RestartWhen;

/// KillMode=: which processes a stop signals.
enum class KillMode : std::uint8_t { ControlGroup, Mixed, Process, None };

/// SuccessExitStatus= and its relatives: which exit codes and signals.
struct StatusSet {
  std::vector<std::uint8_t> codes{};
  std::vector<int> signals{};
};

/// How pauses grow where a unit does not say RestartSec=: doubling from restart_sec on, from the second failure that follows a
/// short life; after a long one they begin anew.
inline constexpr base::Duration restart_pause_max = std::chrono::seconds{60};
inline constexpr base::Duration healthy_life = std::chrono::seconds{10};

struct ServiceSettings {
  UnitKind kind = UnitKind::Service;
  ServiceType type = ServiceType::Simple;
  /// By CommandPhase. One ExecStart= unless it is said otherwise.
  std::array<Commands, phase_count> commands{{{}, {}, {1, 0}, {}, {}, {}, {}}};
  bool remain_after_exit = false;
  bool has_pid_file = false;
  bool guess_main_pid = true;
  bool has_conditions = false;  ///< Condition…= or Assert…=: the shell is asked before each start (CheckConditions)
  std::optional<base::Duration> watchdog{};  ///< none: off
  int watchdog_signal = 6;
  std::optional<base::Duration> runtime_max{};  ///< none: infinity
  RestartWhen restart = RestartWhen::No;
  base::Duration restart_sec = std::chrono::milliseconds{100};
  bool pause_grows = false;  ///< RestartSec= is not set
  /// none: infinity
  std::optional<base::Duration> timeout_start = std::chrono::seconds{90};
  std::optional<base::Duration> timeout_stop = std::chrono::seconds{90};
  /// StartLimitIntervalSec= and StartLimitBurst=; an interval or a burst of 0 switches the limit off.
  base::Duration start_limit_interval = std::chrono::seconds{10};
  std::uint32_t start_limit_burst = 5;
  KillMode kill_mode = KillMode::ControlGroup;
  int kill_signal = 15;
  int restart_kill_signal = 0;  ///< 0: kill_signal
  int final_kill_signal = 9;
  bool send_sighup = false;
  bool send_sigkill = true;
  /// After WatchdogSignal=; none: infinity
  std::optional<base::Duration> timeout_abort = std::chrono::seconds{90};
  StatusSet success_status{};  ///< besides code 0 and SIGHUP, SIGINT, SIGTERM, SIGPIPE
  StatusSet restart_prevent_status{};
  StatusSet restart_force_status{};
  EmergencyAction start_limit_action = EmergencyAction::None;
  bool is_essential = false;         ///< its end, where no restart follows, ends the instance
  bool cannot_start = false;         ///< it, or something that it requires, cannot be loaded
  std::vector<UnitId> wants{};       ///< started along; their failure changes nothing
  std::vector<UnitId> requires_{};   ///< started along, and must come up; stopped and restarted with them
  std::vector<UnitId> requisite{};   ///< must be up already
  std::vector<UnitId> binds_to{};    ///< as requires_, and must stay up
  std::vector<UnitId> part_of{};     ///< stopped and restarted with them
  std::vector<UnitId> upholds{};     ///< as wants, and started again whenever they are down
  std::vector<UnitId> conflicts{};   ///< never up together
  std::vector<UnitId> after{};       ///< started only once a start of these has ended, where both are to start
  std::vector<UnitId> before{};      ///< the same, said from the other end
  std::vector<UnitId> on_failure{};  ///< started when this one has failed
  std::vector<UnitId> on_success{};  ///< started when this one has ended well
  std::vector<UnitId> reload_to{};   ///< PropagatesReloadTo=
};

}  // namespace perdure::core
