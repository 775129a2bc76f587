// Actions: the orders that the core gives the shell. Imperative; an ordered list that the shell neither reorders nor skips.
//
// Each has at most one completion event, named with it. Everything prints (print.hpp).
// Thread, fork and signal safety: plain values.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "core/event.hpp"
#include "core/unit_record.hpp"

namespace perdure::core {

/// Append to the journal before carrying out what follows. A step's records come first, then what changes processes, then
/// answers (FinishJob), then ReleaseRun, then what is only told (Announce…).
struct RecordUnit {
  UnitRecord record{};
};
/// Start the main process of a run, in a fresh leaf of its own. → ProcessStarted or SpawnFailed.
/// Idempotent by the key: after a recovery the same order may come again for a process that exists.
struct SpawnProcess {
  SpawnKey key{};
};
enum class SignalTarget : std::uint8_t {
  Main,  ///< the process of the key
  All,   ///< every process of its run
};
/// No completion; the end it leads to is told by ProcessExited and RunEmptied. A target that is gone is no error.
/// SIGTERM and SIGHUP are followed by SIGCONT, so that a stopped process can act on them.
struct SendSignal {
  SpawnKey key{};
  SignalTarget target = SignalTarget::Main;
  int signal = 0;
};
/// SIGKILL to every process of the run, at once (cgroup.kill where there is one).
struct KillRun {
  RunKey run{};
};
/// Tell when the run has no process left. → RunEmptied, at once where that is so already or where the run is not known (any more).
/// May be repeated.
struct WatchRun {
  RunKey run{};
};
/// The run is over: read its log to the end, acknowledge its processes to the keeper, remove its leaf. May be repeated.
struct ReleaseRun {
  RunKey run{};
};
enum class JobResult : std::uint8_t {
  Done,
  Failed,    ///< the unit failed
  Canceled,  ///< another job took its place
  Timeout,
  Refused,  ///< not carried out: unknown unit, shutting down
};
struct FinishJob {
  JobId job = no_job;
  UnitId unit = no_unit;
  JobResult result = JobResult::Done;
};
/// For the log and for `events`: the unit went from one state to another.
struct AnnounceState {
  UnitId unit = no_unit;
  ServiceState from = ServiceState::Dead;
  ServiceState to = ServiceState::Dead;
  ServiceResult result = ServiceResult::Success;
};
/// For the log: an event that came late, twice or about nothing; `rule` names why it was ignored.
struct AnnounceIgnored {
  UnitId unit = no_unit;
  const char* rule = "";
};
/// After ShutdownRequested: everything has stopped, or was killed and does not go (state StopSigkill).
struct AnnounceAllStopped {};

using Action = std::variant<RecordUnit, SpawnProcess, SendSignal, KillRun, WatchRun, ReleaseRun, FinishJob, AnnounceState,
                            AnnounceIgnored, AnnounceAllStopped>;
using ActionList = std::vector<Action>;

}  // namespace perdure::core
