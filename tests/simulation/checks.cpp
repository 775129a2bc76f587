#include "checks.hpp"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "core/print.hpp"
#include "core/service_machine.hpp"

namespace perdure::simulation {
namespace {

using core::CommandPhase;
using core::KillMode;
using core::ServiceState;
using core::ServiceType;
using Settings = core::ServiceSettings;

constexpr std::vector<core::UnitId> Settings::*pulls[] = {&Settings::wants,    &Settings::requires_,  &Settings::binds_to,
                                                          &Settings::upholds,  &Settings::on_failure, &Settings::on_success,
                                                          &Settings::requisite};
/// Through these, one unit's end or start may be another one's end.
constexpr std::vector<core::UnitId> Settings::*ties[] = {&Settings::requires_, &Settings::requisite,  &Settings::binds_to,
                                                         &Settings::part_of,   &Settings::conflicts,  &Settings::wants,
                                                         &Settings::upholds,   &Settings::on_failure, &Settings::on_success};

bool may_leave_behind(const Settings& s) {
  return s.kill_mode == KillMode::Process || s.kill_mode == KillMode::None ||
         (s.kill_mode == KillMode::Mixed && !s.send_sigkill);
}
bool is_signalled(ServiceState state) {
  return state == ServiceState::StopSigterm || state == ServiceState::StopSigkill || state == ServiceState::FinalSigterm ||
         state == ServiceState::FinalSigkill || state == ServiceState::StopWatchdog;
}
bool is_starting(ServiceState state) {
  return state == ServiceState::Condition || state == ServiceState::StartPre || state == ServiceState::Start ||
         state == ServiceState::StartPost || state == ServiceState::AutoRestart;
}
std::string text(const core::SpawnKey& key) { return fmt::format("{}/{}/{}", key.unit, key.run, key.spawn); }

}  // namespace

const std::set<core::UnitId>& Checks::related_to(core::UnitId unit) {
  if (const auto known = related_.find(unit); known != related_.end()) return known->second;
  std::set<core::UnitId> all{unit};
  for (bool grows = true; grows;) {
    const std::size_t before = all.size();
    for (const auto& [id, s] : settings_)
      for (const auto tie : ties)
        for (const core::UnitId other : s.*tie)
          if (settings_.count(other) != 0 && (all.count(id) != 0 || all.count(other) != 0)) all.insert({id, other});
    grows = all.size() > before;
  }
  return related_[unit] = all;
}

/// A start or restart of it may bring these up.
std::set<core::UnitId> Checks::pulled_in_by(core::UnitId unit) const {
  std::set<core::UnitId> all{unit};
  for (bool grows = true; grows;) {
    const std::size_t before = all.size();
    for (const auto& [id, s] : settings_) {
      for (const auto pull : pulls)
        for (const core::UnitId other : s.*pull)
          if (all.count(id) != 0) all.insert(other);
      // A restart takes those along that depend on it.
      for (const auto tie : {&Settings::requires_, &Settings::binds_to, &Settings::part_of, &Settings::requisite})
        for (const core::UnitId other : s.*tie)
          if (all.count(other) != 0) all.insert(id);
    }
    grows = all.size() > before;
  }
  return all;
}

/// Something has happened to the unit that may be another one's end.
void Checks::concerns(Instant now, core::UnitId unit) {
  for (const core::UnitId id : related_to(unit)) wishes_[id].last_asked = now;
}

void Checks::job_requested(Instant now, const core::JobRequested& job) {
  open_jobs_.insert(job.job);
  all_jobs_[job.job] = {job, ++requests_};
  if (settings_.count(job.unit) == 0) return;
  if (job.type == core::JobType::Start || job.type == core::JobType::Restart || job.type == core::JobType::TryRestart)
    for (const core::UnitId id : pulled_in_by(job.unit)) wishes_[id].pulled = requests_;
  if (job.type == core::JobType::Start) {
    for (const core::UnitId id : related_to(job.unit))
      if (id != job.unit) wishes_[id].last_asked = now;
    return;
  }
  if (job.type == core::JobType::Reload) return;
  concerns(now, job.unit);
  if (job.type != core::JobType::Stop) return;
  for (const core::UnitId id : related_to(job.unit)) wishes_[id].may_be_down = true;
}

void Checks::exited(Instant now, const core::SpawnKey& key, const core::Exit& exit) {
  exits_.emplace(key, exit);
  troubled_.emplace(key.run_key(), now);
  if (!is_by_itself(key.unit)) concerns(now, key.unit);
}
void Checks::spawn_failed(Instant now, const core::SpawnKey& key) {
  troubled_.emplace(key.run_key(), now);
  if (!is_by_itself(key.unit)) concerns(now, key.unit);
}
void Checks::exit_forgotten(const core::SpawnKey& key) {
  exits_[key] = core::Exit{};
  troubled_.emplace(key.run_key(), Instant{});
}
void Checks::notified(const core::Notified& message) {
  if (message.asks_to_be_ended || message.watchdog || message.is_stopping) asked_to_end_.insert(message.run);
}

void Checks::journal_lost(core::UnitId unit) {
  journal_.erase(unit);
  for (const core::UnitId id : related_to(unit)) {
    wishes_.erase(id);
    forgotten_.insert(id);
  }
  windows_.erase(unit);
  newest_run_[unit] = 0;
  for (const auto& [key, entry] : machine_.table())
    if (key.unit == unit) newest_run_[unit] = std::max(newest_run_[unit], key.run);
  const auto is_beyond = [&](const auto& entry) { return entry.first.unit == unit && entry.first.run > newest_run_[unit]; };
  std::erase_if(exits_,
                [&](const auto& exit) { return exit.first.unit == unit && machine_.table().count(exit.first) == 0; });
  std::erase_if(grace_began_, is_beyond);
  std::erase_if(lives_, is_beyond);
  std::erase_if(intents_, is_beyond);
  std::erase_if(troubled_, is_beyond);
  std::erase_if(recorded_exits_, [&](const auto& key) { return key.unit == unit && key.run > newest_run_[unit]; });
  std::erase_if(asked_to_end_, [&](const auto& key) { return key.unit == unit && key.run > newest_run_[unit]; });
}

void Checks::order(Instant now, const core::Action& action, const core::Engine& engine) {
  if (const auto* record = std::get_if<core::RecordUnit>(&action)) return recorded(now, record->record);
  if (const auto* spawn = std::get_if<core::SpawnProcess>(&action)) return spawning(*spawn, engine);
  if (const auto* send = std::get_if<core::SendSignal>(&action))
    return signalling(now, send->key, send->target, send->signal, engine);
  if (const auto* kill = std::get_if<core::KillRun>(&action))
    return signalling(now, {kill->run.unit, kill->run.run, 0}, core::SignalTarget::All, SIGKILL, engine);
  if (const auto* release = std::get_if<core::ReleaseRun>(&action)) return released(release->run);
  if (const auto* release = std::get_if<core::ReleaseProcess>(&action)) return released(release->key);
  if (const auto* finish = std::get_if<core::FinishJob>(&action)) {
    if (all_jobs_.count(finish->job) == 0) return complain(fmt::format("job {} was never asked for", finish->job));
    if (open_jobs_.erase(finish->job) == 0) complain(fmt::format("job {} is finished twice", finish->job));
    const Asked& asked = all_jobs_.at(finish->job);
    if (finish->result == core::JobResult::Canceled) wishes_[finish->unit].may_be_down = true;  // its stop may have begun
    if (asked.job.type != core::JobType::Stop) return;
    if (finish->result == core::JobResult::Done) wishes_[finish->unit].held = asked.number;
    else if (finish->result != core::JobResult::Timeout) wishes_[finish->unit].must_be_down = false;
    return;
  }
  if (std::holds_alternative<core::AnnounceAllStopped>(action)) all_stopped(engine);
}

// ── Records ──

void Checks::recorded(Instant now, const core::UnitRecord& record) {
  const core::UnitId unit = record.unit;
  const core::UnitRecord before = journal_.count(unit) != 0 ? journal_.at(unit) : core::UnitRecord{.unit = unit};
  journal_[unit] = record;
  recorded_at_[unit] = now;
  const bool has_job_ended = before.job != core::no_job && record.job == core::no_job;
  if (!is_by_itself(unit) && core::is_inactive(record.state) && (has_job_ended || !core::is_inactive(before.state)))
    concerns(now, unit);
  const bool is_new_run = record.run > before.run;
  const core::RunKey present{unit, record.run};

  // I3: the exit is recorded as it was, and never otherwise.
  const auto exit_recorded = [&](const core::SpawnKey& key, const core::Exit& exit) {
    const auto truth = exits_.find(key);
    if (truth == exits_.end()) return complain(fmt::format("I3: {} has not ended, and its exit is recorded", text(key)));
    if (truth->second != exit && forgotten_.count(unit) == 0)
      return complain(fmt::format("I3: {} ended with {}, recorded is {}", text(key), to_text(truth->second), to_text(exit)));
    recorded_exits_.insert(key);
  };
  if (record.main_ended) exit_recorded({unit, record.run, record.spawn}, record.last_exit);
  const bool is_next_main = is_new_run || (record.spawn > before.spawn && settings(unit).type == ServiceType::Oneshot);
  if (const core::SpawnKey last{unit, before.run, before.spawn}; is_next_main && exits_.count(last) != 0 &&
                                                                 recorded_exits_.count(last) == 0 &&
                                                                 settings(unit).kill_mode != KillMode::None)
    exit_recorded(last, record.last_exit);  // end and next start in one record
  if (is_new_run && before.run != 0) run_ended(before, before.run);

  Life& life = lives_[present];
  life.main = record.spawn;
  if (core::is_up(record.state)) life.was_up = true;
  if (record.control != 0 && record.phase == CommandPhase::StopPost) life.had_stop_post = true;
  if (record.control != 0) intents_[{unit, record.run, record.control}] = {record.phase, record.command, false};
  else if (record.spawn != 0)
    intents_.emplace(core::SpawnKey{unit, record.run, record.spawn}, Intent{CommandPhase::Start, record.command, true});

  if (record.starts_in_window == 0) windows_.erase(unit);
  Wish& wish = wishes_[unit];
  if (record.job != core::no_job) {
    wish.must_be_down = record.job_type == core::JobType::Stop;
    if (wish.must_be_down) wish.may_be_down = true;
  } else if (core::is_up(record.state)) {
    wish.must_be_down = false;
  }
  if (is_new_run) return run_began(now, before, record);
  const bool rests = core::is_inactive(record.state) || record.state == ServiceState::AutoRestart;
  const bool rested = core::is_inactive(before.state) || before.state == ServiceState::AutoRestart;
  if (rests && !rested && record.run != 0) run_ended(record, record.run);
}

/// `record`: the one before, where the next run has begun in the same step.
void Checks::run_ended(const core::UnitRecord& record, std::uint64_t run) {
  const core::RunKey key{record.unit, run};
  if (forgotten_.count(record.unit) != 0) return;
  // I18: whatever was begun is cleared away by ExecStopPost=.
  const Life& life = lives_[key];
  if (has(record.unit, CommandPhase::StopPost) && life.started_anything && !life.had_stop_post)
    complain(fmt::format("I18: run {}/{} is over, and ExecStopPost= was not run", key.unit, key.run));
}

void Checks::run_began(Instant now, const core::UnitRecord& before, const core::UnitRecord& record) {
  const core::UnitId unit = record.unit;
  const Settings& s = settings(unit);
  Wish& wish = wishes_[unit];
  if (wish.must_be_down && record.job == core::no_job &&
      record.restarts != 0)  // a start by a job may come and go in one step
    complain(fmt::format("I8: unit {} is to be stopped, and is restarted", unit));
  wish.must_be_down = false;
  if (wish.last_asked < record.last_start) wish.may_be_down = false;  // else the stop may have come in the same instant
  if (forgotten_.count(unit) != 0) return;
  // I21: what a person stopped stays down, until a person asks for something that needs it.
  if (wish.held && wish.pulled < *wish.held) {
    const auto has_it_as_follower = [unit](const auto& entry) {
      const auto names = [unit](const auto& list) { return std::find(list.begin(), list.end(), unit) != list.end(); };
      return names(entry.second.on_failure) || names(entry.second.on_success);
    };
    if (std::none_of(settings_.begin(), settings_.end(), has_it_as_follower))
      complain(fmt::format("I21: unit {} was stopped by a person, and comes up by itself", unit));
  }
  wish.held.reset();
  // I6: no more starts in a window than allowed.
  Window& window = windows_[unit];
  if (s.start_limit_burst != 0 && s.start_limit_interval > Duration::zero()) {
    if (window.starts == 0 || record.last_start - window.began > s.start_limit_interval) window = {record.last_start, 0};
    if (++window.starts > s.start_limit_burst) complain(fmt::format("I6: unit {} is started too often", unit));
  }
  // I9: an automatic restart waits as long as it should.
  if (record.restarts == before.restarts + 1) {
    const bool waited = before.state == ServiceState::AutoRestart ? now >= before.state_since + s.restart_sec
                                                                  : s.restart_sec == Duration::zero();
    if (!waited) complain(fmt::format("I9: unit {} is restarted before RestartSec= is over", unit));
  }
}

// ── Processes ──

void Checks::spawning(const core::SpawnProcess& order, const core::Engine& engine) {
  const core::SpawnKey& key = order.key;
  const auto recorded = journal_.find(key.unit);
  if (recorded == journal_.end() || recorded->second.run < key.run ||
      (recorded->second.run == key.run && recorded->second.last_spawn < key.spawn))
    return complain(fmt::format("intent before effect: {} is spawned and not recorded", text(key)));
  if (machine_.table().count(key) != 0) return;
  // I16: what a process is for was recorded before it is started; its number means one process, for ever.
  const auto intent = intents_.find(key);
  const bool is_known = intent != intents_.end() && intent->second.is_main == order.is_main &&
                        (order.is_main || intent->second.phase == order.phase) && intent->second.command == order.command;
  if (!is_known && forgotten_.count(key.unit) == 0)
    return complain(fmt::format("I16: {} is spawned, and what for is not recorded", text(key)));
  if (exits_.count(key) != 0 && forgotten_.count(key.unit) == 0)
    return complain(fmt::format("I16: {} has ended already, and is started again", text(key)));
  // I1
  std::uint64_t& newest = newest_run_[key.unit];
  if (key.run < newest && forgotten_.count(key.unit) == 0)
    complain(fmt::format("I1: run {}/{} comes after run {}", key.unit, key.run, newest));
  const bool is_first = key.run > newest;
  newest = key.run;
  const Settings& s = settings(key.unit);
  for (const auto& [other, run] : machine_.runs()) {
    if (other.unit != key.unit || other.run == key.run || run.is_empty() || forgotten_.count(key.unit) != 0) continue;
    if (!may_leave_behind(s)) return complain(fmt::format("I1: run {}/{} is populated still", other.unit, other.run));
    if (s.kill_mode != KillMode::None && run.is_main_alive() && untracked_.count({other.unit, other.run, 0}) == 0)
      return complain(fmt::format("I1: the main process of run {}/{} lives still", other.unit, other.run));
  }
  if (is_first) requirements(recorded->second, engine);
  lives_[key.run_key()].started_anything = true;
  order.is_main ? starting_main(key) : starting_control(order);
}

void Checks::starting_main(const core::SpawnKey& key) {
  const Run* const run = machine_.run(key.run_key());
  if (run != nullptr && run->is_main_alive() && forgotten_.count(key.unit) == 0)
    complain(fmt::format("I1: {} is started as main process beside a living one", text(key)));
}

void Checks::starting_control(const core::SpawnProcess& order) {
  const core::SpawnKey& key = order.key;
  const Run* const present = machine_.run(key.run_key());
  if (present != nullptr && settings(key.unit).kill_mode != KillMode::None && forgotten_.count(key.unit) == 0)
    for (const Process& p : present->processes) {
      const core::SpawnKey other{key.unit, key.run, p.spawn};
      if (p.role != Role::Control || !p.is_alive || p.spawn == 0) continue;
      complain(fmt::format("I16: {} is started beside the control process {}", text(key), text(other)));
    }
  Life& life = lives_[key.run_key()];
  if (order.phase != CommandPhase::Stop || life.was_up || forgotten_.count(key.unit) != 0) return;
  // I17: ExecStop= is for what was up; without being seen up once, only what was up and down again within one batch of news.
  const Settings& s = settings(key.unit);
  const bool was_up_in_passing = s.type == ServiceType::Oneshot || s.type == ServiceType::Simple ||
                                 s.type == ServiceType::Idle || s.type == ServiceType::Exec ||
                                 s.type == ServiceType::Forking || (present != nullptr && present->was_ready);
  if (!was_up_in_passing) complain(fmt::format("I17: ExecStop= of run {}/{} is run, which was never up", key.unit, key.run));
}

/// I20: nothing is started by a job while what it requires, and comes after, has failed.
void Checks::requirements(const core::UnitRecord& record, const core::Engine& engine) {
  if (record.restarts != 0 || forgotten_.count(record.unit) != 0) return;
  const Settings& s = settings(record.unit);
  for (const auto list : {&Settings::requires_, &Settings::binds_to})
    for (const core::UnitId other : s.*list) {
      const core::UnitRecord* const r = engine.record(other);
      const bool is_after = std::find(s.after.begin(), s.after.end(), other) != s.after.end();
      if (r == nullptr || !is_after || forgotten_.count(other) != 0) continue;
      if (r->state == ServiceState::Failed && r->job == core::no_job && recorded_at_[other] < record.last_start)
        complain(fmt::format("I20: unit {} is started, and {} that it requires has failed", record.unit, other));
    }
}

void Checks::signalling(Instant now, const core::SpawnKey& process, core::SignalTarget target, int number,
                        const core::Engine& engine) {
  const core::RunKey key = process.run_key();
  const core::UnitRecord* record = engine.record(key.unit);
  if (record == nullptr || key.run > record->run)
    return complain(fmt::format("I5: run {}/{} is nobody's", key.unit, key.run));
  const Run* run = machine_.run(key);
  if (run == nullptr || run->is_empty()) return;
  const Settings& s = settings(key.unit);
  const core::UnitRecord& recorded = journal_[key.unit];
  const auto entry = machine_.table().find(process);
  const bool is_at_control =
      target == core::SignalTarget::Process && entry != machine_.table().end() && entry->second.role == Role::Control;
  if (is_at_control && number == SIGKILL) {
    const bool is_over = recorded.run != key.run;                                               // decided in the same round
    if (is_over || (s.timeout_start && now >= recorded.last_start + *s.timeout_start)) return;  // of a reload that hangs
  }
  if (number == SIGKILL && !s.send_sigkill) return complain(fmt::format("I5: unit {} is not to be killed", key.unit));
  if (s.kill_mode == KillMode::None) return complain(fmt::format("I5: unit {} is not to be signalled", key.unit));
  if (s.kill_mode == KillMode::Process && target == core::SignalTarget::All)
    return complain(fmt::format("I5: what run {}/{} leaves behind is not to be signalled", key.unit, key.run));
  if (!run->is_main_alive()) return;
  // Because of one whose job came and went in a step, or whose end is the end of everything.
  const auto ends_all = [](const auto& known) {
    return known.second.is_essential || known.second.start_limit_action != core::EmergencyAction::None;
  };
  const bool may_be_taken_along = !is_by_itself(key.unit) || std::any_of(settings_.begin(), settings_.end(), ends_all);
  const bool is_taken_along = may_be_taken_along && recorded.stop_wanted;
  const bool was_wanted = wishes_[key.unit].last_asked >= recorded.last_start || shutdowns_ > 0 || is_taken_along;
  const bool was_late = (s.timeout_start && now >= recorded.last_start + *s.timeout_start) ||
                        (s.runtime_max && now >= recorded.last_start + *s.runtime_max) ||
                        (s.watchdog && now >= recorded.last_start + *s.watchdog);
  const bool had_reason = was_late || troubled_.count(key) != 0 || asked_to_end_.count(key) != 0;
  if (!run->was_stopped && !was_wanted && !had_reason && forgotten_.count(key.unit) == 0)
    return complain(fmt::format("I5: run {}/{} is healthy, and nobody asked for its end", key.unit, key.run));
  if (number != SIGKILL) {
    if (recorded.state_since == now) grace_began_.emplace(key, now);
    return;
  }
  // I9: the grace period is granted.
  const auto grace = grace_began_.find(key);
  const auto granted = !s.timeout_stop    ? s.timeout_abort
                       : !s.timeout_abort ? s.timeout_stop
                                          : std::min(s.timeout_stop, s.timeout_abort);
  if (grace != grace_began_.end() && shutdowns_ < 2 && forgotten_.count(key.unit) == 0 &&
      (!granted || now < grace->second + *granted))
    complain(fmt::format("I9: run {}/{} is killed before TimeoutStopSec= is over", key.unit, key.run));
}

// ── Ends ──

void Checks::released(const core::RunKey& key) {
  if (forgotten_.count(key.unit) != 0) return;
  if (!machine_.is_empty(key)) return complain(fmt::format("run {}/{} is released and populated", key.unit, key.run));
  if (settings(key.unit).kill_mode == KillMode::None) return;
  const core::SpawnKey main{key.unit, key.run, lives_[key].main};
  if (exits_.count(main) != 0 && recorded_exits_.count(main) == 0)
    complain(fmt::format("I3: run {}/{} is released before its exit is recorded", key.unit, key.run));
}

void Checks::released(const core::SpawnKey& key) {
  if (machine_.is_alive(key)) return complain(fmt::format("I3: {} lives, and is acknowledged", text(key)));
  const core::UnitRecord& record = journal_[key.unit];
  if (record.run == key.run && record.control == key.spawn)
    complain(fmt::format("I3: {} is acknowledged before its end is recorded", text(key)));
  if (record.run == key.run && record.spawn == key.spawn && !record.main_ended)
    complain(fmt::format("I3: {} is acknowledged before its exit is recorded", text(key)));
}

void Checks::all_stopped(const core::Engine& engine) {
  for (const auto& [key, run] : machine_.runs()) {
    if (run.is_empty() || may_leave_behind(settings(key.unit)) || forgotten_.count(key.unit) != 0) continue;
    if (!is_signalled(engine.record(key.unit)->state))
      complain(fmt::format("run {}/{} lives after the stop", key.unit, key.run));
  }
}

void Checks::between_steps(const core::Engine& engine) {
  std::optional<Instant> earliest;
  for (const core::UnitRecord& record : engine.snapshot()) {
    for (const Instant deadline : {record.deadline, record.watchdog})
      if (deadline != Instant{} && (!earliest || deadline < *earliest)) earliest = deadline;
    // I22: what required something that has failed hears so.
    if (record.job == core::no_job || record.job_type != core::JobType::Start || !core::is_inactive(record.state)) continue;
    for (const auto list : {&Settings::requires_, &Settings::binds_to})
      for (const core::UnitId other : settings(record.unit).*list) {
        const core::UnitRecord* const r = engine.record(other);
        if (r != nullptr && r->state == ServiceState::Failed && r->job == core::no_job && forgotten_.count(other) == 0)
          complain(fmt::format("I22: unit {} waits to be started, and {} that it requires has failed", record.unit, other));
      }
  }
  if (earliest != engine.next_deadline()) complain("I9: a deadline is lost, or one is kept that no record names");
}

void Checks::at_rest(const core::Engine& engine) {
  const std::vector<core::UnitRecord> all = engine.snapshot();
  // What is not to be killed, or has no timeout, may hang for ever.
  const auto may_hang = [&](const core::UnitRecord& r) {
    const Settings& s = settings(r.unit);
    if (machine_.is_empty({r.unit, r.run})) return false;
    if (is_signalled(r.state)) return !s.send_sigkill || !s.timeout_stop || !s.timeout_abort;
    if (r.state == ServiceState::Stop || r.state == ServiceState::StopPost) return !s.timeout_stop;
    return (is_starting(r.state) || r.state == ServiceState::Reload) && !s.timeout_start;
  };
  const bool one_hangs = std::any_of(all.begin(), all.end(), may_hang);
  for (const core::UnitRecord& r : all) {
    const Settings& s = settings(r.unit);
    const core::RunKey present{r.unit, r.run};
    const bool is_alive = !machine_.is_empty(present);

    if (may_hang(r)) continue;
    const std::string unit = core::to_text(r);
    if (r.job != core::no_job) {
      if (!one_hangs) complain("I8: a job never ends: " + unit);  // otherwise it may wait for that one
      continue;
    }
    switch (r.state) {
      case ServiceState::Running: {
        const Run* run = machine_.run(present);
        const bool is_there =
            r.spawn == 0 || forgotten_.count(r.unit) != 0 ? is_alive : run != nullptr && run->is_main_alive();
        if (!is_there) complain("I15: running, it says, and is not: " + unit);
        [[fallthrough]];
      }
      case ServiceState::Exited:
      case ServiceState::Active:
        if (wishes_[r.unit].must_be_down || shutdowns_ > 0) complain("I8: to be stopped, and runs: " + unit);
        break;
      case ServiceState::Dead:
      case ServiceState::Failed:
        if (is_alive && !may_leave_behind(s)) complain("I15: at rest, it says, and processes live: " + unit);
        if (r.state == ServiceState::Dead && !wishes_[r.unit].may_be_down && shutdowns_ == 0 && r.run != 0 &&
            is_by_itself(r.unit) && !s.has_conditions && s.restart == core::RestartWhen::Always &&
            s.restart_prevent_status.codes.empty() && r.result == core::ServiceResult::Success &&
            forgotten_.count(r.unit) == 0)
          complain("I15: Restart=always, wanted, and dead: " + unit);
        break;
      default: complain("I15: neither running nor at rest: " + unit);
    }
  }
  if (!one_hangs) relations_at_rest(engine);
  const auto is_up_without_process = [&](const core::RunKey& run) {
    const core::UnitRecord* const r = engine.record(run.unit);
    return r->run == run.run && r->state == ServiceState::Exited;
  };
  for (const auto& [key, entry] : machine_.table())
    if (machine_.is_empty(key.run_key()) && !is_up_without_process(key.run_key()))
      complain(fmt::format("run {}/{} is over and never released", key.unit, key.run));
  if (!is_restored_ && !one_hangs && !open_jobs_.empty())
    complain(fmt::format("job {} was never finished", *open_jobs_.begin()));
}

void Checks::relations_at_rest(const core::Engine& engine) {
  if (shutdowns_ > 0) return;
  const auto is_up = [&](core::UnitId unit) {
    const core::UnitRecord* const r = engine.record(unit);
    return r != nullptr && core::is_up(r->state);
  };
  for (const auto& [id, s] : settings_) {
    if (!is_up(id) || forgotten_.count(id) != 0) continue;
    for (const core::UnitId other : s.binds_to)
      if (other != id && settings_.count(other) != 0 && !is_up(other) && forgotten_.count(other) == 0)
        complain(fmt::format("I23: unit {} is up, and {} that it is bound to is not", id, other));
    for (const core::UnitId other : s.conflicts)
      if (other != id && is_up(other) && forgotten_.count(other) == 0)
        complain(fmt::format("I24: units {} and {} conflict, and both are up", id, other));
  }
}

}  // namespace perdure::simulation
