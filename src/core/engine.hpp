// Engine: the supervisor's decisions. Facts in, orders out; no clock, no process, no descriptor, no randomness.
//
// The same events at the same instants give the same actions, byte for byte. step() cannot fail and cannot block.
// Recovery is the normal start path: UnitLoaded for every unit, UnitRestored for every record, then what the keeper's table says
// (ProcessStarted, ProgramExecuted, ProcessExited, RunEmptied), ProcessExited with ExitKind::Unknown for a main process that runs
// according to its record and is not there any more, then RecoveryCompleted, which orders again whatever was ordered and of which
// nothing has been seen since (spawn keys make that harmless).
// Left out: carrying out (supervisor), what a unit file says (unit).
// Thread safety: one thread. Fork: a plain value. Signal safety: none.
//
//     engine.step(now, core::JobRequested{.job = 1, .type = core::JobType::Start, .unit = web}, actions);
//     for (const core::Action& action : actions) carry_out(action);
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "core/action.hpp"
#include "core/event.hpp"

namespace perdure::core {

/// A unit as the journal has it. Requires: UnitLoaded came before; a record of a unit that is not loaded is ignored.
struct UnitRestored {
  UnitRecord record{};
};
/// All that was known has been told. Told at the first start too; until then no deadline passes and no job is carried out.
struct RecoveryCompleted {
  std::uint64_t seed = 0;                       ///< chance, for the jitter of growing pauses
  std::optional<base::Duration> stop_within{};  ///< how long a stop of everything may take; none: as long as the units may
};

using Event = std::variant<UnitLoaded, JobRequested, JobsRequested, JobCanceled, ConditionsChecked, ProcessStarted,
                           SpawnFailed, ProgramExecuted, ProcessExited, MainFound, MainMissing, Notified, RunEmptied,
                           DeadlinePassed, ShutdownRequested, FailureReset, UnitRestored, RecoveryCompleted>;

class Engine {
 public:
  Engine();
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// Appends to `actions`. Requires: `now` is not before that of an earlier call.
  void step(base::Instant now, const Event& event, ActionList& actions);
  /// When DeadlinePassed is to be told at the latest.
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;
  /// What is known of a unit; nothing where it is not loaded. Valid until the next step().
  [[nodiscard]] const UnitRecord* record(UnitId unit) const;
  /// What was loaded of a unit; nothing where it is not. Valid until the next step().
  [[nodiscard]] const ServiceSettings* settings(UnitId unit) const;
  /// Whether the end of `job` is still to be told; jobs that were merged into another are waited for with it.
  [[nodiscard]] bool has_job(JobId job) const;
  /// All units, by number.
  [[nodiscard]] std::vector<UnitRecord> snapshot() const;
  /// Events ignored by a rule so far.
  [[nodiscard]] std::uint64_t ignored() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perdure::core
