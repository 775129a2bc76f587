#include "core/engine.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <utility>

#include "base/buffer.hpp"
#include "core/job_merge.hpp"
#include "core/ordering.hpp"
#include "core/relations.hpp"
#include "core/service_machine.hpp"
#include "core/transaction.hpp"

namespace perdure::core {
namespace {

constexpr const char* unit_not_loaded = "the unit is not loaded";
constexpr const char* unknown_run = "a run that was never ordered";
constexpr const char* old_run = "an old run";
constexpr const char* other_spawn = "another process of the run";
constexpr const char* known_job = "the job is in flight already";
constexpr const char* started_since = "another process was started in it since";
constexpr const char* no_such_job = "no such job is in flight";
constexpr const char* not_in_recovery = "the recovery is over";

JobRequested unasked(JobType type, UnitId unit) { return {.job = unasked_job, .type = type, .unit = unit}; }

Trigger trigger_of(JobType type) {
  switch (type) {
    case JobType::Stop: return Trigger::StopWanted;
    case JobType::Restart:
    case JobType::TryRestart: return Trigger::RestartWanted;
    case JobType::Reload: return Trigger::ReloadWanted;
    case JobType::Start: break;
  }
  return Trigger::StartWanted;
}

/// The earlier one of a unit's deadlines; the epoch: none.
base::Instant due_at(const UnitRecord& record) {
  if (record.deadline == base::Instant{}) return record.watchdog;
  if (record.watchdog == base::Instant{}) return record.deadline;
  return std::min(record.deadline, record.watchdog);
}

/// 0 … 1, the same for the same run of the same unit of the same instance (the finisher of splitmix64).
double chance_of(std::uint64_t seed, const UnitRecord& record) {
  std::uint64_t bits = seed + (record.run + 1) * 0x9e3779b97f4a7c15ULL + record.unit;
  bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
  return static_cast<double>((bits ^ (bits >> 31)) >> 11) * 0x1.0p-53;
}

/// At rest, it means the end of everything: essential, or over a start limit with StartLimitAction=.
bool ends_the_instance(const Unit& unit) {
  const UnitRecord& r = unit.record;
  if (!is_inactive(r.state) || r.job != no_job || r.run == 0) return false;
  const bool is_over_limit = r.result == ServiceResult::StartLimitHit;
  return unit.settings.is_essential || (is_over_limit && unit.settings.start_limit_action != EmergencyAction::None);
}

/// Its end means that a start did not lead to anything.
bool has_failed(JobResult result) { return result != JobResult::Done && result != JobResult::Skipped; }

}  // namespace

/// One step: an event is translated into turns of units, a turn may give other units their turn, and what they ordered is
/// handed out in the end, records first.
struct Engine::State {
  Units units{};
  Relations relations{};
  Ordering ordering{};
  std::set<std::pair<base::Instant, UnitId>> deadlines{};
  std::size_t jobs_in_flight = 0;
  std::uint64_t ignored = 0;
  std::uint64_t seed = 0;
  bool is_recovering = true;
  bool is_shutting_down = false;
  bool was_told_to_stop = false;  ///< as opposed to what an essential unit's end means, which a recovery finds out by itself
  bool is_hurrying = false;
  std::optional<base::Duration> stop_within{};
  std::optional<StopLimit> limit{};  ///< of the stop of everything that goes on
  bool all_stopped = false;          ///< was announced

  /// What a recovery told of a run that is in no record: its processes, with their ends.
  using Found = std::map<std::uint32_t, std::optional<ProcessExited>>;
  std::map<RunKey, Found> unrecorded{};

  // Within a step; empty between steps.
  base::Instant now{};
  Orders orders{};
  struct Changed {
    Unit* unit = nullptr;
    UnitRecord before{};
  };
  std::vector<Changed> changed{};
  std::deque<UnitId> waiting{};                         ///< units whose job gets a turn
  std::deque<JobRequested> follow_ups{};                ///< what follows from what became of units
  std::deque<std::pair<UnitId, JobResult>> failures{};  ///< units that did not come up, and why
  std::set<std::pair<UnitId, JobType>> followed{};      ///< what was among follow_ups in this step

