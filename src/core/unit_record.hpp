// UnitRecord: everything about a unit that must outlive the manager, as one value of fixed size.
//
// The core hands out a new one (RecordUnit) before every action that depends on it, the shell appends it to the journal, and after
// a death of the manager UnitRestored gives the last one back. So state(journal + keeper's table) is the state before.
// Instants are of CLOCK_MONOTONIC and mean nothing after a boot; the shell gives no record of another boot back.
// Thread, fork and signal safety: plain values.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hpp"
#include "core/event.hpp"

namespace perdure::core {

/// The unit's state; the words that `status` shows as "active (running)" follow from it (state_words()).
enum class ServiceState : std::uint8_t {
  Dead,
  Condition,  ///< ExecCondition=
  StartPre,   ///< ExecStartPre=
  Start,      ///< ExecStart= was ordered, and the unit does not count as started yet
  StartPost,  ///< ExecStartPost=
  Running,
  Exited,        ///< RemainAfterExit=: no main process, and up all the same
  Reload,        ///< ExecReload=, or the service says that it reloads
  Stop,          ///< ExecStop=
  StopWatchdog,  ///< WatchdogSignal= was sent; waiting for the run to become empty
  StopSigterm,   ///< signalled; waiting for the run to become empty
  StopSigkill,   ///< killed; waiting for the run to become empty
  StopPost,      ///< ExecStopPost=
  FinalSigterm,  ///< what ExecStopPost= left behind is signalled
  FinalSigkill,
  AutoRestart,  ///< waiting for the next start after an ending
  Failed,
  Active,  ///< of a target
};
inline constexpr std::size_t state_count = 18;

/// Why a unit is where it is: systemd's Result=.
enum class ServiceResult : std::uint8_t {
  Success,
  Resources,
  ExitCode,
  Signal,
  CoreDump,
  Timeout,
  StartLimitHit,
  Protocol,  ///< it did not do what its Type= promises
  Watchdog,
  ExecCondition,  ///< ExecCondition= says that it need not run
  OomKill,        ///< the kernel ended it for want of memory
};

struct UnitRecord {
  UnitId unit = no_unit;
  ServiceState state = ServiceState::Dead;
  ServiceResult result = ServiceResult::Success;
  std::uint64_t run = 0;         ///< the present or last one; 0: never started
  std::uint32_t spawn = 0;       ///< the main process's spawn in it; 0: none ordered
  std::uint32_t last_spawn = 0;  ///< the highest number given in the run
  std::uint32_t former = 0;   ///< the main process as long as the one found in its place is not tracked as `spawn`; 0: none
  std::uint32_t control = 0;  ///< the spawn of the control process that was ordered and has not ended; 0: none
  CommandPhase phase = CommandPhase::Start;  ///< of the control process, or of the main process where it is one of several
  std::uint8_t command = 0;                  ///< which of that phase
  bool main_running = false;                 ///< a process for it was seen and not its end
  bool main_executed = false;
  bool control_running = false;  ///< a process for `control` was seen
  Exit last_exit{};              ///< of the last main process
  JobType job_type = JobType::Start;
  JobId job = no_job;          ///< the job in flight
  std::uint32_t restarts = 0;  ///< NRestarts=: automatic ones since the last start by a job
  base::Instant state_since{};
  base::Instant deadline{};        ///< of the state (timeout, restart); the epoch: none
  base::Instant watchdog{};        ///< when WATCHDOG=1 must have come; the epoch: not watched
  base::Duration watchdog_span{};  ///< WatchdogSec=, or what the service asked for instead; 0: off
  base::Instant last_start{};
  std::uint32_t starts_in_window = 0;  ///< for the start limit, with window_began
  base::Instant window_began{};
  std::uint32_t short_lives = 0;  ///< failures in a row, each after a short life: for the growing pause
  bool main_ended = false;        ///< its end was seen; last_exit is of this run
  bool setup_failed = false;      ///< the last main process never became the program
  bool is_populated = false;      ///< some process of the run was seen
  bool retry_spawn = false;       ///< the last spawn failed for want of resources; the next one comes at the deadline
  bool stop_wanted = false;       ///< somebody wants this run to end; no automatic restart follows
  bool was_up = false;            ///< the run counted as started
  bool is_held_down = false;      ///< a person stopped it: no other unit brings it up again by itself
  bool is_blocked = false;        ///< its start failed because of one that it requires; it follows when that one comes up
  friend bool operator==(const UnitRecord&, const UnitRecord&) = default;
};

}  // namespace perdure::core
