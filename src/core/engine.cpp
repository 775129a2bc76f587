#include "core/engine.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/buffer.hpp"
#include "core/job_merge.hpp"
#include "core/ordering.hpp"
#include "core/service_machine.hpp"

namespace perdure::core {
namespace {

constexpr const char* unit_not_loaded = "the unit is not loaded";
constexpr const char* unknown_run = "a run that was never ordered";
constexpr const char* old_run = "an old run";
constexpr const char* other_spawn = "another process of the run";
constexpr const char* known_job = "the job is in flight already";
constexpr const char* ordering_cycle = "After= would close a cycle";
constexpr const char* not_in_recovery = "the recovery is over";

JobRequested unasked(JobType type, UnitId unit) { return {.job = unasked_job, .type = type, .unit = unit}; }

Trigger trigger_of(JobType type) {
  switch (type) {
    case JobType::Stop: return Trigger::StopWanted;
    case JobType::Restart: return Trigger::RestartWanted;
    case JobType::Start: break;
  }
  return Trigger::StartWanted;
}

}  // namespace

/// One step: an event is translated into turns of units, a turn may give other units their turn, and what they ordered is
/// handed out in the end, records first.
struct Engine::State {
  std::map<UnitId, Unit> units{};
  Ordering ordering{};
  std::set<std::pair<base::Instant, UnitId>> deadlines{};
  std::size_t jobs_in_flight = 0;
  std::uint64_t ignored = 0;
  bool is_recovering = true;
  bool is_shutting_down = false;
  bool is_hurrying = false;
  bool all_stopped = false;  ///< was announced

  /// What a recovery told of a run that is in no record.
  struct Found {
    std::uint32_t spawn = 0;  ///< of its main process; 0: none was told of
    std::optional<ProcessExited> exited{};
  };
  std::map<RunKey, Found> unrecorded{};

  // Within a step; empty between steps.
  base::Instant now{};
  Orders orders{};
  struct Changed {
    Unit* unit = nullptr;
    UnitRecord before{};
  };
  std::vector<Changed> changed{};
  std::deque<UnitId> waiting{};  ///< units whose job gets a turn

  void handle(const UnitLoaded& event);
  void handle(const JobRequested& event);
  void handle(const JobsRequested& event);
  void handle(const ProcessStarted& event);
  void handle(const SpawnFailed& event);
  void handle(const ProgramExecuted& event);
  void handle(const ProcessExited& event);
  void handle(const RunEmptied& event);
  void handle(const DeadlinePassed& event);
  void handle(const ShutdownRequested& event);
  void handle(const FailureReset& event);
  void handle(const UnitRestored& event);
  void handle(const RecoveryCompleted& event);

  Unit* find(UnitId unit);
  void ignore(UnitId unit, const char* rule);
  Turn turn_of(Unit& unit) { return {.unit = unit, .now = now, .orders = orders, .is_hurrying = is_hurrying}; }
  void give_turn(Trigger trigger, const Turn& turn);
  template <class Change>
  void change(Unit& unit, Change&& how);
  void tell_main(Trigger trigger, SpawnKey key, const ProcessExited* exited = nullptr, const SpawnFailed* failed = nullptr);
  Unit* unit_in_run(Trigger trigger, RunKey key);
  bool is_unrecorded(const RunKey& key);
  void take_over_unrecorded();
  void adopt(Unit& unit, const RunKey& key, const Found& run);

