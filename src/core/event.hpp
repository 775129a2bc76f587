// Events: the facts that the shell tells the core. Past tense; never an order.
//
// A process is named by its spawn key, which is used once, for ever; no pid comes up here. Late, repeated and stale facts are
// allowed and ignored by a named rule (see engine.hpp); facts about different units come in any order.
// Thread, fork and signal safety: plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/service_settings.hpp"

namespace perdure::core {

/// One activation of a unit: one INVOCATION_ID, one cgroup leaf, one log pipe. Counts from 1 per unit, also across managers.
struct RunKey {
  UnitId unit = no_unit;
  std::uint64_t run = 0;
  friend auto operator<=>(const RunKey&, const RunKey&) = default;
};

/// One process of a run, counting from 1 within it.
struct SpawnKey {
  UnitId unit = no_unit;
  std::uint64_t run = 0;
  std::uint32_t spawn = 0;
  [[nodiscard]] RunKey run_key() const noexcept { return {unit, run}; }
  friend auto operator<=>(const SpawnKey&, const SpawnKey&) = default;
};

using JobId = std::uint64_t;
inline constexpr JobId no_job = 0;
/// The id of jobs that nobody asked for by an id (pulled in by Wants=, the stops of a shutdown): no FinishJob tells their end.
inline constexpr JobId unasked_job = ~JobId{0};

enum class JobType : std::uint8_t {
  Start,
  Stop,
  Restart,
  Reload,      ///< of a unit that is up; fails where it is not
  TryRestart,  ///< as Restart where the unit is up, else nothing
};

/// How a process ended. Unknown: it is gone and nobody saw how; never guessed.
enum class ExitKind : std::uint8_t { Exited, Killed, Dumped, Unknown };
struct Exit {
  ExitKind kind = ExitKind::Unknown;
  int status = 0;  ///< exit code, or signal number
  friend bool operator==(const Exit&, const Exit&) = default;
};

/// The unit is part of the loaded set. Said again, it has these settings from now on; a deadline that runs stays as it is.
struct UnitLoaded {
  UnitId unit = no_unit;
  ServiceSettings settings{};
};
/// Somebody asked for a job. Its end is told by FinishJob under the same id. `job` is unique among those not finished; the same
/// request under the same id again, as after a recovery, changes nothing. A job that was merged into one in flight ends with it;
/// of the two, only the older one is in the record and survives the manager.
struct JobRequested {
  JobId job = no_job;
  JobType type = JobType::Start;
  UnitId unit = no_unit;
};
/// Several at once, so that the order between them (After=) is kept whatever order they are listed in.
struct JobsRequested {
  std::vector<JobRequested> jobs{};
};
/// A job is to end as Canceled; what it has begun goes on. One that is not in flight is ignored.
struct JobCanceled {
  JobId job = no_job;
};
/// There is a process for the key: it was started, or it had been started before and is there.
struct ProcessStarted {
  SpawnKey key{};
};
enum class SpawnProblem : std::uint8_t {
  Resource,   ///< EAGAIN, ENOMEM, EMFILE …: the machine's fault; tried again after a pause, no restart counted
  Permanent,  ///< it cannot work as it is configured
};
/// No process was started for the key. An answer to the manager that ordered it: one that comes after asks again.
struct SpawnFailed {
  SpawnKey key{};
  SpawnProblem problem = SpawnProblem::Resource;
};
/// The program of the key has been executed (Type=exec).
struct ProgramExecuted {
  SpawnKey key{};
};
/// The process of the key has ended. `setup_failed`: it never became the program; the executor gave up before. `out_of_memory`: the
/// kernel has ended processes of its run for want of memory.
struct ProcessExited {
  SpawnKey key{};
  Exit exit{};
  bool setup_failed = false;
  bool out_of_memory = false;
};
/// The answer to CheckConditions.
enum class ConditionVerdict : std::uint8_t {
  Met,
  Unmet,         ///< a Condition…= does not hold: the unit is not started, and that is no failure
  AssertFailed,  ///< an Assert…= does not hold: the start fails
};
struct ConditionsChecked {
  UnitId unit = no_unit;
  ConditionVerdict verdict = ConditionVerdict::Met;
};
/// The answer to FindMain, and to MAINPID=: there is a process of the run that is its main process from now on. It is given a
/// number of its own with TrackMain.
struct MainFound {
  RunKey run{};
};
/// The answer to FindMain: there is none, or it cannot be told which one, and looking longer will not help.
struct MainMissing {
  RunKey run{};
};
/// A message to $NOTIFY_SOCKET, from a process that may send it (NotifyAccess=).
struct Notified {
  RunKey run{};
  bool is_ready = false;                           ///< READY=1
  bool is_reloading = false;                       ///< RELOADING=1
  bool is_stopping = false;                        ///< STOPPING=1
  bool is_alive = false;                           ///< WATCHDOG=1
  bool asks_to_be_ended = false;                   ///< WATCHDOG=trigger
  std::optional<base::Duration> watchdog{};        ///< WATCHDOG_USEC=; 0: off
  std::optional<base::Duration> extend_timeout{};  ///< EXTEND_TIMEOUT_USEC=
  bool is_dumping = false;                         ///< not its own words: its main process is writing a core
};
/// No process of the run is left. Told once nothing is left after WatchRun (at once of a run that has been released or that nobody
/// knows), and whenever the shell happens to know: together with ProcessExited, it saves a turn of the loop.
struct RunEmptied {
  RunKey run{};
  std::uint32_t spawn = 0;  ///< the last one that was started in it when that was seen; 0: not known
};
/// Time has come for next_deadline(); carries nothing because `now` does.
struct DeadlinePassed {};
/// Everything is to stop, and no job is taken any more. A second one shortens every grace period to nothing. It is in no record:
/// told before a death of the manager, it must be told again after RecoveryCompleted, with the instant of the first time.
struct ShutdownRequested {
  std::optional<base::Instant> began{};  ///< none: now
};
/// reset-failed: forgets a failure and the start limit's count.
struct FailureReset {
  UnitId unit = no_unit;
};

}  // namespace perdure::core
