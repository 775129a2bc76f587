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
/// Start a command of the unit in the leaf of the run, which is made for the first one. → ProcessStarted or SpawnFailed.
/// Idempotent by the key: after a recovery the same order may come again for a process that exists.
struct SpawnProcess {
  SpawnKey key{};
  CommandPhase phase = CommandPhase::Start;
  std::uint8_t command = 0;  ///< which of the phase
  bool is_main = true;       ///< else it helps to start, reload or stop
};
/// Ask Condition…= and Assert…=. → ConditionsChecked
struct CheckConditions {
  UnitId unit = no_unit;
};
/// Find the main process that ExecStart= of a Type=forking left behind: by PIDFile=, else as the one process of the run whose
/// parent is the keeper. → MainFound as soon as there is one, or MainMissing. Until one of them comes the shell keeps looking.
struct FindMain {
  RunKey run{};
};
/// The process of the last MainFound is this key's from now on. → ProcessStarted or SpawnFailed, as with SpawnProcess.
struct TrackMain {
  SpawnKey key{};
};
/// A control process, or a main process that another one has replaced, has ended and was taken note of: acknowledge it.
struct ReleaseProcess {
  SpawnKey key{};
};
enum class SignalTarget : std::uint8_t {
  Process,  ///< the process of the key
  All,      ///< every process of its run
};
/// No completion; the end it leads to is told by ProcessExited and RunEmptied. A target that is gone is no error.
/// SIGTERM and SIGHUP are followed by SIGCONT, so that a stopped process can act on them.
struct SendSignal {
  SpawnKey key{};
  SignalTarget target = SignalTarget::Process;
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
  Refused,     ///< not carried out: unknown unit, shutting down, a contradiction or a cycle among what it needs
  Dependency,  ///< something that it requires did not come up
  Skipped,     ///< a condition does not hold, or there is nothing to do
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
/// For the log: these units come after each other in a circle, so none of them is started.
struct AnnounceCycle {
  std::vector<UnitId> units{};  ///< each comes after the next, the last one after the first
};
/// For the log: in a stop of everything these units were not given the time that their settings allow, for the whole of it may not
/// take that long (RecoveryCompleted::stop_within).
struct AnnounceCutShort {
  std::vector<UnitId> units{};
};
enum class EndCause : std::uint8_t {
  Essential,         ///< an essential unit has ended, and no restart follows
  StartLimitAction,  ///< a unit has hit its start limit, and says that this ends the instance
};
/// The instance is to end. The stop of everything has begun, as after ShutdownRequested.
struct EndInstance {
  UnitId unit = no_unit;
  EndCause cause = EndCause::Essential;
  Exit exit{};             ///< of its last main process; the code of the instance follows from it
  bool is_forced = false;  ///< StartLimitAction=exit-force: at once, without stopping anything
};
/// After ShutdownRequested: everything has stopped, or was killed and does not go (state StopSigkill).
struct AnnounceAllStopped {};

using Action = std::variant<RecordUnit, SpawnProcess, CheckConditions, FindMain, TrackMain, SendSignal, KillRun, WatchRun,
                            ReleaseProcess, ReleaseRun, FinishJob, AnnounceState, AnnounceCycle, AnnounceIgnored,
                            AnnounceCutShort, EndInstance, AnnounceAllStopped>;
using ActionList = std::vector<Action>;

}  // namespace perdure::core
