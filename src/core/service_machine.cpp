#include "core/service_machine.hpp"

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "core/ending.hpp"
#include "policy/service_restart.hpp"

namespace perdure::core {
namespace {

// ── Words that the transitions are made of ──

UnitRecord& record(Turn& t) { return t.unit.record; }
const UnitRecord& record(const Turn& t) { return t.unit.record; }
const ServiceSettings& settings(const Turn& t) { return t.unit.settings; }
SpawnKey main_key(const Turn& t) { return {t.unit.record.unit, t.unit.record.run, t.unit.record.spawn}; }
SpawnKey control_key(const Turn& t) { return {t.unit.record.unit, t.unit.record.run, t.unit.record.control}; }
RunKey run_key(const Turn& t) { return main_key(t).run_key(); }
const Commands& commands(const Turn& t, CommandPhase phase) { return settings(t).commands[static_cast<std::size_t>(phase)]; }
bool has(const Turn& t, CommandPhase phase) { return commands(t, phase).count > 0; }

/// The present main process was seen at some time.
bool is_main_seen(const Turn& t) { return record(t).main_running || record(t).main_ended; }
bool is_main_pending(const Turn& t) { return record(t).spawn != 0 && !is_main_seen(t); }
bool is_control_pending(const Turn& t) { return record(t).control != 0 && !record(t).control_running; }
/// No process of ours runs or is on its way; others may be left.
bool is_over(const Turn& t) {
  return record(t).control == 0 && !record(t).main_running && !is_main_pending(t) && !record(t).retry_spawn;
}

/// Durations from unit files reach centuries; an instant beyond what can be counted is none.
base::Instant later(base::Instant now, std::optional<base::Duration> duration) {
  if (!duration || *duration > base::Instant::max() - now) return base::Instant{};
  return now + *duration;
}
void arm(Turn& t, std::optional<base::Duration> duration) { record(t).deadline = later(t.now, duration); }
void disarm(Turn& t) { record(t).deadline = base::Instant{}; }
/// Sooner than it is armed for now, if that is later or never.
void arm_sooner(Turn& t, base::Instant instant) {
  if (base::Instant& deadline = record(t).deadline; deadline == base::Instant{} || instant < deadline) deadline = instant;
}
/// Under a limit: until when this unit may go on. Whoever is waited for leaves the others a third of the time, so that they hear of
/// the end as well before they are killed.
base::Instant latest_grace(const Turn& t) {
  const base::Instant last = t.limit->grace_end;
  const base::Instant since = std::max(record(t).state_since, t.limit->began);
  return t.others_wait && since < last ? since + (last - since) / 3 * 2 : last;
}
base::Instant limited(const Turn& t, base::Instant deadline) {
  if (t.limit == nullptr) return deadline;
  const base::Instant latest = latest_grace(t);
  return deadline == base::Instant{} ? latest : std::min(deadline, latest);
}
void arm_grace(Turn& t, std::optional<base::Duration> own) {
  record(t).deadline = limited(t, later(t.now, t.is_hurrying ? base::Duration::zero() : own));
}
void arm_grace(Turn& t) { arm_grace(t, settings(t).timeout_stop); }
void arm_kill(Turn& t) {
  arm(t, kill_patience);
  if (t.limit != nullptr) arm_sooner(t, std::max(t.limit->end, t.now + last_kill_patience));
}
void feed_watchdog(Turn& t) {
  const base::Duration span = record(t).watchdog_span;
  record(t).watchdog = span > base::Duration::zero() ? later(t.now, span) : base::Instant{};
}
void stop_watchdog(Turn& t) { record(t).watchdog = base::Instant{}; }

void enter(Turn& t, ServiceState to) {
  UnitRecord& r = record(t);
  if (r.state == to) return;
  t.orders.announcements.push_back(AnnounceState{r.unit, r.state, to, r.result});
  r.state = to;
  r.state_since = t.now;
}

/// The first failure is the one that counts.
void note_result(Turn& t, ServiceResult result) {
  if (record(t).result == ServiceResult::Success) record(t).result = result;
}
/// What the end of a process means, whichever it was.
ServiceResult meaning(const Turn& t) {
  if (t.out_of_memory && t.exit == Exit{ExitKind::Killed, SIGKILL}) return ServiceResult::OomKill;
  const ServiceResult result = result_of(t.exit, settings(t).success_status);
  // The code is the executor's, and SuccessExitStatus= speaks of the program's.
  if (t.setup_failed && t.exit.kind == ExitKind::Exited) return ServiceResult::ExitCode;
  return result;
}
bool is_ending(ServiceState state) {
  return state == ServiceState::StopWatchdog || state == ServiceState::StopSigterm || state == ServiceState::StopSigkill ||
         state == ServiceState::FinalSigterm || state == ServiceState::FinalSigkill;
}
/// The main process has ended; `is_ignored`: its command has the prefix "-".
void note_main_end(Turn& t, bool is_ignored = false) {
  UnitRecord& r = record(t);
  if (r.control == 0) r.retry_spawn = false;  // else it is about that one
  r.main_running = false;
  r.main_ended = r.is_populated = true;
  r.last_exit = t.exit;
  r.setup_failed = t.setup_failed;
  stop_watchdog(t);
  // An ending that nobody saw, after one was asked for, is taken for the one that was asked for.
  if (t.exit.kind == ExitKind::Unknown && is_ending(r.state)) return;
  if (!is_ignored) note_result(t, meaning(t));
}

void finish_job(Turn& t, JobResult result) {
  UnitRecord& r = record(t);
  if (r.job == no_job) return;
  if (r.job != unasked_job) t.orders.answers.push_back(FinishJob{r.job, r.unit, result});
  for (const JobId job : t.unit.merged_jobs) t.orders.answers.push_back(FinishJob{job, r.unit, result});
  t.unit.merged_jobs.clear();
  t.unit.ended_job = result;
  r.job = no_job;
  r.job_type = JobType::Start;
}
bool has_job(const Turn& t, JobType type) { return record(t).job != no_job && record(t).job_type == type; }
void finish_start(Turn& t, JobResult result) {
  if (has_job(t, JobType::Start) && !record(t).stop_wanted) finish_job(t, result);
}

void watch(Turn& t) { t.orders.processes.push_back(WatchRun{run_key(t)}); }
void send(Turn& t, const SpawnKey& key, SignalTarget target, int number) {
  t.orders.processes.push_back(SendSignal{key, target, number});
}

/// That nothing is left, and there will be none, is news that somebody has to wait for.
void find_main(Turn& t) {
  t.orders.processes.push_back(FindMain{run_key(t)});
  watch(t);
}

void order_control(Turn& t, CommandPhase phase, std::uint8_t command) {
  UnitRecord& r = record(t);
  r.control = t.unit.ordered = ++r.last_spawn;
  r.phase = phase;
  r.command = command;
  r.control_running = r.retry_spawn = false;
  t.unit.emptied = false;
  t.unit.control_evidence = Evidence::Told;
  t.orders.processes.push_back(SpawnProcess{control_key(t), phase, command, false});
}
void order_main(Turn& t, std::uint8_t command) {
  UnitRecord& r = record(t);
  r.spawn = t.unit.ordered = ++r.last_spawn;
  r.phase = CommandPhase::Start;
  r.command = command;
  r.main_running = r.main_executed = r.main_ended = r.retry_spawn = r.setup_failed = false;
  t.unit.emptied = false;
  t.unit.evidence = Evidence::Told;
  t.orders.processes.push_back(SpawnProcess{main_key(t), CommandPhase::Start, command, true});
}
/// The same command under a new number, after a start that failed for want of resources.
void order_again(Turn& t) {
  const UnitRecord& r = record(t);
  if (r.control != 0) order_control(t, r.phase, r.command);
  else order_main(t, r.command);
}
std::optional<base::Duration> patience(const Turn& t) {
  switch (record(t).state) {
    case ServiceState::Stop:
    case ServiceState::StopPost: return settings(t).timeout_stop;
    default: return settings(t).timeout_start;
  }
}
/// For one command of the phase that the unit is in.
void arm_command(Turn& t, base::Instant since) {
  const bool is_of_stop = record(t).state == ServiceState::Stop || record(t).state == ServiceState::StopPost;
  const base::Instant deadline = later(since, patience(t));
  record(t).deadline = is_of_stop ? limited(t, deadline) : deadline;
}
void enter_phase(Turn& t, ServiceState state, CommandPhase phase) {
  enter(t, state);
  arm_command(t, t.now);
  order_control(t, phase, 0);
}

// ── Beginning of a run ──

void begin_stop(Turn& t);
void fail_start(Turn& t);
void settle(Turn& t);

/// Up, as far as the commands are concerned; whether there is still something that is up shows now.
void go_running(Turn& t) {
  UnitRecord& r = record(t);
  const ServiceSettings& s = settings(t);
  const bool is_without_main = r.spawn == 0 && s.type == ServiceType::Forking && !t.unit.emptied;
  disarm(t);
  if (r.main_running || is_without_main) {
    r.was_up = true;
    enter(t, ServiceState::Running);
    arm(t, s.runtime_max);
    if (s.type != ServiceType::Oneshot) feed_watchdog(t);
    finish_start(t, JobResult::Done);
    if (is_without_main) watch(t);  // its end shows in that nothing is left
    return;
  }
  if (s.remain_after_exit && r.result == ServiceResult::Success) {
    r.was_up = true;
    enter(t, ServiceState::Exited);
    return finish_start(t, JobResult::Done);
  }
  r.was_up = r.was_up || r.result == ServiceResult::Success;
  finish_start(t, r.setup_failed ? JobResult::Failed : JobResult::Done);
  begin_stop(t);
}
void go_start_post(Turn& t) {
  if (has(t, CommandPhase::StartPost)) return enter_phase(t, ServiceState::StartPost, CommandPhase::StartPost);
  go_running(t);
}
void go_start(Turn& t) {
  const ServiceSettings& s = settings(t);
  enter(t, ServiceState::Start);
  arm(t, s.timeout_start);
  if (s.type == ServiceType::Forking) return order_control(t, CommandPhase::Start, 0);
  if (has(t, CommandPhase::Start)) return order_main(t, 0);
  go_start_post(t);
}
void go_start_pre(Turn& t) {
  if (has(t, CommandPhase::StartPre)) return enter_phase(t, ServiceState::StartPre, CommandPhase::StartPre);
  go_start(t);
}

enum class StartCause { Job, Restart };

void begin_run(Turn& t, StartCause cause) {
  UnitRecord& r = record(t);
  const ServiceSettings& s = settings(t);
  policy::StartWindow window{r.window_began, r.starts_in_window};
  const bool is_allowed = window.try_start(t.now, s.start_limit_interval, s.start_limit_burst);
  r.window_began = window.began;
  r.starts_in_window = window.starts;
  if (!is_allowed) {
    r.result = ServiceResult::StartLimitHit;
    disarm(t);
    enter(t, ServiceState::Failed);
    return finish_job(t, JobResult::Failed);
  }
  r.run += 1;
  r.spawn = r.last_spawn = r.control = r.former = 0;
  t.unit.ordered = 0;
  r.main_running = r.main_executed = r.main_ended = r.control_running = r.retry_spawn = r.setup_failed = r.is_populated =
      false;
  r.stop_wanted = r.was_up = r.is_held_down = r.is_blocked = false;
  r.result = ServiceResult::Success;
  r.restarts = cause == StartCause::Restart ? r.restarts + 1 : 0;
  if (cause == StartCause::Job) r.short_lives = 0;
  r.last_start = t.now;
  r.watchdog_span = s.watchdog.value_or(base::Duration::zero());
  stop_watchdog(t);
  t.unit.emptied = true;  // nothing is in it yet
  t.unit.evidence = t.unit.control_evidence = Evidence::Told;
  if (has(t, CommandPhase::Condition)) return enter_phase(t, ServiceState::Condition, CommandPhase::Condition);
  go_start_pre(t);
}

// ── End of a run ──

/// The pause before an automatic restart.
base::Duration restart_pause(Turn& t) {
  UnitRecord& r = record(t);
  const ServiceSettings& s = settings(t);
  base::Duration pause = s.restart_sec;
  if (s.pause_grows) {
    const bool was_healthy = r.was_up && t.now - r.last_start >= healthy_life;
    if (r.result == ServiceResult::Success || was_healthy) r.short_lives = 0;
    for (std::uint32_t i = 0; i < r.short_lives && pause < restart_pause_max; ++i) pause *= 2;
    pause = std::min(pause, std::max(restart_pause_max, s.restart_sec));
    // A tenth up or down, so that many that failed together do not come back together.
    if (r.short_lives > 0) pause += std::chrono::duration_cast<base::Duration>(pause * (0.2 * t.chance - 0.1));
    if (r.result != ServiceResult::Success && !was_healthy) r.short_lives += 1;
  }
  // What could not be started will hardly be possible at once: the start limit is not used up in one go.
  return r.setup_failed ? std::max(pause, failed_setup_pause) : pause;
}

/// The run is over; decides what follows. A job that is waiting comes first, then Restart=, then rest.
void end_run(Turn& t) {
  UnitRecord& r = record(t);
  // What is left behind is released by the rule for runs that have ended, once it is empty.
  if (t.unit.emptied) t.orders.releases.push_back(ReleaseRun{run_key(t)});
  else t.unit.left_behind.push_back({r.unit, r.run, t.unit.ordered});
  const bool by_itself = !r.stop_wanted;
  const auto exit = r.main_ended ? std::optional{r.last_exit} : std::nullopt;
  r.main_running = r.retry_spawn = r.control_running = false;
  r.control = r.former = 0;
  disarm(t);
  stop_watchdog(t);

  const bool is_skipped = r.result == ServiceResult::ExecCondition;
  if (is_skipped && has_job(t, JobType::Start) && by_itself) finish_job(t, JobResult::Skipped);
  if (r.job == no_job && by_itself && !is_skipped && wants_restart(settings(t), r.result, exit)) {
    const base::Duration pause = restart_pause(t);
    enter(t, ServiceState::AutoRestart);
    if (pause <= base::Duration::zero()) return begin_run(t, StartCause::Restart);
    return arm(t, pause);
  }
  enter(t, r.result == ServiceResult::Success || is_skipped ? ServiceState::Dead : ServiceState::Failed);
  r.stop_wanted = false;
  if (has_job(t, JobType::Stop)) return finish_job(t, JobResult::Done);
  if (has_job(t, JobType::Reload)) return finish_job(t, JobResult::Failed);
  r.job_type = JobType::Start;  // of a restart, the starting half is left; the engine gives it its turn
}

/// Nothing of the run is left, or nothing that is ours to end.
void all_gone(Turn& t) {
  const ServiceState state = record(t).state;
  const bool has_had_stop_post =
      state == ServiceState::StopPost || state == ServiceState::FinalSigterm || state == ServiceState::FinalSigkill;
  if (has_had_stop_post || !has(t, CommandPhase::StopPost) || is_main_pending(t)) return end_run(t);
  enter_phase(t, ServiceState::StopPost, CommandPhase::StopPost);
}

/// KillMode=process and none: what lives on is not ours to end.
void leave_behind(Turn& t) {
  if (!t.unit.emptied) watch(t);
  all_gone(t);
}

/// KillMode=none, and the end was asked for while something was on its way.
void leave_when_all_is_there(Turn& t) {
  if (!is_main_pending(t) && !is_control_pending(t)) leave_behind(t);
}

bool is_final(ServiceState state) {
  return state == ServiceState::StopPost || state == ServiceState::FinalSigterm || state == ServiceState::FinalSigkill;
}

void kill_run(Turn& t) {
  const int number = settings(t).final_kill_signal;
  if (settings(t).kill_mode == KillMode::None) return;
  if (settings(t).kill_mode != KillMode::Process) {
    if (number == SIGKILL) t.orders.processes.push_back(KillRun{run_key(t)});
    else send(t, main_key(t), SignalTarget::All, number);
    return;
  }
  if (record(t).main_running) send(t, main_key(t), SignalTarget::Process, number);
  if (record(t).control_running) send(t, control_key(t), SignalTarget::Process, number);
}

void enter_sigkill(Turn& t) {
  kill_run(t);
  enter(t, is_final(record(t).state) ? ServiceState::FinalSigkill : ServiceState::StopSigkill);
  arm_kill(t);
}

/// What KillMode= says of processes that are there. Nothing where none was seen yet: ProcessStarted makes up for it.
void send_stop_signal(Turn& t, int number) {
  const UnitRecord& r = record(t);
  const bool hangs_up = settings(t).send_sighup && number != SIGHUP;
  if (settings(t).kill_mode == KillMode::None) return;
  const auto to = [&](const SpawnKey& key, SignalTarget target) {
    send(t, key, target, number);
    if (hangs_up) send(t, key, target, SIGHUP);
  };
  if (settings(t).kill_mode == KillMode::ControlGroup) {
    if (record(t).is_populated) to(main_key(t), SignalTarget::All);
    return;
  }
  if (r.main_running) to(main_key(t), SignalTarget::Process);
  if (r.control_running) to(control_key(t), SignalTarget::Process);
}
int stop_signal(const Turn& t) {
  const ServiceSettings& s = settings(t);
  if (record(t).state == ServiceState::StopWatchdog) return s.watchdog_signal;
  const bool is_restarting = record(t).stop_wanted && has_job(t, JobType::Start);
  return is_restarting && s.restart_kill_signal != 0 ? s.restart_kill_signal : s.kill_signal;
}

/// Begins to end what is left of the run by signals.
void signal_rest(Turn& t, ServiceState state) {
  UnitRecord& r = record(t);
  const ServiceSettings& s = settings(t);
  stop_watchdog(t);
  if (r.retry_spawn) {
    r.retry_spawn = false;
    if (r.control != 0) r.control = 0;
    else r.spawn = 0;
    if (!r.is_populated) t.unit.emptied = true;  // nothing was ever there
  }
  if (t.unit.emptied && is_over(t)) return all_gone(t);
  const bool main_only = s.kill_mode == KillMode::Process || (s.kill_mode == KillMode::Mixed && !s.send_sigkill);
  // What was ordered and is not there yet is waited for: its run must not be over before it begins.
  const bool is_on_its_way = is_main_pending(t) || is_control_pending(t);
  if ((s.kill_mode == KillMode::None && !is_on_its_way) || (is_over(t) && main_only)) return leave_behind(t);

  enter(t, state);
  if (is_over(t) && s.kill_mode == KillMode::Mixed) {
    watch(t);
    return enter_sigkill(t);
  }
  send_stop_signal(t, stop_signal(t));
  arm_grace(t, state == ServiceState::StopWatchdog ? s.timeout_abort : s.timeout_stop);
  if (is_over(t)) watch(t);
}

/// No process of ours is left, and it is not known yet whether others are.
void settle(Turn& t) {
  const ServiceSettings& s = settings(t);
  if (t.unit.emptied) return all_gone(t);
  if (s.kill_mode == KillMode::Process || s.kill_mode == KillMode::None) return leave_behind(t);
  watch(t);
  if (!is_ending(record(t).state)) return arm(t, leftover_patience);
  if (s.kill_mode == KillMode::Mixed) arm_sooner(t, t.now + leftover_patience);
}

/// The service was up and is to end, or has ended by itself.
void begin_stop(Turn& t) {
  stop_watchdog(t);
  if (record(t).was_up && has(t, CommandPhase::Stop)) return enter_phase(t, ServiceState::Stop, CommandPhase::Stop);
  if (is_over(t) && !record(t).stop_wanted) return settle(t);
  signal_rest(t, ServiceState::StopSigterm);
}

/// The result is noted; whoever wanted the start hears it before everything is cleared away.
void fail_start(Turn& t) {
  finish_start(t, record(t).result == ServiceResult::Timeout ? JobResult::Timeout : JobResult::Failed);
  if (is_over(t)) return settle(t);
  signal_rest(t, ServiceState::StopSigterm);
}

// ── Transitions, by trigger ──

using Rule = const char*;
constexpr Rule done = nullptr;

constexpr Rule known_already = "known already";
constexpr Rule run_has_ended = "the run has ended";
constexpr Rule nothing_started = "nothing was started yet";
constexpr Rule is_started = "the process is there";
constexpr Rule no_deadline = "no deadline is armed";
constexpr Rule not_asked = "nobody asked";

// Jobs. One that has to wait is no news: its unit gets another turn whenever something it may wait for has changed.

Rule wait(Turn&) { return done; }

void reach(Turn& t);

Rule start_at_rest(Turn& t) {
  if (!t.in_order) return done;
  if (!settings(t).has_conditions) {
    if (settings(t).kind == UnitKind::Target) reach(t);
    else begin_run(t, StartCause::Job);
  } else if (!std::exchange(t.unit.conditions_asked, true)) {
    t.orders.processes.push_back(CheckConditions{record(t).unit});
  }
  return done;
}
Rule start_when_up(Turn& t) {
  if (record(t).state != ServiceState::Running || !is_over(t) || record(t).spawn == 0) finish_job(t, JobResult::Done);
  return done;
}

Rule stop_at_rest(Turn& t) {
  finish_job(t, JobResult::Done);
  return done;
}
Rule stop_pause(Turn& t) {
  disarm(t);
  enter(t, ServiceState::Dead);
  return stop_at_rest(t);
}
/// Before it is up, and during a reload, nothing but signals ends it.
Rule stop_starting(Turn& t) {
  if (!t.in_order) return done;
  record(t).stop_wanted = true;
  signal_rest(t, ServiceState::StopSigterm);
  return done;
}
Rule stop_up(Turn& t) {
  if (!t.in_order) return done;
  record(t).stop_wanted = true;
  begin_stop(t);
  return done;
}
/// It is ending already; what changes is that nothing follows.
Rule stop_ending(Turn& t) {
  record(t).stop_wanted = true;
  return done;
}

Rule restart_as_start(Turn& t) {
  record(t).job_type = JobType::Start;
  return done;
}
Rule restart_pause_now(Turn& t) {
  disarm(t);
  enter(t, ServiceState::Dead);
  return restart_as_start(t);
}
Rule restart_ending(Turn& t) {
  record(t).stop_wanted = true;
  return restart_as_start(t);
}
Rule restart_starting(Turn& t) {
  if (!t.in_order) return done;
  record(t).job_type = JobType::Start;
  return stop_starting(t);
}
Rule restart_up(Turn& t) {
  if (!t.in_order) return done;
  record(t).job_type = JobType::Start;
  return stop_up(t);
}

Rule reload_up(Turn& t) {
  if (!t.in_order) return done;
  if (has(t, CommandPhase::Reload)) enter_phase(t, ServiceState::Reload, CommandPhase::Reload);
  else finish_job(t, JobResult::Failed);
  return done;
}
Rule reload_not_up(Turn& t) {
  finish_job(t, JobResult::Failed);
  return done;
}

/// Of a target: all that it comes after has been started.
void reach(Turn& t) {
  record(t).is_held_down = record(t).is_blocked = false;
  enter(t, ServiceState::Active);
  finish_job(t, JobResult::Done);
}
Rule conditions_checked(Turn& t) {
  if (!std::exchange(t.unit.conditions_asked, false)) return not_asked;
  if (!has_job(t, JobType::Start) || !t.in_order) return not_asked;  // asked again when its turn comes
  switch (t.verdict) {
    case ConditionVerdict::Met: settings(t).kind == UnitKind::Target ? reach(t) : begin_run(t, StartCause::Job); break;
    case ConditionVerdict::Unmet:  // it need not run, so that it does not is no failure any more
      record(t).result = ServiceResult::Success;
      enter(t, ServiceState::Dead);
      finish_job(t, JobResult::Skipped);
      break;
    case ConditionVerdict::AssertFailed: finish_job(t, JobResult::Failed); break;
  }
  return done;
}
Rule conditions_too_late(Turn& t) {
  t.unit.conditions_asked = false;
  return not_asked;
}

// The main process

void note_main_start(Turn& t) {
  UnitRecord& r = record(t);
  r.main_running = r.is_populated = true;
  if (r.control == 0) r.retry_spawn = false;
  r.former = 0;
}
/// The one that was found cannot be tracked: the main process is the one that it was. False: there was none.
bool is_former_main_again(Turn& t) {
  UnitRecord& r = record(t);
  if (r.former == 0) return false;
  r.spawn = std::exchange(r.former, 0);
  r.main_running = true;
  return true;
}
Rule main_started(Turn& t) {
  UnitRecord& r = record(t);
  t.unit.evidence = Evidence::Told;
  if (is_main_seen(t)) return known_already;
  note_main_start(t);
  const ServiceType type = settings(t).type;
  if (r.state != ServiceState::Start) return done;
  const bool is_ready = type == ServiceType::Notify && r.main_executed;  // it has said so already
  if (type == ServiceType::Simple || type == ServiceType::Idle || type == ServiceType::Forking || is_ready) go_start_post(t);
  else r.deadline = later(r.state_since, settings(t).timeout_start);
  if (r.state == ServiceState::Start && type == ServiceType::Notify) feed_watchdog(t);
  return done;
}
/// The stop came before the process did.
void end_late(Turn& t) {
  const ServiceState state = record(t).state;
  if (settings(t).kill_mode == KillMode::None) leave_when_all_is_there(t);
  else if (state == ServiceState::StopSigkill || state == ServiceState::FinalSigkill) kill_run(t);
  else send_stop_signal(t, stop_signal(t));
}
Rule main_started_late(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (is_main_seen(t)) return known_already;
  note_main_start(t);
  end_late(t);
  return done;
}
/// A process in a run that is over: nobody wants it, unless KillMode= says to leave it alone.
Rule started_after_end(Turn& t) {
  const KillMode mode = settings(t).kill_mode;
  if (!record(t).main_ended && (mode == KillMode::ControlGroup || mode == KillMode::Mixed)) kill_run(t);
  watch(t);
  return run_has_ended;
}

/// For want of resources a start is tried again, for as long as its state lasts.
Rule try_again_later(Turn& t) {
  if (record(t).retry_spawn) return known_already;
  record(t).retry_spawn = true;
  arm_sooner(t, t.now + spawn_retry_pause);
  return done;
}
/// A main process that was found, and is gone before it could be tracked: there is none that is known.
Rule main_not_tracked(Turn& t) {
  record(t).spawn = 0;
  if (record(t).state == ServiceState::Start) find_main(t);
  else watch(t);
  return done;
}
Rule main_not_started(Turn& t) {
  UnitRecord& r = record(t);
  if (is_main_seen(t)) return is_started;
  if (is_former_main_again(t)) {
    if (r.main_executed) go_start_post(t);
    return done;
  }
  if (settings(t).type == ServiceType::Forking) return main_not_tracked(t);
  if (t.problem == SpawnProblem::Resource) return try_again_later(t);
  r.retry_spawn = false;
  note_result(t, ServiceResult::ExitCode);
  r.setup_failed = true;
  if (!r.is_populated) t.unit.emptied = true;
  r.spawn = 0;
  fail_start(t);
  return done;
}
Rule main_not_started_while_up(Turn& t) {
  if (is_main_seen(t)) return is_started;
  if (is_former_main_again(t)) return done;
  return main_not_tracked(t);
}
Rule main_not_started_while_ending(Turn& t) {
  if (is_main_seen(t)) return is_started;
  if (is_former_main_again(t)) {
    if (is_ending(record(t).state)) end_late(t);
    return done;
  }
  record(t).spawn = 0;
  if (!record(t).is_populated) t.unit.emptied = true;
  if (record(t).control == 0) settle(t);
  else if (is_ending(record(t).state) && settings(t).kill_mode == KillMode::None) leave_when_all_is_there(t);
  return done;
}

Rule main_executed(Turn& t) {
  UnitRecord& r = record(t);
  if (r.main_ended || settings(t).type != ServiceType::Exec) return known_already;
  t.unit.evidence = Evidence::Told;
  r.main_running = r.main_executed = r.is_populated = true;
  r.retry_spawn = false;
  go_start_post(t);
  return done;
}

Rule main_exited_in_start(Turn& t) {
  t.unit.evidence = Evidence::Told;
  UnitRecord& r = record(t);
  if (r.main_ended) return known_already;
  const ServiceSettings& s = settings(t);
  const Commands& own = commands(t, CommandPhase::Start);
  const bool is_ignored = !t.setup_failed && (own.ignores_failure >> r.command & 1U) != 0;
  note_main_end(t, is_ignored);
  if (s.type == ServiceType::Oneshot && r.result == ServiceResult::Success) {
    if (r.command + 1 < own.count) order_main(t, static_cast<std::uint8_t>(r.command + 1));
    else go_start_post(t);
    return done;
  }
  if (s.type == ServiceType::Notify || s.type == ServiceType::Oneshot || s.type == ServiceType::Forking) {
    note_result(t, ServiceResult::Protocol);  // an end that would be clean, before it said that it is ready
    fail_start(t);
    return done;
  }
  // A program that has been executed has been started, however short its life was.
  finish_start(t, t.setup_failed ? JobResult::Failed : JobResult::Done);
  r.was_up = !t.setup_failed;
  if (s.remain_after_exit && r.result == ServiceResult::Success) go_running(t);
  else begin_stop(t);
  return done;
}
/// With a command on its way, what follows is decided when that one has ended.
Rule main_exited_up(Turn& t) {
  t.unit.evidence = Evidence::Told;
  UnitRecord& r = record(t);
  if (r.main_ended) return known_already;
  note_main_end(t, r.state == ServiceState::Running && (commands(t, CommandPhase::Start).ignores_failure & 1U) != 0);
  if (r.control != 0) return done;
  if (has_job(t, JobType::Reload)) finish_job(t, JobResult::Failed);
  if (settings(t).remain_after_exit && r.result == ServiceResult::Success) {
    disarm(t);
    enter(t, ServiceState::Exited);
  } else {
    begin_stop(t);
  }
  return done;
}
Rule main_exited_ending(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (record(t).main_ended) return known_already;
  note_main_end(t);
  if (record(t).control == 0) settle(t);
  return done;
}
Rule main_exited_in_stop(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (record(t).main_ended) return known_already;
  note_main_end(t);
  return done;
}
/// Told again, because its release was never carried out; or of a process that was left behind.
Rule main_exited_after_end(Turn& t) {
  UnitRecord& r = record(t);
  watch(t);
  if (r.main_ended) return run_has_ended;
  r.main_ended = true;
  r.last_exit = t.exit;
  return done;
}

// Control processes

Rule control_started(Turn& t) {
  t.unit.control_evidence = Evidence::Told;
  UnitRecord& r = record(t);
  if (std::exchange(r.control_running, true)) return known_already;
  r.is_populated = true;
  r.retry_spawn = false;
  if (is_ending(r.state)) {
    end_late(t);
  } else {
    arm_command(t, r.state_since);
  }
  return done;
}

void after_command(Turn& t, ServiceResult result);

Rule control_not_started(Turn& t) {
  UnitRecord& r = record(t);
  if (r.control_running) return is_started;
  if (t.problem == SpawnProblem::Resource && !is_ending(r.state)) return try_again_later(t);
  r.retry_spawn = false;
  r.control = 0;
  if (!r.is_populated) t.unit.emptied = true;
  after_command(t, is_ending(r.state) ? ServiceResult::Success : ServiceResult::ExitCode);
  return done;
}

Rule control_exited(Turn& t) {
  UnitRecord& r = record(t);
  t.unit.control_evidence = Evidence::Told;
  t.orders.releases.push_back(ReleaseProcess{control_key(t)});
  r.control = 0;
  r.control_running = r.retry_spawn = false;
  r.is_populated = true;
  // What nobody saw, after the end was asked for, is taken for what was asked for.
  const bool is_unseen_end = r.stop_wanted && t.exit.kind == ExitKind::Unknown;
  const bool is_ignored =
      is_unseen_end || ((commands(t, r.phase).ignores_failure >> r.command & 1U) != 0 && !t.setup_failed);
  const bool says_no = r.phase == CommandPhase::Condition && !t.setup_failed && t.exit.kind == ExitKind::Exited &&
                       t.exit.status >= 1 && t.exit.status <= 254;
  if (t.setup_failed) r.setup_failed = true;
  after_command(t, is_ignored ? ServiceResult::Success : says_no ? ServiceResult::ExecCondition : meaning(t));
  return done;
}

/// A reload is over, however it went: the service is what it was.
void end_reload(Turn& t, JobResult result) {
  if (has_job(t, JobType::Reload)) finish_job(t, result);
  const base::Instant up_since = record(t).last_start;
  go_running(t);
  if (record(t).state == ServiceState::Running && settings(t).runtime_max)
    record(t).deadline = later(up_since, settings(t).runtime_max);
}

/// The control process has ended: the next command of its phase, or what comes after the phase.
void after_command(Turn& t, ServiceResult result) {
  UnitRecord& r = record(t);
  const bool is_good = result == ServiceResult::Success;
  if (is_ending(r.state)) {
    if (!r.main_running && !is_main_pending(t)) settle(t);
    else if (settings(t).kill_mode == KillMode::None) leave_when_all_is_there(t);
    return;
  }
  // The service has ended, or nobody waits for the reload any more: it took too long.
  const bool is_in_vain =
      r.state == ServiceState::Reload && (r.result != ServiceResult::Success || !has_job(t, JobType::Reload));
  if (is_good && !is_in_vain && r.phase != CommandPhase::Start && r.command + 1 < commands(t, r.phase).count) {
    arm_command(t, t.now);
    return order_control(t, r.phase, static_cast<std::uint8_t>(r.command + 1));
  }
  switch (r.state) {
    case ServiceState::Condition:
    case ServiceState::StartPre:
    case ServiceState::Start:
    case ServiceState::StartPost:
      if (!is_good) {
        note_result(t, result);
        if (result == ServiceResult::ExecCondition) return settle(t);
        return fail_start(t);
      }
      if (r.state == ServiceState::Condition) return go_start_pre(t);
      if (r.state == ServiceState::StartPre) return go_start(t);
      if (r.state == ServiceState::StartPost) return go_running(t);
      find_main(t);
      return;
    case ServiceState::Reload: return end_reload(t, is_good && !is_in_vain ? JobResult::Done : JobResult::Failed);
    case ServiceState::Stop:
      note_result(t, result);
      return is_over(t) && !r.stop_wanted ? settle(t) : signal_rest(t, ServiceState::StopSigterm);
    case ServiceState::StopPost:
      note_result(t, result);
      if (settings(t).kill_mode == KillMode::None || settings(t).kill_mode == KillMode::Process) return leave_behind(t);
      return settle(t);
    default: return;
  }
}

// Which process is the main one

bool is_looking_for_main(const Turn& t) {
  return record(t).state == ServiceState::Start && settings(t).type == ServiceType::Forking && record(t).control == 0;
}
Rule main_found(Turn& t) {
  UnitRecord& r = record(t);
  if (r.state == ServiceState::Start && settings(t).type == ServiceType::Forking && r.control != 0) return not_asked;
  const bool may_be_told =
      r.state != ServiceState::Start || settings(t).type == ServiceType::Forking || settings(t).type == ServiceType::Notify;
  if (!may_be_told || is_main_pending(t)) return not_asked;  // one at a time
  r.former = r.main_running ? r.spawn : 0;
  r.spawn = t.unit.ordered = ++r.last_spawn;
  r.main_running = r.main_executed = r.main_ended = false;
  t.unit.emptied = false;
  t.unit.evidence = Evidence::Told;
  t.orders.processes.push_back(TrackMain{main_key(t)});
  return done;
}
Rule main_missing(Turn& t) {
  if (!is_looking_for_main(t) || record(t).spawn != 0) return not_asked;
  if (settings(t).has_pid_file) {
    note_result(t, ServiceResult::Protocol);
    fail_start(t);
  } else {
    go_start_post(t);
  }
  return done;
}

Rule notified(Turn& t) {
  UnitRecord& r = record(t);
  const Notified& m = *t.message;
  if (m.watchdog) r.watchdog_span = *m.watchdog;
  if (m.extend_timeout && r.deadline != base::Instant{} && !is_over(t))
    r.deadline = std::max(r.deadline, later(t.now, m.extend_timeout));
  const bool is_watched = r.state == ServiceState::Start || r.state == ServiceState::StartPost ||
                          r.state == ServiceState::Running || r.state == ServiceState::Reload;
  if (is_watched && r.main_running && (m.is_alive || m.watchdog)) feed_watchdog(t);
  if (is_watched && m.asks_to_be_ended && r.main_running) {
    note_result(t, ServiceResult::Watchdog);
    finish_start(t, JobResult::Failed);
    signal_rest(t, ServiceState::StopWatchdog);
    return done;
  }
  if (m.is_stopping && (r.state == ServiceState::Running || r.state == ServiceState::Reload) && !is_over(t) &&
      r.control == 0) {
    if (has_job(t, JobType::Reload)) finish_job(t, JobResult::Failed);
    stop_watchdog(t);
    enter(t, ServiceState::StopSigterm);
    arm_grace(t);
  } else if (m.is_ready && r.state == ServiceState::Start && settings(t).type == ServiceType::Notify) {
    if (!is_main_pending(t)) go_start_post(t);
    else r.main_executed = !r.retry_spawn;  // its start is news that come later; or somebody else said so
  } else if (m.is_reloading && r.state == ServiceState::Running && !is_over(t)) {
    enter(t, ServiceState::Reload);
    arm(t, settings(t).timeout_start);
  } else if (m.is_ready && r.state == ServiceState::Reload && r.control == 0) {
    end_reload(t, JobResult::Done);
  }
  return done;
}
/// While it ends, only the time it asks for is heard, or needs for its core.
Rule notified_ending(Turn& t) {
  UnitRecord& r = record(t);
  const bool waits_for_main = r.state == ServiceState::StopSigterm || r.state == ServiceState::StopWatchdog;
  if (t.message->is_dumping && waits_for_main && r.main_running && r.deadline != base::Instant{} && !t.is_hurrying) {
    const base::Instant latest = std::max(r.deadline, later(r.state_since, core_dump_patience_max));
    r.deadline = std::max(r.deadline, limited(t, std::min(latest, later(t.now, core_dump_patience))));
  }
  if (t.message->extend_timeout && r.deadline != base::Instant{} && !t.is_hurrying)
    r.deadline = std::max(r.deadline, limited(t, later(t.now, t.message->extend_timeout)));
  return done;
}

// RunEmptied

Rule emptied(Turn& t) {
  UnitRecord& r = record(t);
  const bool is_missing = t.unit.evidence == Evidence::Missing;
  if (is_control_pending(t) || (is_main_pending(t) && !is_missing)) return nothing_started;
  t.unit.emptied = true;
  if (r.control != 0 || (r.main_running && !is_missing)) return done;  // its end will be told
  if (r.main_running && is_missing) note_main_end(t);                  // with Exit{}: nobody saw it
  if (is_main_pending(t)) r.spawn = 0;
  if (r.retry_spawn) return done;
  if (r.state == ServiceState::Exited) return done;
  const bool waits_for_main = r.state == ServiceState::Start && settings(t).type == ServiceType::Forking &&
                              r.result == ServiceResult::Success && !r.main_ended;
  if (waits_for_main) {
    note_result(t, ServiceResult::Protocol);  // nothing stayed
    finish_start(t, JobResult::Failed);
    all_gone(t);
  } else if (r.state == ServiceState::Running && r.spawn == 0) {
    begin_stop(t);
  } else {
    all_gone(t);
  }
  return done;
}
/// What follows is for the command that runs, or has just been ordered, to end.
Rule emptied_in_stop(Turn& t) {
  if (record(t).control == 0) return emptied(t);
  if (is_control_pending(t)) return nothing_started;
  t.unit.emptied = true;
  return done;
}
Rule release(Turn& t) {
  std::erase_if(t.unit.left_behind, [run = run_key(t)](const SpawnKey& left) { return left.run_key() == run; });
  t.orders.releases.push_back(ReleaseRun{run_key(t)});
  return done;
}

// DeadlinePassed

bool is_passed(base::Instant deadline, base::Instant now) { return deadline != base::Instant{} && deadline <= now; }

/// The main process ended by itself, or a start failed, and processes were left behind.
Rule end_leftovers(Turn& t) {
  signal_rest(t, record(t).state == ServiceState::StopPost ? ServiceState::FinalSigterm : ServiceState::StopSigterm);
  return done;
}
bool is_settling(const Turn& t) {
  return is_over(t) && (record(t).main_ended || record(t).result != ServiceResult::Success);
}
Rule heartbeat_is_missing(Turn& t) {
  stop_watchdog(t);
  if (!record(t).main_running) return done;
  note_result(t, ServiceResult::Watchdog);
  finish_start(t, JobResult::Failed);
  if (has_job(t, JobType::Reload)) finish_job(t, JobResult::Failed);
  signal_rest(t, ServiceState::StopWatchdog);
  return done;
}
Rule deadline_in_start(Turn& t) {
  UnitRecord& r = record(t);
  if (is_passed(r.watchdog, t.now)) return heartbeat_is_missing(t);
  if (is_settling(t)) return end_leftovers(t);
  const base::Instant given_up = later(r.state_since, settings(t).timeout_start);
  const bool is_late = given_up != base::Instant{} && given_up <= t.now;
  if (r.retry_spawn && !is_late) {
    order_again(t);
    r.deadline = given_up;
    return done;
  }
  note_result(t, r.retry_spawn ? ServiceResult::Resources : ServiceResult::Timeout);
  finish_start(t, JobResult::Timeout);
  signal_rest(t, ServiceState::StopSigterm);
  return done;
}
Rule deadline_in_running(Turn& t) {
  UnitRecord& r = record(t);
  if (is_passed(r.watchdog, t.now)) return heartbeat_is_missing(t);
  if (is_settling(t)) return end_leftovers(t);
  if (!is_passed(r.deadline, t.now)) return no_deadline;
  note_result(t, ServiceResult::Timeout);
  begin_stop(t);
  return done;
}
/// The service goes on; the command that hangs is ended, and the reload is over when it is gone: it must not live on unknown.
Rule deadline_in_reload(Turn& t) {
  UnitRecord& r = record(t);
  if (is_passed(r.watchdog, t.now)) return heartbeat_is_missing(t);
  if (is_settling(t)) return end_leftovers(t);
  if (r.retry_spawn && r.state_since + spawn_retry_pause * 40 > t.now) {
    order_again(t);
    r.deadline = later(r.state_since, settings(t).timeout_start);
    return done;
  }
  if (r.control != 0 && !r.retry_spawn) {
    if (r.control_running) send(t, control_key(t), SignalTarget::Process, SIGKILL);
    if (has_job(t, JobType::Reload)) finish_job(t, JobResult::Timeout);
    arm(t, kill_patience);
    return done;
  }
  r.control = 0;
  r.retry_spawn = false;
  end_reload(t, JobResult::Timeout);
  return done;
}
/// It would have had more time, were it not for the limit. Told once: before its time-out is noted.
void note_cut_short(Turn& t) {
  const UnitRecord& r = record(t);
  if (t.limit == nullptr || t.is_hurrying || r.result == ServiceResult::Timeout || t.now < latest_grace(t)) return;
  const ServiceSettings& s = settings(t);
  const bool is_abort = r.state == ServiceState::StopWatchdog;
  const base::Instant own = later(r.state_since, is_abort ? s.timeout_abort : s.timeout_stop);
  if (own == base::Instant{} || own > t.now) t.orders.cut_short.push_back(r.unit);
}
Rule deadline_in_stop(Turn& t) {
  UnitRecord& r = record(t);
  const base::Instant given_up = limited(t, later(r.state_since, settings(t).timeout_stop));
  if (r.retry_spawn && (given_up == base::Instant{} || given_up > t.now)) {
    order_again(t);
    r.deadline = given_up;
    return done;
  }
  if (!is_settling(t)) {
    note_cut_short(t);
    note_result(t, r.retry_spawn ? ServiceResult::Resources : ServiceResult::Timeout);
  }
  return end_leftovers(t);
}

Rule grace_is_over(Turn& t) {
  const ServiceSettings& s = settings(t);
  const UnitRecord& r = record(t);
  // Under KillMode=mixed, the end of the main process is when the others are killed: that is no timeout.
  const bool is_timeout = !(s.kill_mode == KillMode::Mixed && is_over(t) && r.state != ServiceState::StopWatchdog);
  if (is_timeout) {
    note_cut_short(t);
    note_result(t, ServiceResult::Timeout);
  }
  const bool is_on_its_way = is_main_pending(t) || is_control_pending(t);
  const bool is_left_alone = s.kill_mode == KillMode::None;
  if ((!is_timeout && !s.send_sigkill) || (is_left_alone && !is_on_its_way)) {
    leave_behind(t);
    return done;
  }
  if (s.send_sigkill && !is_left_alone) {
    enter_sigkill(t);
    return done;
  }
  // It stays here until it ends by itself: a second instance beside it is worse than none.
  finish_job(t, JobResult::Timeout);
  arm_kill(t);
  return done;
}
Rule still_there(Turn& t) {
  note_result(t, ServiceResult::Timeout);
  finish_job(t, JobResult::Timeout);
  kill_run(t);
  arm_kill(t);
  return done;
}
/// A start that was asked for meanwhile ends with this one; it makes neither the pause shorter nor the next one.
Rule restart_is_due(Turn& t) {
  begin_run(t, StartCause::Restart);
  return done;
}

// Recovered

/// What was to be tracked, or was to be ended before it was seen, and is not there: nobody will order it again.
void forget_untracked(Turn& t) {
  const ServiceState state = record(t).state;
  const bool is_ordered_again = state == ServiceState::Start && record(t).former == 0;
  const bool is_over_already = is_inactive(state) || state == ServiceState::AutoRestart;
  if (is_ordered_again || is_over_already || !is_main_pending(t) || record(t).retry_spawn ||
      t.unit.evidence == Evidence::Told)
    return;
  if (!is_former_main_again(t)) record(t).spawn = 0;
  else if (t.unit.former_seen) t.unit.evidence = Evidence::Told;
}
/// What was ordered for the control process and never seen is ordered again; one that ran and is not there has ended unseen.
/// False: nothing is known yet, and something is on its way.
bool recover_control(Turn& t) {
  const UnitRecord& r = record(t);
  if (r.control == 0 || r.retry_spawn) return r.control == 0;
  if (t.unit.control_evidence == Evidence::Told) return false;
  t.unit.control_evidence = Evidence::Told;
  if (!r.control_running) {
    t.unit.ordered = r.control;
    t.orders.processes.push_back(SpawnProcess{control_key(t), r.phase, r.command, false});
    return false;
  }
  t.exit = Exit{};
  t.setup_failed = t.out_of_memory = false;
  control_exited(t);
  return false;
}
void ask_whether_there(Turn& t) {
  if (t.unit.evidence == Evidence::Told) return;
  if (record(t).spawn == 0) {
    watch(t);
    return;
  }
  t.unit.evidence = Evidence::Missing;
  if (t.unit.emptied) emptied(t);
  else watch(t);
}
void watch_again(Turn& t) {
  const bool is_gone = record(t).main_ended || record(t).spawn == 0;
  if (is_gone && !t.unit.emptied) watch(t);
  else ask_whether_there(t);
}
Rule recover_start(Turn& t) {
  const UnitRecord& r = record(t);
  if (!recover_control(t) || r.retry_spawn) return done;
  if (t.unit.evidence == Evidence::Told && !r.main_ended && r.spawn != 0) return done;
  const bool is_forking = settings(t).type == ServiceType::Forking;
  if (is_forking && !is_main_seen(t) && r.result == ServiceResult::Success) {
    record(t).spawn = 0;
    find_main(t);
    return done;
  }
  const bool is_wanted = !r.stop_wanted && (r.job == no_job || r.job_type == JobType::Start);
  if (r.spawn == 0 || is_main_seen(t) || !is_wanted) {
    watch_again(t);
  } else {  // the same key: one process at most
    t.unit.ordered = r.spawn;
    t.orders.processes.push_back(SpawnProcess{main_key(t), CommandPhase::Start, r.command, true});
  }
  return done;
}
Rule recover_phase(Turn& t) {
  if (recover_control(t)) watch_again(t);
  return done;
}
Rule recover_up(Turn& t) {
  watch_again(t);
  return done;
}
Rule recover_exited(Turn&) { return done; }
/// Whether the signal went out is not known: a second SIGTERM is the lesser evil.
Rule recover_sigterm(Turn& t) {
  if (!recover_control(t) && record(t).control == 0) return done;
  send_stop_signal(t, stop_signal(t));
  watch_again(t);
  return done;
}
Rule recover_sigkill(Turn& t) {
  if (!recover_control(t) && record(t).control == 0) return done;
  kill_run(t);
  watch_again(t);
  return done;
}

// ── The tables ──

// Rows and columns are in the order of ServiceState and Trigger.

/// A transition, or the rule by which the trigger is ignored.
struct Cell {
  Rule (*transition)(Turn&) = nullptr;
  Rule rule = nullptr;
  constexpr Cell(Rule (*go)(Turn&)) : transition(go) {}  // NOLINT(google-explicit-constructor)
  constexpr Cell(Rule ignored) : rule(ignored) {}        // NOLINT(google-explicit-constructor)
};

constexpr std::size_t service_states = state_count - 1;  // a target has a table of its own

// clang-format off
constexpr Cell by_jobs_and_time[service_states][6] = {
    //                  StartWanted     StopWanted     RestartWanted      ReloadWanted   DeadlinePassed       Recovered
    /* Dead         */ {start_at_rest,  stop_at_rest,  restart_as_start,  reload_not_up, no_deadline,         wait},
    /* Condition    */ {wait,           stop_starting, restart_starting,  wait,          deadline_in_start,   recover_phase},
    /* StartPre     */ {wait,           stop_starting, restart_starting,  wait,          deadline_in_start,   recover_phase},
    /* Start        */ {wait,           stop_starting, restart_starting,  wait,          deadline_in_start,   recover_start},
    /* StartPost    */ {wait,           stop_starting, restart_starting,  wait,          deadline_in_start,   recover_phase},
    /* Running      */ {start_when_up,  stop_up,       restart_up,        reload_up,     deadline_in_running, recover_up},
    /* Exited       */ {start_when_up,  stop_up,       restart_up,        reload_up,     no_deadline,         recover_exited},
    /* Reload       */ {start_when_up,  stop_starting, restart_starting,  wait,          deadline_in_reload,  recover_phase},
    /* Stop         */ {wait,           stop_ending,   restart_ending,    reload_not_up, deadline_in_stop,    recover_phase},
    /* StopWatchdog */ {wait,           stop_ending,   restart_ending,    reload_not_up, grace_is_over,       recover_sigterm},
    /* StopSigterm  */ {wait,           stop_ending,   restart_ending,    reload_not_up, grace_is_over,       recover_sigterm},
    /* StopSigkill  */ {wait,           stop_ending,   restart_ending,    reload_not_up, still_there,         recover_sigkill},
    /* StopPost     */ {wait,           stop_ending,   restart_ending,    reload_not_up, deadline_in_stop,    recover_phase},
    /* FinalSigterm */ {wait,           stop_ending,   restart_ending,    reload_not_up, grace_is_over,       recover_sigterm},
    /* FinalSigkill */ {wait,           stop_ending,   restart_ending,    reload_not_up, still_there,         recover_sigkill},
    /* AutoRestart  */ {wait,           stop_pause,    restart_pause_now, reload_not_up, restart_is_due,      wait},
    /* Failed       */ {start_at_rest,  stop_at_rest,  restart_as_start,  reload_not_up, no_deadline,         wait},
};
constexpr Cell by_main_process[service_states][4] = {
    //                  MainStarted                MainNotStarted                 MainExecuted   MainExited
    /* Dead         */ {started_after_end,         run_has_ended,                 run_has_ended, main_exited_after_end},
    /* Condition    */ {main_started,              main_not_started,              known_already, main_exited_in_stop},
    /* StartPre     */ {main_started,              main_not_started,              known_already, main_exited_in_stop},
    /* Start        */ {main_started,              main_not_started,              main_executed, main_exited_in_start},
    /* StartPost    */ {main_started,              main_not_started_while_up,     known_already, main_exited_up},
    /* Running      */ {main_started,              main_not_started_while_up,     known_already, main_exited_up},
    /* Exited       */ {main_started,              main_not_started_while_up,     known_already, main_exited_in_stop},
    /* Reload       */ {main_started,              main_not_started_while_up,     known_already, main_exited_up},
    /* Stop         */ {main_started,              main_not_started_while_ending, known_already, main_exited_in_stop},
    /* StopWatchdog */ {main_started_late,         main_not_started_while_ending, known_already, main_exited_ending},
    /* StopSigterm  */ {main_started_late,         main_not_started_while_ending, known_already, main_exited_ending},
    /* StopSigkill  */ {main_started_late,         main_not_started_while_ending, known_already, main_exited_ending},
    /* StopPost     */ {main_started,              main_not_started_while_ending, known_already, main_exited_in_stop},
    /* FinalSigterm */ {main_started_late,         main_not_started_while_ending, known_already, main_exited_ending},
    /* FinalSigkill */ {main_started_late,         main_not_started_while_ending, known_already, main_exited_ending},
    /* AutoRestart  */ {started_after_end,         run_has_ended,                 run_has_ended, main_exited_after_end},
    /* Failed       */ {started_after_end,         run_has_ended,                 run_has_ended, main_exited_after_end},
};
constexpr Cell by_control_process[service_states][3] = {
    //                  ControlStarted   ControlNotStarted    ControlExited
    /* Dead         */ {run_has_ended,   run_has_ended,       run_has_ended},
    /* Condition    */ {control_started, control_not_started, control_exited},
    /* StartPre     */ {control_started, control_not_started, control_exited},
    /* Start        */ {control_started, control_not_started, control_exited},
    /* StartPost    */ {control_started, control_not_started, control_exited},
    /* Running      */ {control_started, control_not_started, control_exited},
    /* Exited       */ {control_started, control_not_started, control_exited},
    /* Reload       */ {control_started, control_not_started, control_exited},
    /* Stop         */ {control_started, control_not_started, control_exited},
    /* StopWatchdog */ {control_started, control_not_started, control_exited},
    /* StopSigterm  */ {control_started, control_not_started, control_exited},
    /* StopSigkill  */ {control_started, control_not_started, control_exited},
    /* StopPost     */ {control_started, control_not_started, control_exited},
    /* FinalSigterm */ {control_started, control_not_started, control_exited},
    /* FinalSigkill */ {control_started, control_not_started, control_exited},
    /* AutoRestart  */ {run_has_ended,   run_has_ended,       run_has_ended},
    /* Failed       */ {run_has_ended,   run_has_ended,       run_has_ended},
};
constexpr Cell by_messages[service_states][4] = {
    //                  MainFound      MainMissing   Notified         RunEmptied
    /* Dead         */ {run_has_ended, not_asked,    run_has_ended,   release},
    /* Condition    */ {not_asked,     not_asked,    not_asked,       emptied},
    /* StartPre     */ {not_asked,     not_asked,    notified,        emptied},
    /* Start        */ {main_found,    main_missing, notified,        emptied},
    /* StartPost    */ {main_found,    not_asked,    notified,        emptied},
    /* Running      */ {main_found,    not_asked,    notified,        emptied},
    /* Exited       */ {main_found,    not_asked,    notified,        emptied},
    /* Reload       */ {main_found,    not_asked,    notified,        emptied},
    /* Stop         */ {not_asked,     not_asked,    notified_ending, emptied_in_stop},
    /* StopWatchdog */ {not_asked,     not_asked,    notified_ending, emptied},
    /* StopSigterm  */ {not_asked,     not_asked,    notified_ending, emptied},
    /* StopSigkill  */ {not_asked,     not_asked,    notified_ending, emptied},
    /* StopPost     */ {not_asked,     not_asked,    notified_ending, emptied},
    /* FinalSigterm */ {not_asked,     not_asked,    notified_ending, emptied},
    /* FinalSigkill */ {not_asked,     not_asked,    notified_ending, emptied},
    /* AutoRestart  */ {run_has_ended, not_asked,    run_has_ended,   release},
    /* Failed       */ {run_has_ended, not_asked,    run_has_ended,   release},
};
// clang-format on

// ── Targets ──

Rule leave(Turn& t) {
  if (!t.in_order) return done;
  enter(t, ServiceState::Dead);
  if (has_job(t, JobType::Stop)) finish_job(t, JobResult::Done);
  else record(t).job_type = JobType::Start;
  return done;
}
Rule stay(Turn& t) {
  finish_job(t, JobResult::Done);
  return done;
}

Rule take_target_turn(Trigger trigger, Turn& t) {
  const bool is_reached = record(t).state == ServiceState::Active;
  switch (trigger) {
    case Trigger::StartWanted: return is_reached ? stay(t) : start_at_rest(t);
    case Trigger::StopWanted: return is_reached ? leave(t) : stay(t);
    case Trigger::RestartWanted: return is_reached ? leave(t) : restart_as_start(t);
    case Trigger::ReloadWanted: return reload_not_up(t);
    case Trigger::ConditionsChecked: return conditions_checked(t);
    case Trigger::Recovered: return done;
    default: return run_has_ended;
  }
}

}  // namespace

const char* take_turn(Trigger trigger, Turn turn) {
  if (trigger == Trigger::Recovered) forget_untracked(turn);
  if (turn.unit.settings.kind == UnitKind::Target) return take_target_turn(trigger, turn);
  const auto state = static_cast<std::size_t>(turn.unit.record.state);
  if (state >= service_states) return run_has_ended;  // it was a target once
  const auto go = [&turn](const Cell& cell) { return cell.transition == nullptr ? cell.rule : cell.transition(turn); };
  const auto column = [trigger](Trigger first) {
    return static_cast<std::size_t>(trigger) - static_cast<std::size_t>(first);
  };
  if (trigger < Trigger::ConditionsChecked) return go(by_jobs_and_time[state][column(Trigger::StartWanted)]);
  if (trigger == Trigger::ConditionsChecked)
    return is_inactive(turn.unit.record.state) ? conditions_checked(turn) : conditions_too_late(turn);
  if (trigger < Trigger::ControlStarted) return go(by_main_process[state][column(Trigger::MainStarted)]);
  if (trigger < Trigger::MainFound) return go(by_control_process[state][column(Trigger::ControlStarted)]);
  return go(by_messages[state][column(Trigger::MainFound)]);
}

void hasten(Turn turn) {
  UnitRecord& r = turn.unit.record;
  switch (r.state) {
    case ServiceState::Stop:
    case ServiceState::StopPost:
    case ServiceState::StopWatchdog:
    case ServiceState::StopSigterm:
    case ServiceState::FinalSigterm:
      if (turn.is_hurrying) arm_sooner(turn, turn.now);
      else r.deadline = limited(turn, r.deadline);
      return;
    case ServiceState::StopSigkill:
    case ServiceState::FinalSigkill:
      if (turn.limit != nullptr) arm_sooner(turn, std::max(turn.limit->end, turn.now + last_kill_patience));
      return;
    default: return;
  }
}

bool is_being_stopped(const UnitRecord& record) noexcept {
  if (record.job == no_job) return false;
  return record.job_type == JobType::Stop || record.job_type == JobType::Restart || record.stop_wanted;
}

bool is_inactive(ServiceState state) noexcept { return state == ServiceState::Dead || state == ServiceState::Failed; }

bool is_up(ServiceState state) noexcept {
  return state == ServiceState::Running || state == ServiceState::Exited || state == ServiceState::Reload ||
         state == ServiceState::Active;
}

}  // namespace perdure::core
