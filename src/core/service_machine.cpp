#include "core/service_machine.hpp"

#include <algorithm>
#include <csignal>
#include <optional>

#include "core/ending.hpp"
#include "policy/service_restart.hpp"

namespace perdure::core {
namespace {

// ── Words that the transitions are made of ──

UnitRecord& record(Turn& t) { return t.unit.record; }
const ServiceSettings& settings(const Turn& t) { return t.unit.settings; }
SpawnKey main_key(const Turn& t) { return {t.unit.record.unit, t.unit.record.run, t.unit.record.spawn}; }
RunKey run_key(const Turn& t) { return main_key(t).run_key(); }
/// A process of this run was seen at some time.
bool is_seen(const Turn& t) { return t.unit.record.main_running || t.unit.record.main_ended; }

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
void arm_grace(Turn& t) { arm(t, t.is_hurrying ? base::Duration::zero() : settings(t).timeout_stop); }

void enter(Turn& t, ServiceState to) {
  UnitRecord& r = record(t);
  t.orders.announcements.push_back(AnnounceState{r.unit, r.state, to, r.result});
  r.state = to;
  r.state_since = t.now;
}

/// The first failure is the one that counts.
void note_result(Turn& t, ServiceResult result) {
  if (record(t).result == ServiceResult::Success) record(t).result = result;
}
void note_exit(Turn& t, const Exit& exit) {
  UnitRecord& r = record(t);
  r.main_running = r.retry_spawn = false;
  r.main_ended = true;
  r.last_exit = exit;
  r.setup_failed = t.setup_failed;
  // An ending that nobody saw, after one was asked for, is taken for the one that was asked for.
  const bool was_asked_for = r.state == ServiceState::StopSigterm || r.state == ServiceState::StopSigkill;
  if (exit.kind == ExitKind::Unknown && was_asked_for) return;
  note_result(t, result_of(exit, settings(t).success_status));
  // The code is the executor's, and SuccessExitStatus= speaks of the program's.
  if (t.setup_failed && exit.kind == ExitKind::Exited) note_result(t, ServiceResult::ExitCode);
}

void finish_job(Turn& t, JobResult result) {
  UnitRecord& r = record(t);
  if (r.job != no_job && r.job != unasked_job) t.orders.answers.push_back(FinishJob{r.job, r.unit, result});
  for (const JobId job : t.unit.merged_jobs) t.orders.answers.push_back(FinishJob{job, r.unit, result});
  t.unit.merged_jobs.clear();
  r.job = no_job;
  r.job_type = JobType::Start;
}
bool has_job(const Turn& t, JobType type) { return t.unit.record.job != no_job && t.unit.record.job_type == type; }

void watch(Turn& t) { t.orders.processes.push_back(WatchRun{run_key(t)}); }
void spawn(Turn& t) { t.orders.processes.push_back(SpawnProcess{main_key(t)}); }
void send(Turn& t, SignalTarget target, int number) {
  t.orders.processes.push_back(SendSignal{main_key(t), target, number});
}

// ── Beginning and end of a run ──

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
  r.spawn = 1;
  r.main_running = r.main_executed = r.main_ended = r.retry_spawn = r.setup_failed = false;
  r.result = ServiceResult::Success;
  r.restarts = cause == StartCause::Restart ? r.restarts + 1 : 0;
  r.last_start = t.now;
  t.unit.emptied = false;
  t.unit.evidence = Evidence::Told;
  enter(t, ServiceState::Start);
  arm(t, s.timeout_start);
  spawn(t);
}

enum class Leaving {
  Empty,   ///< no process of it is left
  Behind,  ///< what is left of it is not ours to end (KillMode=process, none)
};

bool is_ending_by_itself(ServiceState state) {
  return state == ServiceState::Start || state == ServiceState::Running || state == ServiceState::FinalSigterm ||
         state == ServiceState::FinalSigkill;
}

/// The run is over; decides what follows. A job that is waiting comes first, then Restart=, then rest.
void end_run(Turn& t, Leaving leaving) {
  UnitRecord& r = record(t);
  // What is left behind is released by the rule for runs that have ended, once it is empty.
  if (leaving == Leaving::Empty) t.orders.releases.push_back(ReleaseRun{run_key(t)});
  const bool by_itself = is_ending_by_itself(r.state);
  const auto exit = r.main_ended ? std::optional{r.last_exit} : std::nullopt;
  r.main_running = r.retry_spawn = false;
  disarm(t);

  if (r.job == no_job && by_itself && wants_restart(settings(t), r.result, exit)) {
    enter(t, ServiceState::AutoRestart);
    // What could not be started will hardly be possible at once: the start limit is not used up in one go.
    const base::Duration pause =
        r.setup_failed ? std::max(settings(t).restart_sec, failed_setup_pause) : settings(t).restart_sec;
    if (pause <= base::Duration::zero()) return begin_run(t, StartCause::Restart);
    return arm(t, pause);
  }
  enter(t, r.result == ServiceResult::Success ? ServiceState::Dead : ServiceState::Failed);
  if (has_job(t, JobType::Stop)) return finish_job(t, JobResult::Done);
  r.job_type = JobType::Start;  // of a restart, the starting half is left; the engine gives it its turn
}

void leave_behind(Turn& t) {
  watch(t);
  end_run(t, Leaving::Behind);
}

// ── Ending a run: signals by KillMode= ──

bool is_final(ServiceState state) { return state == ServiceState::FinalSigterm || state == ServiceState::FinalSigkill; }

void kill_run(Turn& t) {
  if (settings(t).kill_mode != KillMode::Process) t.orders.processes.push_back(KillRun{run_key(t)});
  else if (record(t).main_running) send(t, SignalTarget::Main, SIGKILL);
}

void enter_sigkill(Turn& t) {
  kill_run(t);
  enter(t, is_final(record(t).state) ? ServiceState::FinalSigkill : ServiceState::StopSigkill);
  arm(t, kill_patience);
}

/// What KillMode= says of a process that is there. Nothing where none was seen yet: ProcessStarted makes up for it.
void send_stop_signal(Turn& t) {
  const UnitRecord& r = record(t);
  if (settings(t).kill_mode == KillMode::ControlGroup && is_seen(t)) send(t, SignalTarget::All, settings(t).kill_signal);
  else if (r.main_running) send(t, SignalTarget::Main, settings(t).kill_signal);
}

/// Begins to end what runs, for `sigterm`: StopSigterm where somebody wants it, FinalSigterm where it comes of itself.
void enter_sigterm(Turn& t, ServiceState sigterm) {
  const UnitRecord& r = record(t);
  const ServiceSettings& s = settings(t);
  if (r.retry_spawn) return end_run(t, Leaving::Empty);
  const bool main_only = s.kill_mode == KillMode::Process || (s.kill_mode == KillMode::Mixed && !s.send_sigkill);
  if (s.kill_mode == KillMode::None || (r.main_ended && main_only)) return leave_behind(t);

  enter(t, sigterm);
  if (r.main_ended && s.kill_mode == KillMode::Mixed) return enter_sigkill(t);
  send_stop_signal(t);
  arm_grace(t);
}

/// The main process has ended, and it is not known yet whether anything is left.
void after_main_end(Turn& t, bool is_stopping) {
  const ServiceSettings& s = settings(t);
  if (t.unit.emptied) return end_run(t, Leaving::Empty);
  if (s.kill_mode == KillMode::Process || s.kill_mode == KillMode::None) return leave_behind(t);
  watch(t);
  if (!is_stopping) return arm(t, leftover_patience);
  if (s.kill_mode == KillMode::Mixed) arm_sooner(t, t.now + leftover_patience);
}

// ── Transitions, by trigger ──

using Rule = const char*;
constexpr Rule done = nullptr;

constexpr Rule known_already = "known already";
constexpr Rule run_has_ended = "the run has ended";
constexpr Rule nothing_started = "nothing was started yet";
constexpr Rule is_started = "the process is there";
constexpr Rule no_deadline = "no deadline is armed";

// Jobs. One that has to wait is no news: its unit gets another turn whenever something it may wait for has changed.

Rule start_at_rest(Turn& t) {
  if (t.in_order) begin_run(t, StartCause::Job);
  return done;
}
Rule start_when_running(Turn& t) {
  if (record(t).main_running) finish_job(t, JobResult::Done);
  return done;
}
Rule wait(Turn&) { return done; }

Rule stop_at_rest(Turn& t) {
  finish_job(t, JobResult::Done);
  return done;
}
Rule stop_pause(Turn& t) {
  disarm(t);
  enter(t, ServiceState::Dead);
  return stop_at_rest(t);
}
Rule stop_running(Turn& t) {
  if (t.in_order) enter_sigterm(t, ServiceState::StopSigterm);
  return done;
}
Rule stop_final_sigterm(Turn& t) {
  enter(t, ServiceState::StopSigterm);  // it is being signalled already; what changes is that nothing follows
  return done;
}
Rule stop_final_sigkill(Turn& t) {
  enter(t, ServiceState::StopSigkill);
  return done;
}

Rule restart_as_start(Turn& t) {
  record(t).job_type = JobType::Start;
  return done;
}
Rule restart_pause(Turn& t) {
  disarm(t);
  enter(t, ServiceState::Dead);
  return restart_as_start(t);
}
Rule restart_running(Turn& t) {
  if (!t.in_order) return done;
  record(t).job_type = JobType::Start;
  return stop_running(t);
}

// ProcessStarted

void become_running(Turn& t) {
  disarm(t);
  enter(t, ServiceState::Running);
  if (has_job(t, JobType::Start)) finish_job(t, JobResult::Done);
}

Rule started(Turn& t) {
  UnitRecord& r = record(t);
  t.unit.evidence = Evidence::Told;
  if (is_seen(t)) return known_already;
  r.main_running = true;
  r.retry_spawn = false;
  if (settings(t).type == ServiceType::Simple) become_running(t);
  else r.deadline = later(r.state_since, settings(t).timeout_start);
  return done;
}
Rule started_already(Turn& t) {
  t.unit.evidence = Evidence::Told;
  return known_already;
}
/// The stop came before the process did.
Rule started_late(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (is_seen(t)) return known_already;
  record(t).main_running = true;
  send_stop_signal(t);
  return done;
}
Rule started_to_be_killed(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (is_seen(t)) return known_already;
  record(t).main_running = true;
  kill_run(t);
  return done;
}
/// A process in a run that is over: nobody wants it, unless KillMode= says to leave it alone.
Rule started_after_end(Turn& t) {
  const KillMode mode = settings(t).kill_mode;
  if (!record(t).main_ended && (mode == KillMode::ControlGroup || mode == KillMode::Mixed)) kill_run(t);
  watch(t);
  return run_has_ended;
}

// SpawnFailed

Rule spawn_failed(Turn& t) {
  UnitRecord& r = record(t);
  if (is_seen(t)) return is_started;
  if (r.retry_spawn) return known_already;
  if (t.problem == SpawnProblem::Permanent) {
    note_result(t, ServiceResult::ExitCode);
    r.setup_failed = true;
    if (has_job(t, JobType::Start)) finish_job(t, JobResult::Failed);
    end_run(t, Leaving::Empty);
    return done;
  }
  r.retry_spawn = true;
  arm_sooner(t, t.now + spawn_retry_pause);
  return done;
}
Rule spawn_failed_while_stopping(Turn& t) {
  if (is_seen(t)) return is_started;
  end_run(t, Leaving::Empty);
  return done;
}

// ProgramExecuted

Rule executed(Turn& t) {
  UnitRecord& r = record(t);
  if (r.main_ended || settings(t).type != ServiceType::Exec) return known_already;
  t.unit.evidence = Evidence::Told;
  r.main_running = r.main_executed = true;
  r.retry_spawn = false;
  become_running(t);
  return done;
}
// ProcessExited

Rule exited_in_start(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (record(t).main_ended) return known_already;
  note_exit(t, t.exit);
  // A program that has been executed has been started, however short its life was.
  if (has_job(t, JobType::Start)) finish_job(t, t.setup_failed ? JobResult::Failed : JobResult::Done);
  after_main_end(t, false);
  return done;
}
Rule exited(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (record(t).main_ended) return known_already;
  note_exit(t, t.exit);
  after_main_end(t, false);
  return done;
}
Rule exited_while_stopping(Turn& t) {
  t.unit.evidence = Evidence::Told;
  if (record(t).main_ended) return known_already;
  note_exit(t, t.exit);
  after_main_end(t, true);
  return done;
}
/// Told again, because its release was never carried out; or of a process that was left behind.
Rule exited_after_end(Turn& t) {
  UnitRecord& r = record(t);
  watch(t);
  if (r.main_ended) return run_has_ended;
  r.main_ended = true;
  r.last_exit = t.exit;
  return done;
}

// RunEmptied

Rule emptied(Turn& t) {
  UnitRecord& r = record(t);
  const bool is_missing = t.unit.evidence == Evidence::Missing;
  if (!is_seen(t) && !is_missing) return nothing_started;
  t.unit.emptied = true;
  if (r.main_running && is_missing) note_exit(t, Exit{});
  if (!r.main_running) end_run(t, Leaving::Empty);
  return done;
}
Rule release(Turn& t) {
  t.orders.releases.push_back(ReleaseRun{run_key(t)});
  return done;
}

// DeadlinePassed

/// The main process ended by itself and left processes behind.
Rule end_leftovers(Turn& t) {
  enter_sigterm(t, ServiceState::FinalSigterm);
  return done;
}
Rule deadline_in_start(Turn& t) {
  UnitRecord& r = record(t);
  if (r.main_ended) return end_leftovers(t);
  const base::Instant given_up = later(r.state_since, settings(t).timeout_start);
  const bool is_over = given_up != base::Instant{} && given_up <= t.now;
  if (r.retry_spawn && !is_over) {
    r.retry_spawn = false;
    r.spawn += 1;
    r.deadline = given_up;
    spawn(t);
    return done;
  }
  note_result(t, r.retry_spawn ? ServiceResult::Resources : ServiceResult::Timeout);
  if (has_job(t, JobType::Start)) finish_job(t, JobResult::Timeout);
  enter_sigterm(t, ServiceState::FinalSigterm);
  return done;
}
Rule deadline_in_running(Turn& t) { return record(t).main_ended ? end_leftovers(t) : no_deadline; }

Rule grace_is_over(Turn& t) {
  const ServiceSettings& s = settings(t);
  // Under KillMode=mixed, the end of the main process is when the others are killed: that is no timeout.
  const bool is_timeout = !(s.kill_mode == KillMode::Mixed && record(t).main_ended);
  if (!is_timeout && !s.send_sigkill) {
    leave_behind(t);
    return done;
  }
  if (is_timeout) note_result(t, ServiceResult::Timeout);
  if (s.send_sigkill) {
    enter_sigkill(t);
    return done;
  }
  // It stays here until it ends by itself: a second instance beside it is worse than none.
  finish_job(t, JobResult::Timeout);
  arm(t, kill_patience);
  return done;
}
Rule still_there(Turn& t) {
  note_result(t, ServiceResult::Timeout);
  finish_job(t, JobResult::Timeout);
  kill_run(t);
  arm(t, kill_patience);
  return done;
}
Rule restart_is_due(Turn& t) {
  begin_run(t, record(t).job == no_job ? StartCause::Restart : StartCause::Job);
  return done;
}

// Recovered

void ask_whether_there(Turn& t) {
  if (t.unit.evidence == Evidence::Told) return;
  t.unit.evidence = Evidence::Missing;
  if (t.unit.emptied) emptied(t);
  else watch(t);
}
void watch_again(Turn& t) {
  if (record(t).main_ended && !t.unit.emptied) watch(t);
  else ask_whether_there(t);
}
Rule recover_start(Turn& t) {
  const UnitRecord& r = record(t);
  if (r.retry_spawn || (t.unit.evidence == Evidence::Told && !r.main_ended)) return done;
  const bool is_wanted = r.job == no_job || r.job_type == JobType::Start;
  if (is_seen(t) || !is_wanted) watch_again(t);
  else spawn(t);  // the same key: there is one process for it at most
  return done;
}
Rule recover_running(Turn& t) {
  watch_again(t);
  return done;
}
/// Whether the signal went out is not known: a second SIGTERM is the lesser evil.
Rule recover_sigterm(Turn& t) {
  send_stop_signal(t);
  watch_again(t);
  return done;
}
Rule recover_sigkill(Turn& t) {
  kill_run(t);
  watch_again(t);
  return done;
}

// ── The table ──

// Rows and columns are in the order of ServiceState and Trigger.

/// A transition, or the rule by which the trigger is ignored.
struct Cell {
  Rule (*transition)(Turn&) = nullptr;
  Rule rule = nullptr;
  constexpr Cell(Rule (*go)(Turn&)) : transition(go) {}  // NOLINT(google-explicit-constructor)
  constexpr Cell(Rule ignored) : rule(ignored) {}        // NOLINT(google-explicit-constructor)
};

// clang-format off
constexpr Cell by_jobs_and_time[state_count][job_and_time_triggers] = {
    //                  StartWanted         StopWanted          RestartWanted     DeadlinePassed       Recovered
    /* Dead         */ {start_at_rest,      stop_at_rest,       restart_as_start, no_deadline,         wait},
    /* Start        */ {wait,               stop_running,       restart_running,  deadline_in_start,   recover_start},
    /* Running      */ {start_when_running, stop_running,       restart_running,  deadline_in_running, recover_running},
    /* StopSigterm  */ {wait,               wait,               restart_as_start, grace_is_over,       recover_sigterm},
    /* StopSigkill  */ {wait,               wait,               restart_as_start, still_there,         recover_sigkill},
    /* FinalSigterm */ {wait,               stop_final_sigterm, restart_as_start, grace_is_over,       recover_sigterm},
    /* FinalSigkill */ {wait,               stop_final_sigkill, restart_as_start, still_there,         recover_sigkill},
    /* AutoRestart  */ {wait,               stop_pause,         restart_pause,    restart_is_due,      wait},
    /* Failed       */ {start_at_rest,      stop_at_rest,       restart_as_start, no_deadline,         wait},
};
constexpr Cell by_facts[state_count][fact_triggers] = {
    //                  ProcessStarted        SpawnFailed                  ProgramExecuted ProcessExited          RunEmptied
    /* Dead         */ {started_after_end,    run_has_ended,               run_has_ended,  exited_after_end,      release},
    /* Start        */ {started,              spawn_failed,                executed,       exited_in_start,       emptied},
    /* Running      */ {started_already,      is_started,                  known_already,  exited,                emptied},
    /* StopSigterm  */ {started_late,         spawn_failed_while_stopping, known_already,  exited_while_stopping, emptied},
    /* StopSigkill  */ {started_to_be_killed, spawn_failed_while_stopping, known_already,  exited_while_stopping, emptied},
    /* FinalSigterm */ {started_late,         spawn_failed_while_stopping, known_already,  exited_while_stopping, emptied},
    /* FinalSigkill */ {started_to_be_killed, spawn_failed_while_stopping, known_already,  exited_while_stopping, emptied},
    /* AutoRestart  */ {started_after_end,    run_has_ended,               run_has_ended,  exited_after_end,      release},
    /* Failed       */ {started_after_end,    run_has_ended,               run_has_ended,  exited_after_end,      release},
};
// clang-format on

}  // namespace

const char* take_turn(Trigger trigger, Turn turn) {
  const auto state = static_cast<std::size_t>(turn.unit.record.state);
  const auto column = static_cast<std::size_t>(trigger);
  const Cell& cell =
      column < job_and_time_triggers ? by_jobs_and_time[state][column] : by_facts[state][column - job_and_time_triggers];
  return cell.transition == nullptr ? cell.rule : cell.transition(turn);
}

bool is_being_stopped(const UnitRecord& record) noexcept {
  if (record.job == no_job) return false;
  return record.job_type != JobType::Start || record.state == ServiceState::StopSigterm ||
         record.state == ServiceState::StopSigkill;
}

bool is_inactive(ServiceState state) noexcept { return state == ServiceState::Dead || state == ServiceState::Failed; }

}  // namespace perdure::core