  void handle(const UnitLoaded& event);
  void handle(const JobRequested& event);
  void handle(const JobsRequested& event);
  void handle(const JobCanceled& event);
  void handle(const ConditionsChecked& event);
  void handle(const MainFound& event);
  void handle(const MainMissing& event);
  void handle(const Notified& event);
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
  Turn turn_of(Unit& unit) {
    return {.unit = unit,
            .now = now,
            .orders = orders,
            .is_hurrying = is_hurrying,
            .limit = limit ? &*limit : nullptr,
            .others_wait = limit && is_waited_for(unit),
            .chance = chance_of(seed, unit.record)};
  }
  void give_turn(Trigger trigger, const Turn& turn);
  template <class Change>
  void change(Unit& unit, Change&& how);
  enum class News : std::uint8_t { Started, NotStarted, Executed, Exited };
  void tell_process(News news, SpawnKey key, const ProcessExited* exited = nullptr, const SpawnFailed* failed = nullptr);
  void tell_run(Trigger trigger, RunKey run, const Notified* message = nullptr);
  Unit* unit_in_run(Trigger trigger, RunKey key, std::uint32_t spawn = 0);
  static bool is_last_of(Unit& unit, const RunKey& key, std::uint32_t spawn);
  bool is_unrecorded(const RunKey& key);
  void take_over_unrecorded();
  void adopt(Unit& unit, const RunKey& key, const Found& run);