  void request(const JobRequested& job);
  void install(Unit& unit, const JobRequested& job);
  void pull_wanted(const Unit& unit);
  void finish(JobId job, UnitId unit, JobResult result);
  [[nodiscard]] bool is_in_order(const Unit& unit) const;
  void wake_around(UnitId unit);
  void give_jobs_their_turns();
  void hand_out(ActionList& actions);
};

// ── Turns ──

Unit* Engine::State::find(UnitId unit) {
  const auto found = units.find(unit);
  return found == units.end() ? nullptr : &found->second;
}

void Engine::State::ignore(UnitId unit, const char* rule) {
  ++ignored;
  orders.announcements.push_back(AnnounceIgnored{unit, rule});
}

/// Everything that changes a record goes through here: what depends on records is brought up to date in one place.
template <class Change>
void Engine::State::change(Unit& unit, Change&& how) {
  const UnitRecord before = unit.record;
  how();
  const UnitRecord& after = unit.record;
  if (after == before) return;

  if (!std::exchange(unit.changed, true)) changed.push_back({&unit, before});
  if (after.deadline != before.deadline) {
    if (before.deadline != base::Instant{}) deadlines.erase({before.deadline, before.unit});
    if (after.deadline != base::Instant{}) deadlines.emplace(after.deadline, after.unit);
  }
  const bool had_job = before.job != no_job;
  const bool has_job = after.job != no_job;
  if (has_job && !had_job) ++jobs_in_flight;
  if (had_job && !has_job) --jobs_in_flight;
  if ((had_job && !has_job) || (is_being_stopped(before) && !is_being_stopped(after))) wake_around(after.unit);
  if (has_job) waiting.push_back(after.unit);
}

void Engine::State::give_turn(Trigger trigger, const Turn& turn) {
  change(turn.unit, [&] {
    if (const char* rule = take_turn(trigger, turn)) ignore(turn.unit.record.unit, rule);
  });
}

// ── Facts ──

/// The unit, if the fact is about its present run. What is known about other runs is said here: one that is over is watched until
/// it is empty and then released (its release may never have been carried out); one that nobody ordered is taken over in a
/// recovery, where it means that the journal was lost.
Unit* Engine::State::unit_in_run(Trigger trigger, RunKey key) {
  Unit* unit = find(key.unit);
  if (unit == nullptr) {
    ignore(key.unit, unit_not_loaded);
    return nullptr;
  }
  if (key.run == unit->record.run && key.run != 0) return unit;

  const bool is_old = key.run != 0 && key.run < unit->record.run;
  ignore(key.unit, is_old ? old_run : unknown_run);
  if (!is_old) return nullptr;
  if (trigger == Trigger::RunEmptied) orders.releases.push_back(ReleaseRun{key});
  if (trigger == Trigger::ProcessStarted || trigger == Trigger::ProcessExited) orders.processes.push_back(WatchRun{key});
  return nullptr;
}

/// A run that the journal does not know of: kept until all of them are known, since only the newest can be the present one.
bool Engine::State::is_unrecorded(const RunKey& key) {
  const Unit* unit = find(key.unit);
  return is_recovering && unit != nullptr && key.run > unit->record.run;
}

void Engine::State::take_over_unrecorded() {
  for (auto next = unrecorded.begin(); next != unrecorded.end(); ++next) {
    const auto& [key, run] = *next;
    orders.processes.push_back(WatchRun{key});
    const auto newer = std::next(next);
    if (newer != unrecorded.end() && newer->first.unit == key.unit) continue;
    adopt(*find(key.unit), key, run);
  }
  unrecorded.clear();
}

void Engine::State::adopt(Unit& unit, const RunKey& key, const Found& run) {
  change(unit, [&] {
    UnitRecord& r = unit.record;
    if (r.run != 0) orders.processes.push_back(WatchRun{{key.unit, r.run}});
    r.run = key.run;
    r.spawn = run.spawn;
    if (run.spawn == 0) return;  // what is left of it is its number, which no other run may get
    orders.announcements.push_back(AnnounceState{key.unit, r.state, ServiceState::Running, ServiceResult::Success});
    r.state = ServiceState::Running;
    r.result = ServiceResult::Success;
    r.main_running = r.main_executed = true;
    r.main_ended = r.retry_spawn = false;
    r.state_since = r.last_start = now;
    r.deadline = base::Instant{};
    unit.emptied = false;
    unit.evidence = Evidence::Told;
  });
  if (run.exited) handle(*run.exited);
}

void Engine::State::tell_main(Trigger trigger, SpawnKey key, const ProcessExited* exited, const SpawnFailed* failed) {
  if (is_unrecorded(key.run_key())) {
    Found& run = unrecorded[key.run_key()];
    if (trigger == Trigger::ProcessStarted || trigger == Trigger::ProcessExited) run.spawn = key.spawn;
    if (exited != nullptr) run.exited = *exited;
    return;
  }
  Unit* unit = unit_in_run(trigger, key.run_key());
  if (unit == nullptr) return;
  if (key.spawn != unit->record.spawn) return ignore(key.unit, other_spawn);
  Turn turn = turn_of(*unit);
  if (exited != nullptr) {
    turn.exit = exited->exit;
    turn.setup_failed = exited->setup_failed;
  }
  if (failed != nullptr) turn.problem = failed->problem;
  give_turn(trigger, turn);
}

void Engine::State::handle(const ProcessStarted& event) { tell_main(Trigger::ProcessStarted, event.key); }
void Engine::State::handle(const ProgramExecuted& event) { tell_main(Trigger::ProgramExecuted, event.key); }
void Engine::State::handle(const ProcessExited& event) { tell_main(Trigger::ProcessExited, event.key, &event); }
void Engine::State::handle(const SpawnFailed& event) { tell_main(Trigger::SpawnFailed, event.key, nullptr, &event); }

void Engine::State::handle(const RunEmptied& event) {
  if (is_unrecorded(event.run)) {
    unrecorded[event.run];
    return;
  }
  if (Unit* unit = unit_in_run(Trigger::RunEmptied, event.run)) give_turn(Trigger::RunEmptied, turn_of(*unit));
}

void Engine::State::handle(const DeadlinePassed&) {
  if (is_recovering) return;
  std::vector<UnitId> due;
  for (const auto& [instant, unit] : deadlines) {
    if (instant > now) break;
    due.push_back(unit);
  }
  for (const UnitId unit : due) {
    // A turn before this one may have changed what this unit waits for.
    const base::Instant deadline = units.at(unit).record.deadline;
    if (deadline != base::Instant{} && deadline <= now) give_turn(Trigger::DeadlinePassed, turn_of(units.at(unit)));
  }
}

// ── Jobs ──

void Engine::State::finish(JobId job, UnitId unit, JobResult result) {
  if (job != no_job && job != unasked_job) orders.answers.push_back(FinishJob{job, unit, result});
}

void Engine::State::handle(const JobRequested& event) { request(event); }

void Engine::State::handle(const JobsRequested& event) {
  for (const JobRequested& job : event.jobs) request(job);
}

/// The jobs are put in flight; their turns come after all of them are, so that each sees what it has to wait for.
void Engine::State::request(const JobRequested& job) {
  Unit* unit = find(job.unit);
  if (unit == nullptr || is_shutting_down || job.job == no_job || job.job == unasked_job)
    return finish(job.job, job.unit, JobResult::Refused);
  const std::vector<JobId>& merged = unit->merged_jobs;
  if (unit->record.job == job.job || std::find(merged.begin(), merged.end(), job.job) != merged.end())
    return ignore(job.unit, known_job);
  install(*unit, job);
  if (job.type != JobType::Stop) pull_wanted(*unit);
}

void Engine::State::install(Unit& unit, const JobRequested& job) {
  change(unit, [&] {
    UnitRecord& r = unit.record;
    if (r.job == no_job) {
      r.job = job.job;
      r.job_type = job.type;
      return;
    }
    const JobMerge merge = merge_jobs(r.job_type, job.type);
    r.job_type = merge.type;
    if (merge.cancels) {
      finish(r.job, r.unit, JobResult::Canceled);
      for (const JobId old : unit.merged_jobs) finish(old, r.unit, JobResult::Canceled);
      unit.merged_jobs.clear();
      r.job = job.job;
    } else if (r.job == unasked_job) {
      r.job = job.job;
    } else if (job.job != unasked_job) {
      unit.merged_jobs.push_back(job.job);
    }
  });
  waiting.push_back(unit.record.unit);
}

/// Wants=: a start for each that is at rest, and for what these want. One that is being stopped is left alone: somebody wants that.
void Engine::State::pull_wanted(const Unit& unit) {
  std::deque<const Unit*> todo{&unit};
  while (!todo.empty()) {
    const Unit& next = *todo.front();
    todo.pop_front();
    for (const UnitId id : next.settings.wants) {
      Unit* wanted = find(id);
      if (wanted == nullptr || wanted->record.job != no_job || !is_inactive(wanted->record.state)) continue;
      install(*wanted, unasked(JobType::Start, id));
      todo.push_back(wanted);
    }
  }
}

/// Whoever starts waits for every job of the units it comes after; whoever is to be stopped goes before those it comes after.
bool Engine::State::is_in_order(const Unit& unit) const {
  const auto is_stopped_first = [&](UnitId follower) {
    const auto found = units.find(follower);
    return found != units.end() && is_being_stopped(found->second.record);
  };
  const auto has_job = [&](UnitId predecessor) {
    const auto found = units.find(predecessor);
    return found != units.end() && found->second.record.job != no_job;
  };
  const auto followers = ordering.followers(unit.record.unit);
  if (std::any_of(followers.begin(), followers.end(), is_stopped_first)) return false;
  if (is_being_stopped(unit.record)) return true;
  const auto predecessors = ordering.predecessors(unit.record.unit);
  return std::none_of(predecessors.begin(), predecessors.end(), has_job);
}

void Engine::State::wake_around(UnitId unit) {
  const auto wake = [&](UnitId neighbour) {
    const auto found = units.find(neighbour);
    if (found != units.end() && found->second.record.job != no_job) waiting.push_back(neighbour);
  };
  for (const UnitId follower : ordering.followers(unit)) wake(follower);
  for (const UnitId predecessor : ordering.predecessors(unit)) wake(predecessor);
}

/// Ends, because a turn either leaves the record as it is or brings its job nearer to its end.
void Engine::State::give_jobs_their_turns() {
  if (is_recovering) return;
  while (!waiting.empty()) {
    Unit& unit = units.at(waiting.front());
    waiting.pop_front();
    if (unit.record.job == no_job) continue;
    Turn turn = turn_of(unit);
    turn.in_order = is_in_order(unit);
    give_turn(trigger_of(unit.record.job_type), turn);
  }
}

// ── Units, shutdown, recovery ──

void Engine::State::handle(const UnitLoaded& event) {
  if (event.unit == no_unit) return ignore(event.unit, unit_not_loaded);
  Unit& unit = units[event.unit];
  unit.record.unit = event.unit;
  unit.settings = event.settings;
  const auto dropped = ordering.set_predecessors(event.unit, event.settings.after);
  for (std::size_t i = 0; i < dropped.size(); ++i) ignore(event.unit, ordering_cycle);
  // Jobs that waited for what is no longer so would wait for ever.
  if (unit.record.job != no_job) waiting.push_back(event.unit);
  wake_around(event.unit);
}

void Engine::State::handle(const FailureReset& event) {
  Unit* unit = find(event.unit);
  if (unit == nullptr) return ignore(event.unit, unit_not_loaded);
  change(*unit, [&] {
    UnitRecord& r = unit->record;
    r.starts_in_window = 0;
    r.window_began = base::Instant{};
    if (r.state != ServiceState::Failed) return;
    r.result = ServiceResult::Success;
    r.restarts = 0;
    orders.announcements.push_back(AnnounceState{r.unit, r.state, ServiceState::Dead, r.result});
    r.state = ServiceState::Dead;
    r.state_since = now;
  });
}

void Engine::State::handle(const ShutdownRequested&) {
  is_hurrying = is_shutting_down;
  is_shutting_down = true;
  for (auto& entry : units) {
    Unit& unit = entry.second;
    UnitRecord& r = unit.record;
    if (!is_inactive(r.state)) install(unit, unasked(JobType::Stop, r.unit));
    change(unit, [&] {
      if (is_inactive(r.state) && r.job != no_job) {
        finish(std::exchange(r.job, no_job), r.unit, JobResult::Canceled);
        for (const JobId job : std::exchange(unit.merged_jobs, {})) finish(job, r.unit, JobResult::Canceled);
        r.job_type = JobType::Start;
      }
      const bool is_in_grace = r.state == ServiceState::StopSigterm || r.state == ServiceState::FinalSigterm;
      if (is_hurrying && is_in_grace && (r.deadline == base::Instant{} || r.deadline > now)) r.deadline = now;
    });
  }
}

void Engine::State::handle(const UnitRestored& event) {
  Unit* unit = find(event.record.unit);
  if (unit == nullptr) return ignore(event.record.unit, unit_not_loaded);
  if (!is_recovering) return ignore(event.record.unit, not_in_recovery);
  change(*unit, [&] {
    unit->record = event.record;
    unit->evidence = Evidence::Pending;
  });
  unit->changed = false;
  changed.clear();  // the journal has it
}

void Engine::State::handle(const RecoveryCompleted&) {
  if (!is_recovering) return ignore(no_unit, not_in_recovery);
  is_recovering = false;
  take_over_unrecorded();
  for (auto& [id, unit] : units) give_turn(Trigger::Recovered, turn_of(unit));
}

// ── The step ──

void Engine::State::hand_out(ActionList& actions) {
  for (const auto& [unit, before] : changed) {
    unit->changed = false;
    // A job that came and was done in one step leaves no trace.
    if (unit->record != before) actions.emplace_back(RecordUnit{unit->record});
  }
  base::clear_burst(changed);
  for (ActionList* list : {&orders.processes, &orders.answers, &orders.releases, &orders.announcements}) {
    actions.insert(actions.end(), list->begin(), list->end());
    base::clear_burst(*list);
  }
  const bool has_stopped = is_shutting_down && !is_recovering && jobs_in_flight == 0;
  if (has_stopped && !std::exchange(all_stopped, true)) actions.emplace_back(AnnounceAllStopped{});
}

Engine::Engine() : state_(std::make_unique<State>()) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::step(base::Instant now, const Event& event, ActionList& actions) {
  state_->now = now;
  std::visit([&](const auto& fact) { state_->handle(fact); }, event);
  state_->give_jobs_their_turns();
  state_->hand_out(actions);
}

std::optional<base::Instant> Engine::next_deadline() const {
  if (state_->is_recovering || state_->deadlines.empty()) return std::nullopt;
  return state_->deadlines.begin()->first;
}

const UnitRecord* Engine::record(UnitId unit) const {
  const Unit* found = state_->find(unit);
  return found == nullptr ? nullptr : &found->record;
}

bool Engine::has_job(JobId job) const {
  return std::any_of(state_->units.begin(), state_->units.end(), [job](const auto& entry) {
    const Unit& unit = entry.second;
    const auto& merged = unit.merged_jobs;
    return unit.record.job == job || std::find(merged.begin(), merged.end(), job) != merged.end();
  });
}

std::vector<UnitRecord> Engine::snapshot() const {
  std::vector<UnitRecord> records;
  records.reserve(state_->units.size());
  for (const auto& [id, unit] : state_->units) records.push_back(unit.record);
  return records;
}

std::uint64_t Engine::ignored() const noexcept { return state_->ignored; }

}  // namespace perdure::core
