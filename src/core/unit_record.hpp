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
  Start,  ///< a spawn was ordered; for Type=exec: the program is not executed yet
  Running,
  StopSigterm,   ///< signalled; waiting for the run to become empty
  StopSigkill,   ///< killed; waiting for the run to become empty
  FinalSigterm,  ///< the main process has ended by itself; what it left behind is signalled
  FinalSigkill,
  AutoRestart,  ///< waiting for the next start after an ending
  Failed,
};

/// Why a unit is where it is: systemd's Result=.
enum class ServiceResult : std::uint8_t { Success, Resources, ExitCode, Signal, CoreDump, Timeout, StartLimitHit };

struct UnitRecord {
  UnitId unit = no_unit;
  ServiceState state = ServiceState::Dead;
  ServiceResult result = ServiceResult::Success;
  std::uint64_t run = 0;      ///< the present or last one; 0: never started
  std::uint32_t spawn = 0;    ///< the main process's spawn in it; 0: none ordered
  bool main_running = false;  ///< a process for it was seen and not its end
  bool main_executed = false;
  Exit last_exit{};  ///< of the last main process
  JobType job_type = JobType::Start;
  JobId job = no_job;          ///< the job in flight
  std::uint32_t restarts = 0;  ///< NRestarts=: automatic ones since the last start by a job
  base::Instant state_since{};
  base::Instant deadline{};  ///< of the state (timeout, restart); the epoch: none
  base::Instant last_start{};
  std::uint32_t starts_in_window = 0;  ///< for the start limit, with window_began
  base::Instant window_began{};
  bool main_ended = false;    ///< its end was seen; last_exit is of this run
  bool setup_failed = false;  ///< the last main process never became the program
  bool retry_spawn = false;   ///< the last spawn failed for want of resources; the next one comes at the deadline
  friend bool operator==(const UnitRecord&, const UnitRecord&) = default;
};

}  // namespace perdure::core
