#include "checks.hpp"

#include <algorithm>
#include <csignal>

#include <fmt/format.h>

#include "core/print.hpp"
#include "core/service_machine.hpp"

namespace perdure::simulation {
namespace {

using core::KillMode;
using core::ServiceState;

bool may_leave_behind(const core::ServiceSettings& s) {
  return s.kill_mode == KillMode::Process || s.kill_mode == KillMode::None ||
         (s.kill_mode == KillMode::Mixed && !s.send_sigkill);
}
bool is_stopping(ServiceState state) {
  return state == ServiceState::StopSigterm || state == ServiceState::StopSigkill || state == ServiceState::FinalSigterm ||
         state == ServiceState::FinalSigkill;
}

}  // namespace

void Checks::job_requested(Instant now, const core::JobRequested& job) {
  open_jobs_.insert(job.job);
  all_jobs_[job.job] = job;
  if (job.type == core::JobType::Start) return;
  wishes_[job.unit].last_asked = now;
  if (job.type == core::JobType::Stop) wishes_[job.unit].may_be_down = true;
}

void Checks::exited(const core::SpawnKey& key, const core::Exit& exit) { exits_.emplace(key.run_key(), exit); }
void Checks::exit_forgotten(const core::SpawnKey& key) { exits_[key.run_key()] = core::Exit{}; }

void Checks::journal_lost(core::UnitId unit) {
  journal_.erase(unit);
  wishes_.erase(unit);
  windows_.erase(unit);
  forgotten_.insert(unit);
  newest_run_[unit] = 0;
  for (const auto& [key, run] : machine_.runs())
    if (key.unit == unit) newest_run_[unit] = std::max(newest_run_[unit], key.run);
  const auto is_beyond = [&](const auto& entry) { return entry.first.unit == unit && entry.first.run > newest_run_[unit]; };
  std::erase_if(exits_, is_beyond);
  std::erase_if(recorded_exits_, is_beyond);
  std::erase_if(grace_began_, is_beyond);
}

void Checks::order(Instant now, const core::Action& action, const core::Engine& engine) {
  if (const auto* record = std::get_if<core::RecordUnit>(&action)) return recorded(now, record->record);
  if (const auto* spawn = std::get_if<core::SpawnProcess>(&action)) return spawning(spawn->key);
  if (const auto* send = std::get_if<core::SendSignal>(&action))
    return signalling(now, send->key.run_key(), send->target, send->signal, engine);
  if (const auto* kill = std::get_if<core::KillRun>(&action))
    return signalling(now, kill->run, core::SignalTarget::All, SIGKILL, engine);
  if (const auto* release = std::get_if<core::ReleaseRun>(&action)) return released(release->run);
  if (const auto* finish = std::get_if<core::FinishJob>(&action)) {
    if (all_jobs_.count(finish->job) == 0) return complain(fmt::format("job {} was never asked for", finish->job));
    if (open_jobs_.erase(finish->job) == 0) complain(fmt::format("job {} is finished twice", finish->job));
    const bool was_stop = all_jobs_.at(finish->job).type == core::JobType::Stop;
    if (was_stop && finish->result == core::JobResult::Canceled) wishes_[finish->unit].must_be_down = false;
    return;
  }
  if (std::holds_alternative<core::AnnounceAllStopped>(action)) all_stopped(engine);
}

void Checks::recorded(Instant now, const core::UnitRecord& record) {
  const core::UnitId unit = record.unit;
  const core::ServiceSettings& s = settings(unit);
  const core::UnitRecord before = journal_.count(unit) != 0 ? journal_.at(unit) : core::UnitRecord{.unit = unit};
  journal_[unit] = record;

  // I3: the exit is recorded as it was, and never otherwise.
  const auto exit_recorded = [&](std::uint64_t run, const core::Exit& exit) {
    const core::RunKey key{unit, run};
    const auto truth = exits_.find(key);
    if (truth == exits_.end())
      return complain(fmt::format("I3: run {}/{} has not ended, and its exit is recorded", unit, run));
    if (truth->second != exit)
      return complain(
          fmt::format("I3: run {}/{} ended with {}, recorded is {}", unit, run, to_text(truth->second), to_text(exit)));
    recorded_exits_[key] = exit;
  };
  const bool is_new_run = record.run > before.run;
  if (record.main_ended) exit_recorded(record.run, record.last_exit);

  if (const core::RunKey last{unit, before.run};
      is_new_run && exits_.count(last) != 0 && recorded_exits_.count(last) == 0 && s.kill_mode != KillMode::None)
    exit_recorded(before.run, record.last_exit);  // end and next start in one record

  if (record.starts_in_window == 0) windows_.erase(unit);
  Wish& wish = wishes_[unit];
  if (record.job != core::no_job) {
    wish.must_be_down = record.job_type == core::JobType::Stop;
    if (wish.must_be_down) wish.may_be_down = true;
  } else if (record.state == ServiceState::Running) {
    wish.must_be_down = false;
  }
  if (!is_new_run) return;
  if (wish.must_be_down && record.job == core::no_job)
    complain(fmt::format("I8: unit {} is to be stopped, and is restarted", unit));
  wish.must_be_down = false;
  if (wish.last_asked < record.last_start) wish.may_be_down = false;  // else the stop may have come in the same instant
  if (record.state != ServiceState::Start) return;                    // taken over after the journal was lost

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

void Checks::spawning(const core::SpawnKey& key) {
  const auto recorded = journal_.find(key.unit);
  if (recorded == journal_.end() || recorded->second.run != key.run || recorded->second.spawn != key.spawn)
    return complain(fmt::format("intent before effect: {}/{}/{} is spawned and not recorded", key.unit, key.run, key.spawn));
  if (machine_.table().count(key) != 0) return;
  // I1
  std::uint64_t& newest = newest_run_[key.unit];
  if (key.run < newest) complain(fmt::format("I1: run {}/{} comes after run {}", key.unit, key.run, newest));
  newest = key.run;
  const core::ServiceSettings& s = settings(key.unit);
  for (const auto& [other, run] : machine_.runs()) {
    if (other.unit != key.unit || other.run == key.run || run.is_empty()) continue;
    if (!may_leave_behind(s)) return complain(fmt::format("I1: run {}/{} is populated still", other.unit, other.run));
    if (s.kill_mode != KillMode::None && run.is_main_alive())
      return complain(fmt::format("I1: the main process of run {}/{} lives still", other.unit, other.run));
  }
}

void Checks::signalling(Instant now, const core::RunKey& key, core::SignalTarget target, int number,
                        const core::Engine& engine) {
  const core::UnitRecord* record = engine.record(key.unit);
  if (record == nullptr || key.run > record->run)
    return complain(fmt::format("I5: run {}/{} is nobody's", key.unit, key.run));
  const Run* run = machine_.run(key);
  if (run == nullptr || run->is_empty()) return;
  const core::ServiceSettings& s = settings(key.unit);
  if (number == SIGKILL && !s.send_sigkill) return complain(fmt::format("I5: unit {} is not to be killed", key.unit));
  if (s.kill_mode == KillMode::None) return complain(fmt::format("I5: unit {} is not to be signalled", key.unit));
  if (s.kill_mode == KillMode::Process && target == core::SignalTarget::All)
    return complain(fmt::format("I5: what run {}/{} leaves behind is not to be signalled", key.unit, key.run));
  if (!run->is_main_alive()) return;
  const core::UnitRecord& recorded = journal_[key.unit];
  const bool was_wanted = wishes_[key.unit].last_asked >= recorded.last_start || shutdowns_ > 0;
  const bool was_late = s.timeout_start && now >= recorded.last_start + *s.timeout_start;
  if (!run->was_stopped && !was_wanted && !was_late)
    return complain(fmt::format("I5: run {}/{} is healthy, and nobody asked for its end", key.unit, key.run));
  if (number != SIGKILL) {
    if (recorded.state_since == now) grace_began_.emplace(key, now);
    return;
  }
  // I9: the grace period is granted.
  const auto grace = grace_began_.find(key);
  if (grace != grace_began_.end() && shutdowns_ < 2 && (!s.timeout_stop || now < grace->second + *s.timeout_stop))
    complain(fmt::format("I9: run {}/{} is killed before TimeoutStopSec= is over", key.unit, key.run));
}

void Checks::released(const core::RunKey& key) {
  if (!machine_.is_empty(key)) return complain(fmt::format("run {}/{} is released and populated", key.unit, key.run));
  if (settings(key.unit).kill_mode == KillMode::None || forgotten_.count(key.unit) != 0) return;
  if (exits_.count(key) != 0 && recorded_exits_.count(key) == 0)
    complain(fmt::format("I3: run {}/{} is released before its exit is recorded", key.unit, key.run));
}

void Checks::all_stopped(const core::Engine& engine) {
  for (const auto& [key, run] : machine_.runs()) {
    if (run.is_empty() || may_leave_behind(settings(key.unit))) continue;
    if (!is_stopping(engine.record(key.unit)->state))
      complain(fmt::format("run {}/{} lives after the stop", key.unit, key.run));
  }
}

void Checks::deadlines(const core::Engine& engine) {
  std::optional<Instant> earliest;
  for (const core::UnitRecord& record : engine.snapshot()) {
    if (record.deadline == Instant{}) continue;
    if (!earliest || record.deadline < *earliest) earliest = record.deadline;
  }
  if (earliest != engine.next_deadline()) complain("I9: a deadline is lost, or one is kept that no record names");
}

void Checks::at_rest(const core::Engine& engine) {
  const std::vector<core::UnitRecord> all = engine.snapshot();
  // What is not to be killed, or has no timeout, may hang for ever.
  const auto may_hang = [&](const core::UnitRecord& r) {
    const core::ServiceSettings& s = settings(r.unit);
    if (machine_.is_empty({r.unit, r.run})) return false;
    return is_stopping(r.state) ? !s.send_sigkill || !s.timeout_stop : r.state == ServiceState::Start && !s.timeout_start;
  };
  const bool one_hangs = std::any_of(all.begin(), all.end(), may_hang);
  for (const core::UnitRecord& r : all) {
    const core::ServiceSettings& s = settings(r.unit);
    const core::RunKey present{r.unit, r.run};
    const bool is_alive = !machine_.is_empty(present);

    if (may_hang(r)) continue;
    const std::string unit = core::to_text(r);
    if (r.job != core::no_job) {
      if (!one_hangs) complain("I8: a job never ends: " + unit);  // otherwise it may wait for that one
      continue;
    }
    switch (r.state) {
      case ServiceState::Running:
        if (const Run* run = machine_.run(present); run == nullptr || !run->is_main_alive())
          complain("I15: running, it says, and is not: " + unit);
        if (wishes_[r.unit].must_be_down || shutdowns_ > 0) complain("I8: to be stopped, and runs: " + unit);
        break;
      case ServiceState::Dead:
      case ServiceState::Failed:
        if (is_alive && !may_leave_behind(s)) complain("I15: at rest, it says, and processes live: " + unit);
        if (r.state == ServiceState::Dead && !wishes_[r.unit].may_be_down && shutdowns_ == 0 && r.run != 0 &&
            s.restart == core::RestartWhen::Always && s.restart_prevent_status.codes.empty())
          complain("I15: Restart=always, wanted, and dead: " + unit);
        break;
      default: complain("I15: neither running nor at rest: " + unit);
    }
  }
  for (const auto& [key, entry] : machine_.table())
    if (machine_.is_empty(key.run_key())) complain(fmt::format("run {}/{} is over and never released", key.unit, key.run));
  if (!is_restored_ && !one_hangs && !open_jobs_.empty())
    complain(fmt::format("job {} was never finished", *open_jobs_.begin()));
}

}  // namespace perdure::simulation