  void request(std::span<const JobRequested> requests);
  void install(Unit& unit, const JobRequested& job);
  void react(const UnitRecord& before, Unit& unit);
  void fail_dependents(UnitId unit, JobResult result);
  void follow(JobType type, UnitId unit);
  void end_job(Unit& unit, JobResult result);
  [[nodiscard]] bool has_failed_requirement(const Unit& unit) const;
  void end_instance(const Unit& unit);
  void shut_down(base::Instant began);
  void finish(JobId job, UnitId unit, JobResult result);
  [[nodiscard]] bool is_in_order(const Unit& unit) const;
  [[nodiscard]] bool is_waited_for(const Unit& unit) const;
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
  if (due_at(after) != due_at(before)) {
    if (due_at(before) != base::Instant{}) deadlines.erase({due_at(before), before.unit});
    if (due_at(after) != base::Instant{}) deadlines.emplace(due_at(after), after.unit);
  }
  const bool had_job = before.job != no_job;
  const bool has_job = after.job != no_job;
  if (has_job && !had_job) ++jobs_in_flight;
  if (had_job && !has_job) --jobs_in_flight;
  if ((had_job && !has_job) || (is_being_stopped(before) && !is_being_stopped(after))) wake_around(after.unit);
  if (has_job) waiting.push_back(after.unit);
  react(before, unit);
}

/// What becomes of one unit concerns others.
void Engine::State::react(const UnitRecord& before, Unit& unit) {
  const auto ended = std::exchange(unit.ended_job, std::nullopt);
  const UnitRecord& r = unit.record;
  const bool has_failed_to_start = ended && has_failed(*ended) && before.job_type != JobType::Stop &&
                                   before.job_type != JobType::Reload && !is_up(r.state);
  const bool has_failed_now = r.state == ServiceState::Failed && before.state != r.state && r.job == no_job;
  if (has_failed_to_start) failures.emplace_back(r.unit, *ended);
  else if (has_failed_now) failures.emplace_back(r.unit, JobResult::Failed);
  if (is_shutting_down || (r.state == before.state && !ended)) return;

  const RelatedUnits& related = relations.of(r.unit);
  const auto may_come_up = [this](UnitId id) {
    const Unit* const other = find(id);
    return other != nullptr && other->record.job == no_job && is_inactive(other->record.state) &&
           !other->record.is_held_down;
  };
  if (is_up(r.state) && !is_up(before.state)) {
    for (const std::vector<UnitId>* const list : {&related.required_by, &related.bound_by, &related.requisite_of})
      for (const UnitId id : *list)
        if (may_come_up(id) && find(id)->record.is_blocked) follow(JobType::Start, id);
    for (const UnitId id : unit.settings.upholds)
      if (may_come_up(id)) follow(JobType::Start, id);
  }

  const bool is_pausing = r.state == ServiceState::AutoRestart && r.state != before.state;
  const bool has_ended = is_inactive(r.state) && !is_inactive(before.state);
  const bool has_stayed_down = is_inactive(r.state) && ended;  // whoever is bound to it did not wait for that
  if (!has_ended && !has_stayed_down && !is_pausing) return;
  if (!is_pausing && ends_the_instance(unit)) return end_instance(unit);
  // What is restarted by a job took along whom it concerns.
  const bool is_restarting = r.job != no_job && before.stop_wanted;
  const bool comes_back = is_pausing || r.job != no_job;
  for (const UnitId id : related.bound_by) {
    const Unit* const bound = find(id);
    if (bound != nullptr && bound->record.job != no_job) waiting.push_back(id);  // it may have to end
    if (bound == nullptr || is_inactive(bound->record.state) || is_being_stopped(bound->record) || is_restarting) continue;
    if (comes_back && bound->record.state == ServiceState::AutoRestart) continue;  // it pauses for reasons of its own
    follow(comes_back ? JobType::Restart : JobType::Stop, id);
  }
  if (!has_ended || r.job != no_job) return;
  const auto is_up_now = [this](UnitId id) {
    const Unit* const upholder = find(id);
    return upholder != nullptr && is_up(upholder->record.state);
  };
  const bool is_upheld = std::any_of(related.upheld_by.begin(), related.upheld_by.end(), is_up_now);
  if (is_upheld && !r.is_held_down) follow(JobType::Start, r.unit);
  if (r.state == ServiceState::Failed)
    for (const UnitId id : unit.settings.on_failure) follow(JobType::Start, id);
  if (r.state == ServiceState::Dead && r.was_up)
    for (const UnitId id : unit.settings.on_success) follow(JobType::Start, id);
}

/// A start that follows from something comes once per step, so that what would go round in a circle for ever, as a target that one
/// unit upholds and another one conflicts with, stays down. Stops always come: there are no more of them than of starts.
void Engine::State::follow(JobType type, UnitId unit) {
  if (type == JobType::Stop || followed.emplace(unit, type).second) follow_ups.push_back(unasked(type, unit));
}

/// Without a turn of the unit: what has begun goes on.
void Engine::State::end_job(Unit& unit, JobResult result) {
  UnitRecord& r = unit.record;
  if (r.job == no_job) return;
  finish(std::exchange(r.job, no_job), r.unit, result);
  for (const JobId job : std::exchange(unit.merged_jobs, {})) finish(job, r.unit, result);
  unit.ended_job = result;
}

/// Who requires the unit and has not begun to start will not.
void Engine::State::fail_dependents(UnitId failed, JobResult result) {
  const RelatedUnits& related = relations.of(failed);
  for (const std::vector<UnitId>* const list : {&related.required_by, &related.bound_by, &related.requisite_of}) {
    for (const UnitId id : *list) {
      Unit* const unit = find(id);
      if (unit == nullptr || unit->record.job == no_job || unit->record.job_type != JobType::Start) continue;
      if (!is_inactive(unit->record.state)) continue;
      change(*unit, [&] {
        unit->record.is_blocked = result != JobResult::Canceled;
        end_job(*unit, JobResult::Dependency);
      });
    }
  }
}

/// It failed while this unit had a start before it, but could not begin with it.
bool Engine::State::has_failed_requirement(const Unit& unit) const {
  const auto has_failed = [this](UnitId id) {
    const auto other = units.find(id);
    return other != units.end() && other->second.record.state == ServiceState::Failed && other->second.record.job == no_job;
  };
  const auto is_down = [this](UnitId id) {
    const auto other = units.find(id);
    return other != units.end() && is_inactive(other->second.record.state) && other->second.record.job == no_job;
  };
  const ServiceSettings& s = unit.settings;
  return std::any_of(s.requires_.begin(), s.requires_.end(), has_failed) ||
         std::any_of(s.binds_to.begin(), s.binds_to.end(), is_down);
}

void Engine::State::end_instance(const Unit& unit) {
  if (is_shutting_down) return;
  const EmergencyAction action =
      unit.record.result == ServiceResult::StartLimitHit ? unit.settings.start_limit_action : EmergencyAction::None;
  const EndCause cause = action == EmergencyAction::None ? EndCause::Essential : EndCause::StartLimitAction;
  orders.announcements.push_back(
      EndInstance{unit.record.unit, cause, unit.record.last_exit, action == EmergencyAction::ExitForce});
  shut_down(now);
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
Unit* Engine::State::unit_in_run(Trigger trigger, RunKey key, std::uint32_t spawn) {
  Unit* unit = find(key.unit);
  if (unit == nullptr) {
    ignore(key.unit, unit_not_loaded);
    return nullptr;
  }
  if (key.run == unit->record.run && key.run != 0) return unit;

  const bool is_old = key.run != 0 && key.run < unit->record.run;
  ignore(key.unit, is_old ? old_run : unknown_run);
  if (!is_old) return nullptr;
  if (trigger == Trigger::RunEmptied && is_last_of(*unit, key, spawn)) orders.releases.push_back(ReleaseRun{key});
  if (trigger == Trigger::MainStarted || trigger == Trigger::MainExited) orders.processes.push_back(WatchRun{key});
  return nullptr;
}

/// Whether nothing was started in the run after `spawn`; 0: the shell does not know. If so, the run is forgotten.
bool Engine::State::is_last_of(Unit& unit, const RunKey& key, std::uint32_t spawn) {
  const auto is_it = [&key](const SpawnKey& left) { return left.run_key() == key; };
  const auto left = std::find_if(unit.left_behind.begin(), unit.left_behind.end(), is_it);
  if (left == unit.left_behind.end()) return true;
  if (spawn != 0 && spawn < left->spawn) return false;
  unit.left_behind.erase(left);
  return true;
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

/// What its processes are for, nobody knows any more. The first one that lives is taken for the main process: commands before the
/// start have ended, and others come after it. Where none lives, the last one tells how it ended.
void Engine::State::adopt(Unit& unit, const RunKey& key, const Found& run) {
  auto main = std::find_if(run.begin(), run.end(), [](const auto& process) { return !process.second; });
  if (main == run.end() && !run.empty()) main = std::prev(run.end());
  change(unit, [&] {
    UnitRecord& r = unit.record;
    if (r.run != 0) orders.processes.push_back(WatchRun{{key.unit, r.run}});
    r.run = key.run;
    r.spawn = main == run.end() ? 0 : main->first;
    r.last_spawn = run.empty() ? 0 : run.rbegin()->first;
    r.control = r.former = 0;
    r.control_running = r.stop_wanted = false;
    if (main == run.end()) return;  // what is left of it is its number, which no other run may get
    orders.announcements.push_back(AnnounceState{key.unit, r.state, ServiceState::Running, ServiceResult::Success});
    r.state = ServiceState::Running;
    r.result = ServiceResult::Success;
    r.main_running = r.main_executed = true;
    r.main_ended = r.retry_spawn = false;
    r.was_up = r.is_populated = true;
    r.state_since = r.last_start = now;
    r.deadline = r.watchdog = base::Instant{};
    unit.emptied = false;
    unit.evidence = Evidence::Told;
  });
  if (main != run.end() && main->second) handle(*main->second);
}

void Engine::State::tell_process(News news, SpawnKey key, const ProcessExited* exited, const SpawnFailed* failed) {
  const bool tells_of_one = news == News::Started || news == News::Exited;
  if (is_unrecorded(key.run_key())) {
    Found& run = unrecorded[key.run_key()];
    if (tells_of_one) run.emplace(key.spawn, std::nullopt);
    if (exited != nullptr) run[key.spawn] = *exited;
    return;
  }
  const Trigger as_main[] = {Trigger::MainStarted, Trigger::MainNotStarted, Trigger::MainExecuted, Trigger::MainExited};
  const Trigger main = as_main[static_cast<std::size_t>(news)];
  Unit* unit = unit_in_run(main, key.run_key());
  if (unit == nullptr) return;
  const UnitRecord& r = unit->record;
  const bool is_control = r.control != 0 && key.spawn == r.control;
  if (!is_control && (key.spawn != r.spawn || r.spawn == 0)) {
    const bool is_former = r.former != 0 && key.spawn == r.former;
    if (is_former && exited != nullptr) change(*unit, [&] { unit->record.former = 0; });
    if (is_former && news == News::Started) unit->former_seen = true;
    if (exited != nullptr && key.spawn <= r.last_spawn) orders.releases.push_back(ReleaseProcess{key});
    return ignore(key.unit, other_spawn);
  }
  if (is_control && news == News::Executed) return ignore(key.unit, other_spawn);
  Turn turn = turn_of(*unit);
  if (exited != nullptr) {
    turn.exit = exited->exit;
    turn.setup_failed = exited->setup_failed;
    turn.out_of_memory = exited->out_of_memory;
  }
  if (failed != nullptr) turn.problem = failed->problem;
  if (!is_control) return give_turn(main, turn);
  give_turn(news == News::Started      ? Trigger::ControlStarted
            : news == News::NotStarted ? Trigger::ControlNotStarted
                                       : Trigger::ControlExited,
            turn);
}

void Engine::State::handle(const ProcessStarted& event) { tell_process(News::Started, event.key); }
void Engine::State::handle(const ProgramExecuted& event) { tell_process(News::Executed, event.key); }
void Engine::State::handle(const ProcessExited& event) { tell_process(News::Exited, event.key, &event); }
void Engine::State::handle(const SpawnFailed& event) { tell_process(News::NotStarted, event.key, nullptr, &event); }

/// Facts that mean something in the present run only.
void Engine::State::tell_run(Trigger trigger, RunKey run, const Notified* message) {
  Unit* const unit = find(run.unit);
  if (unit == nullptr) return ignore(run.unit, unit_not_loaded);
  if (run.run != unit->record.run || run.run == 0)
    return ignore(run.unit, run.run < unit->record.run ? old_run : unknown_run);
  Turn turn = turn_of(*unit);
  turn.message = message;
  give_turn(trigger, turn);
}
void Engine::State::handle(const MainFound& event) { tell_run(Trigger::MainFound, event.run); }
void Engine::State::handle(const MainMissing& event) { tell_run(Trigger::MainMissing, event.run); }
void Engine::State::handle(const Notified& event) { tell_run(Trigger::Notified, event.run, &event); }

void Engine::State::handle(const ConditionsChecked& event) {
  Unit* const unit = find(event.unit);
  if (unit == nullptr) return ignore(event.unit, unit_not_loaded);
  Turn turn = turn_of(*unit);
  turn.in_order = is_in_order(*unit);
  turn.verdict = event.verdict;
  give_turn(Trigger::ConditionsChecked, turn);
}

void Engine::State::handle(const RunEmptied& event) {
  if (is_unrecorded(event.run)) {
    unrecorded[event.run];
    return;
  }
  Unit* const unit = unit_in_run(Trigger::RunEmptied, event.run, event.spawn);
  if (unit == nullptr) return;
  // What another manager ordered is on its way no more, and the shell may not know its number.
  if (event.spawn != 0 && event.spawn < unit->ordered) return ignore(event.run.unit, started_since);
  give_turn(Trigger::RunEmptied, turn_of(*unit));
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
    const base::Instant deadline = due_at(units.at(unit).record);
    if (deadline != base::Instant{} && deadline <= now) give_turn(Trigger::DeadlinePassed, turn_of(units.at(unit)));
  }
}

// ── Jobs ──

void Engine::State::finish(JobId job, UnitId unit, JobResult result) {
  if (job != no_job && job != unasked_job) orders.answers.push_back(FinishJob{job, unit, result});
}

void Engine::State::handle(const JobRequested& event) {
  if (event.job != unasked_job) request({&event, 1});
}
void Engine::State::handle(const JobsRequested& event) {
  std::vector<JobRequested> jobs = event.jobs;
  std::erase_if(jobs, [](const JobRequested& job) { return job.job == unasked_job; });
  request(jobs);
}

/// One transaction for all of them. The jobs are put in flight; their turns come after all of them are, so that each sees what it
/// has to wait for.
void Engine::State::request(std::span<const JobRequested> requests) {
  const bool is_automatic = !requests.empty() && requests.front().job == unasked_job;
  Transaction transaction{units, relations, ordering,
                          is_automatic ? Transaction::Cause::Automatic : Transaction::Cause::Asked};
  std::vector<JobRequested> taken;
  for (JobRequested job : requests) {
    Unit* const unit = find(job.unit);
    if (unit == nullptr || is_shutting_down || job.job == no_job) {
      finish(job.job, job.unit, JobResult::Refused);
      continue;
    }
    const std::vector<JobId>& merged = unit->merged_jobs;
    const bool is_known = job.job != unasked_job &&
                          (unit->record.job == job.job || std::find(merged.begin(), merged.end(), job.job) != merged.end());
    if (is_known) {
      ignore(job.unit, known_job);
      continue;
    }
    const bool is_going = is_being_stopped(unit->record);
    const bool is_reload_impossible = job.type == JobType::Reload && (is_going || is_inactive(unit->record.state));
    if (job.type == JobType::TryRestart && (is_inactive(unit->record.state) || is_going)) {
      finish(job.job, job.unit, JobResult::Skipped);
      continue;
    }
    if (job.type == JobType::TryRestart) job.type = JobType::Restart;
    const auto problem = is_reload_impossible ? std::optional{JobResult::Failed} : transaction.add(job.unit, job.type);
    if (problem) {
      change(*unit, [&] { unit->record.is_blocked = unit->record.is_blocked || *problem == JobResult::Dependency; });
      finish(job.job, job.unit, *problem);
      continue;
    }
    taken.push_back(job);
  }
  for (const std::vector<UnitId>& cycle : transaction.cycles()) orders.announcements.push_back(AnnounceCycle{cycle});
  std::set<UnitId> asked_for;
  for (const JobRequested& job : taken) {
    install(units.at(job.unit), job);
    asked_for.insert(job.unit);
  }
  for (const auto& [id, type] : transaction.jobs())
    if (!asked_for.contains(id)) install(units.at(id), unasked(type, id));
}

void Engine::State::install(Unit& unit, const JobRequested& job) {
  change(unit, [&] {
    UnitRecord& r = unit.record;
    if (job.job != unasked_job) r.is_held_down = job.type == JobType::Stop;
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

/// What has begun goes on; only nobody waits for it any more.
void Engine::State::handle(const JobCanceled& event) {
  for (auto& entry : units) {
    Unit& unit = entry.second;
    UnitRecord& r = unit.record;
    if (const auto merged = std::find(unit.merged_jobs.begin(), unit.merged_jobs.end(), event.job);
        merged != unit.merged_jobs.end()) {
      unit.merged_jobs.erase(merged);
      return finish(event.job, r.unit, JobResult::Canceled);
    }
    if (event.job == no_job || event.job == unasked_job || r.job != event.job) continue;
    return change(unit, [&] {
      const JobType type = r.job_type;
      end_job(unit, JobResult::Canceled);
      if (!is_shutting_down) return;
      r.job = unasked_job;  // everything is to stop, whoever waits for it
      r.job_type = type;
      unit.ended_job.reset();
    });
  }
  ignore(no_unit, no_such_job);
}

/// Whoever starts waits for every job of the units it comes after, and for the end of those it conflicts with; whoever is to be
/// stopped goes before those it comes after. In a circle nobody waits with stopping.
bool Engine::State::is_in_order(const Unit& unit) const {
  const UnitId id = unit.record.unit;
  const auto is_stopping = [&](UnitId other) {
    const auto found = units.find(other);
    return found != units.end() && is_being_stopped(found->second.record);
  };
  const auto is_stopped_first = [&](UnitId follower) {
    return is_stopping(follower) && !ordering.are_in_circle(id, follower);
  };
  const auto has_job = [&](UnitId predecessor) {
    const auto found = units.find(predecessor);
    return found != units.end() && found->second.record.job != no_job;
  };
  const auto followers = ordering.followers(id);
  if (is_being_stopped(unit.record)) return std::none_of(followers.begin(), followers.end(), is_stopped_first);
  if (std::any_of(followers.begin(), followers.end(), is_stopping)) return false;
  const std::vector<UnitId>& conflicts = unit.settings.conflicts;
  const std::vector<UnitId>& conflicted = relations.of(id).conflicted_by;
  if (std::any_of(conflicts.begin(), conflicts.end(), is_stopping)) return false;
  if (std::any_of(conflicted.begin(), conflicted.end(), is_stopping)) return false;
  const auto predecessors = ordering.predecessors(id);
  return std::none_of(predecessors.begin(), predecessors.end(), has_job);
}

/// A service that is to be stopped comes before this unit, directly or with targets between them, and cannot go yet.
bool Engine::State::is_waited_for(const Unit& unit) const {
  std::set<UnitId> seen{unit.record.unit};
  for (std::vector<UnitId> left{unit.record.unit}; !left.empty();) {
    const UnitId id = left.back();
    left.pop_back();
    for (const UnitId predecessor : ordering.predecessors(id)) {
      const auto found = units.find(predecessor);
      const bool waits = found != units.end() && is_being_stopped(found->second.record) &&
                         !ordering.are_in_circle(id, predecessor) && seen.insert(predecessor).second;
      if (!waits) continue;
      if (found->second.settings.kind == UnitKind::Service) return true;
      left.push_back(predecessor);
    }
  }
  return false;
}

void Engine::State::wake_around(UnitId unit) {
  const auto wake = [&](UnitId neighbour) {
    const auto found = units.find(neighbour);
    if (found != units.end() && found->second.record.job != no_job) waiting.push_back(neighbour);
  };
  for (const UnitId follower : ordering.followers(unit)) wake(follower);
  for (const UnitId predecessor : ordering.predecessors(unit)) wake(predecessor);
  for (const UnitId other : units.at(unit).settings.conflicts) wake(other);
  for (const UnitId other : relations.of(unit).conflicted_by) wake(other);
}

/// Ends, because a turn either leaves the record as it is or brings its job nearer to its end, and starts that follow from that
/// come once.
void Engine::State::give_jobs_their_turns() {
  if (is_recovering) return;
  while (!failures.empty() || !waiting.empty() || !follow_ups.empty()) {
    if (!failures.empty()) {
      const auto [unit, result] = failures.front();
      failures.pop_front();
      fail_dependents(unit, result);
      continue;
    }
    if (waiting.empty()) {
      const std::vector<JobRequested> jobs(follow_ups.begin(), follow_ups.end());
      follow_ups.clear();
      for (const JobRequested& job : jobs) request({&job, 1});
      continue;
    }
    Unit& unit = units.at(waiting.front());
    waiting.pop_front();
    if (unit.record.job == no_job) continue;
    const bool begins = unit.record.job_type == JobType::Start && is_inactive(unit.record.state);
    if (begins && has_failed_requirement(unit)) {
      change(unit, [&] {
        unit.record.is_blocked = true;
        end_job(unit, JobResult::Dependency);
      });
      continue;
    }
    Turn turn = turn_of(unit);
    turn.in_order = is_in_order(unit);
    give_turn(trigger_of(unit.record.job_type), turn);
  }
  followed.clear();
}

// ── Units, shutdown, recovery ──

void Engine::State::handle(const UnitLoaded& event) {
  if (event.unit == no_unit) return ignore(event.unit, unit_not_loaded);
  Unit& unit = units[event.unit];
  unit.record.unit = event.unit;
  relations.replace(event.unit, unit.settings, event.settings);
  unit.settings = event.settings;
  ordering.set(event.unit, event.settings.after, event.settings.before);
  // Jobs that waited for what is no longer so would wait for ever, and so would those that wait for each other now.
  if (unit.record.job != no_job) waiting.push_back(event.unit);
  const auto is_waiting = [this](UnitId id) {
    const Unit* const other = find(id);
    return other != nullptr && other->record.job != no_job && other->record.job_type != JobType::Stop;
  };
  if (const std::vector<UnitId> cycle = ordering.find_cycle(is_waiting, event.unit); !cycle.empty()) {
    orders.announcements.push_back(AnnounceCycle{cycle});
    for (const UnitId id : cycle) {
      Unit& stuck = units.at(id);
      change(stuck, [&] { end_job(stuck, JobResult::Refused); });
    }
  }
  wake_around(event.unit);
}

void Engine::State::handle(const FailureReset& event) {
  Unit* unit = find(event.unit);
  if (unit == nullptr) return ignore(event.unit, unit_not_loaded);
  change(*unit, [&] {
    UnitRecord& r = unit->record;
    r.starts_in_window = 0;
    r.window_began = base::Instant{};
    r.short_lives = 0;
    r.is_blocked = false;
    if (r.state != ServiceState::Failed) return;
    r.result = ServiceResult::Success;
    r.restarts = 0;
    orders.announcements.push_back(AnnounceState{r.unit, r.state, ServiceState::Dead, r.result});
    r.state = ServiceState::Dead;
    r.state_since = now;
  });
}

void Engine::State::handle(const ShutdownRequested& event) {
  is_hurrying = std::exchange(was_told_to_stop, true);
  shut_down(event.began.value_or(now));
}

void Engine::State::shut_down(base::Instant began) {
  is_shutting_down = true;
  // The first of several requests counts.
  if (stop_within && *stop_within <= base::Instant::max() - began && (!limit || began < limit->began))
    limit = StopLimit{began, began + *stop_within / 10 * 9, began + *stop_within};
  follow_ups.clear();
  for (auto& entry : units) {
    Unit& unit = entry.second;
    UnitRecord& r = unit.record;
    if (!is_inactive(r.state)) install(unit, unasked(JobType::Stop, r.unit));
    change(unit, [&] {
      if (is_inactive(r.state) && r.job != no_job) {
        end_job(unit, JobResult::Canceled);
        r.job_type = JobType::Start;
      }
    });
  }
  for (auto& entry : units) {
    Unit& unit = entry.second;
    change(unit, [&] { hasten(turn_of(unit)); });
  }
}

void Engine::State::handle(const UnitRestored& event) {
  Unit* unit = find(event.record.unit);
  if (unit == nullptr) return ignore(event.record.unit, unit_not_loaded);
  if (!is_recovering) return ignore(event.record.unit, not_in_recovery);
  change(*unit, [&] {
    unit->record = event.record;
    unit->evidence = unit->control_evidence = Evidence::Pending;
  });
  unit->changed = false;
  changed.clear();  // the journal has it, and what followed from it was recorded with it
  failures.clear();
  follow_ups.clear();
  followed.clear();
}

void Engine::State::handle(const RecoveryCompleted& event) {
  if (!is_recovering) return ignore(no_unit, not_in_recovery);
  is_recovering = false;
  seed = event.seed;
  stop_within = event.stop_within;
  take_over_unrecorded();
  for (auto& [id, unit] : units) give_turn(Trigger::Recovered, turn_of(unit));
  // It was ordered, and nobody knows whether that was carried out.
  const auto last =
      std::find_if(units.begin(), units.end(), [](const auto& entry) { return ends_the_instance(entry.second); });
  if (last != units.end()) end_instance(last->second);
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
  if (!orders.cut_short.empty()) actions.emplace_back(AnnounceCutShort{std::exchange(orders.cut_short, {})});
  // A stop whose waiting is over, because its unit does not go, may still lead to ExecStopPost=.
  const auto has_command = [](const auto& entry) {
    return entry.second.record.state == ServiceState::Stop || entry.second.record.state == ServiceState::StopPost;
  };
  const bool has_stopped = is_shutting_down && !is_recovering && jobs_in_flight == 0 && !all_stopped &&
                           std::none_of(units.begin(), units.end(), has_command);
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

const ServiceSettings* Engine::settings(UnitId unit) const {
  const Unit* found = state_->find(unit);
  return found == nullptr ? nullptr : &found->settings;
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
