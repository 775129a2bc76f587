// The life of one service: a state × trigger table of small transitions.
//
// The table in service_machine.cpp is the whole of it. A cell is a transition, or the rule by which the trigger is ignored there.
// A transition changes the unit's record and adds orders; it sees one unit, and knows nothing of dependencies.
// Left out: which run a fact is about, jobs' merging, order between units, deadlines' keeping (engine.cpp).
// Thread safety: none, one owner. Pure.
//
//     take_turn(Trigger::ProcessExited, {.unit = unit, .now = now, .orders = orders, .exit = {ExitKind::Exited, 1}});
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/action.hpp"
#include "core/service_settings.hpp"
#include "core/unit_record.hpp"

namespace perdure::core {

/// Between the end of the main process and the question whether it left processes behind: how long the shell may take to find
/// the run empty before these are signalled.
inline constexpr base::Duration leftover_patience = std::chrono::milliseconds{10};
/// After SIGKILL: how long until what does not go is called stuck, and killed once more.
inline constexpr base::Duration kill_patience = std::chrono::seconds{10};
/// The same after SIGKILL where a stop of everything has no time left.
inline constexpr base::Duration last_kill_patience = std::chrono::milliseconds{100};
/// A stop waits so much longer each time that the main process is found writing its core …
inline constexpr base::Duration core_dump_patience = std::chrono::seconds{1};
/// … and no longer than this in all.
inline constexpr base::Duration core_dump_patience_max = std::chrono::minutes{5};
/// Between a start that failed for want of resources and the next attempt.
inline constexpr base::Duration spawn_retry_pause = std::chrono::milliseconds{250};
/// The shortest time between a start whose set-up failed (no such program, no right to it) and the next automatic one.
inline constexpr base::Duration failed_setup_pause = std::chrono::milliseconds{250};

/// Whether the shell has told of the main process since the record was restored.
enum class Evidence : std::uint8_t {
  Told,     ///< or the record was not restored
  Pending,  ///< not yet; it is about to tell what it finds
  Missing,  ///< it has told everything, and nothing of it: if the run is empty, it is gone or never was
};

struct Unit {
  UnitRecord record{};
  ServiceSettings settings{};
  std::vector<JobId> merged_jobs{};  ///< ids that end together with record.job
  bool emptied = false;              ///< RunEmptied of the present run was told, and nothing was started in it since
  bool conditions_asked = false;     ///< and not answered
  bool former_seen = false;          ///< in this recovery
  std::uint32_t ordered = 0;         ///< the highest number of the run that this manager has given an order under
  /// Runs that went on without the unit, with the highest number of each: they are released when they are empty.
  std::vector<SpawnKey> left_behind{};
  Evidence evidence = Evidence::Told;
  Evidence control_evidence = Evidence::Told;
  bool changed = false;                     ///< in this step; the engine's
  std::optional<JobResult> ended_job = {};  ///< how its job ended, in this turn; the engine's
};

/// A step's actions by urgency; the restart path is what stands in the first.
struct Orders {
  ActionList processes{};
  ActionList answers{};
  ActionList releases{};
  ActionList announcements{};
  std::vector<UnitId> cut_short{};  ///< AnnounceCutShort
};

/// When a stop of everything must be through.
struct StopLimit {
  base::Instant began{};
  base::Instant grace_end{};  ///< what is left then is killed
  base::Instant end{};
};

enum class Trigger : std::uint8_t {
  StartWanted,  ///< by the job in flight, as the three below
  StopWanted,
  RestartWanted,
  ReloadWanted,
  DeadlinePassed,
  Recovered,          ///< everything known has been told: what was ordered and never seen is ordered again
  ConditionsChecked,  ///< this and those below: facts about the present run
  MainStarted,
  MainNotStarted,
  MainExecuted,
  MainExited,
  ControlStarted,
  ControlNotStarted,
  ControlExited,
  MainFound,
  MainMissing,
  Notified,
  RunEmptied,
};
inline constexpr std::size_t trigger_count = 18;

struct Turn {
  Unit& unit;
  base::Instant now{};
  Orders& orders;
  bool in_order = true;      ///< no other unit's job has to end before that of this one begins
  bool is_hurrying = false;  ///< grace periods are nothing
  const StopLimit* limit = nullptr;
  bool others_wait = false;  ///< with their own stop for the end of this unit; only told where there is a limit
  double chance = 0;         ///< 0 … 1, for the jitter of a growing pause
  Exit exit{};
  bool setup_failed = false;
  bool out_of_memory = false;
  SpawnProblem problem = SpawnProblem::Resource;
  ConditionVerdict verdict = ConditionVerdict::Met;
  const struct Notified* message = nullptr;  ///< of Trigger::Notified
};

/// Total: every trigger is answered in every state. Returns the rule by which it was ignored, or nullptr.
const char* take_turn(Trigger trigger, Turn turn);

/// Everything is to stop, or to do so faster: what ends already gets no more time than is left.
void hasten(Turn turn);

/// A job is in flight that stops the unit and has not done so yet; starting may follow.
[[nodiscard]] bool is_being_stopped(const UnitRecord& record) noexcept;
/// At rest: nothing of the unit runs, and nothing will by itself.
[[nodiscard]] bool is_inactive(ServiceState state) noexcept;
/// It counts as started: what requires it may start.
[[nodiscard]] bool is_up(ServiceState state) noexcept;

}  // namespace perdure::core
