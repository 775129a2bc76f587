#include "world.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/print.hpp"

namespace perdure::simulation {
namespace {

using namespace std::chrono_literals;
using core::KillMode;

constexpr core::UnitId units_max = 9;
constexpr std::size_t past_max = 200;
constexpr std::size_t story_max = 100'000;
constexpr std::size_t actions_max = 400;  ///< of a step; what goes round in circles has more
constexpr Duration peace = 400s;
constexpr int repeats_max = 100;  ///< of a deadline at one instant; a few follow from each other where timeouts are nothing
constexpr Duration look_pause = 10ms;  ///< between two looks for a PID file

std::int64_t ms(std::optional<Duration> duration) {
  return duration ? std::chrono::duration_cast<std::chrono::milliseconds>(*duration).count() : -1;
}

}  // namespace

World::World(std::uint64_t seed)
    : random_(seed),
      machine_(random_, {.started = [this](const core::SpawnKey& key) { tell(core::ProcessStarted{key}); },
                         .not_started =
                             [this](const core::SpawnKey& key, core::SpawnProblem problem) {
                               checks_.spawn_failed(now_, key);
                               tell(core::SpawnFailed{key, problem});
                             },
                         .executed = [this](const core::SpawnKey& key) { tell(core::ProgramExecuted{key}); },
                         .exited =
                             [this](const core::SpawnKey& key) {
                               const Entry& entry = machine_.table().at(key);
                               checks_.exited(now_, key, entry.exit);
                               tell(core::ProcessExited{key, entry.exit, entry.setup_failed});
                             },
                         .emptied =
                             [this](const core::RunKey& run) {
                               if (watched_.count(run) != 0 || random_.chance(500)) tell_emptied(run);
                             },
                         .notified = [this](const core::Notified& message) { tell_message(message); },
                         .later = [this](Duration delay, std::function<void()> what) { later(delay, std::move(what)); }}),
      checks_(machine_, settings_),
      keeps_story_(std::getenv("PERDURE_SIMULATION_STORY") != nullptr) {
  make_units();
  faults_ = {.death = random_.one_of<std::uint64_t>({0, 2, 20, 100}),
             .quiet_death = random_.one_of<std::uint64_t>({0, 0, 5, 30}),
             .repeated = random_.one_of<std::uint64_t>({0, 50, 300}),
             .stale = random_.one_of<std::uint64_t>({0, 10, 100}),
             .lost_keeper = random_.one_of<std::uint64_t>({0, 0, 0, 100}),
             .lost_journal = random_.one_of<std::uint64_t>({0, 0, 0, 0, 20}),
             .delay_max = random_.one_of<Duration>({0ms, 1ms, 20ms, 500ms})};
  stop_within_ = random_.one_of<std::optional<Duration>>({std::nullopt, std::nullopt, 0s, 500ms, 5s});
}

void World::make_units() {
  const core::UnitId count = 1 + static_cast<core::UnitId>(random_.below(units_max));
  // Not all kinds at once: a story in which everything hangs together tells little about any of them.
  const Kinds kinds{.has_requirements = random_.chance(600),
                    .has_followers = random_.chance(250),
                    .has_upholds = random_.chance(200),
                    .has_essentials = random_.chance(100)};
  for (core::UnitId id = 1; id <= count; ++id) {
    settings_[id] = make_settings(kinds);
    relate(settings_[id], id, count, kinds);
    const auto sometimes = [&](std::uint64_t per_mille) { return random_.chance(300) ? per_mille : 0; };
    tempers_[id] = {.life_max = random_.one_of<Duration>({0s, 10ms, 1s, 20s}),
                    .ignores_term = sometimes(500),
                    .leaves_behind = sometimes(500),
                    .hangs_early = sometimes(300),
                    .fails_setup = sometimes(200),
                    .unkillable = sometimes(200),
                    .no_resources = sometimes(400),
                    .impossible = sometimes(200),
                    .commands_fail = sometimes(300),
                    .commands_hang = sometimes(200),
                    .commands_fork = sometimes(300),
                    .no_daemon = sometimes(300),
                    .no_pid_file = sometimes(300),
                    .daemons_doubled = sometimes(300),
                    .keeps_watchdog = random_.one_of<std::uint64_t>({1000, 990, 800})};
  }
}

core::ServiceSettings World::make_settings(const Kinds& kinds) {
  using core::ServiceType;
  core::ServiceSettings s;
  if (random_.chance(120)) s.kind = core::UnitKind::Target;
  s.type = random_.chance(300) ? ServiceType::Simple : static_cast<ServiceType>(random_.below(6));
  const bool is_oneshot = s.type == ServiceType::Oneshot;
  s.restart = random_.chance(300) ? core::RestartWhen::Always : static_cast<core::RestartWhen>(random_.below(7));
  if (is_oneshot && (s.restart == core::RestartWhen::Always || s.restart == core::RestartWhen::OnSuccess))
    s.restart = core::RestartWhen::OnFailure;
  s.restart_sec = random_.one_of<Duration>({0s, 0s, 100ms, 1s});
  s.pause_grows = random_.chance(200);
  s.timeout_start = random_.chance(50) ? std::nullopt : std::optional{random_.one_of<Duration>({200ms, 1s, 5s})};
  s.timeout_stop = random_.chance(50) ? std::nullopt : std::optional{random_.one_of<Duration>({0s, 300ms, 3s})};
  s.timeout_abort = random_.chance(50) ? std::nullopt : std::optional{random_.one_of<Duration>({0s, 300ms, 3s})};
  s.start_limit_interval = random_.one_of<Duration>({0s, 500ms, 2s, 10s});
  s.start_limit_burst = random_.one_of<std::uint32_t>({0, 1, 3, 5});
  s.kill_mode = random_.chance(600) ? KillMode::ControlGroup : static_cast<KillMode>(random_.below(4));
  s.send_sigkill = !random_.chance(100);
  s.send_sighup = random_.chance(100);
  s.kill_signal = random_.one_of({SIGTERM, SIGTERM, SIGQUIT});
  s.restart_kill_signal = random_.one_of({0, 0, SIGINT});
  if (random_.chance(100)) s.success_status = {.codes = {3}, .signals = {SIGKILL}};
  if (random_.chance(100)) s.restart_prevent_status = {.codes = {1}, .signals = {SIGSEGV}};
  if (random_.chance(100) && !is_oneshot) s.restart_force_status = {.codes = {0, 2}};
  for (std::size_t phase = 0; phase < core::phase_count; ++phase) {
    if (static_cast<core::CommandPhase>(phase) == core::CommandPhase::Start || !random_.chance(200)) continue;
    s.commands[phase] = {static_cast<std::uint8_t>(1 + random_.below(2)), random_.below(4)};
  }
  if (random_.chance(100)) s.commands[2].ignores_failure = 1;
  if (is_oneshot) s.commands[2] = {static_cast<std::uint8_t>(random_.below(4)), random_.below(8)};
  // What has no command at all is no service.
  s.remain_after_exit = random_.chance(is_oneshot ? 600 : 150) || s.commands[2].count == 0 ||
                        (is_oneshot && (kinds.has_upholds || kinds.has_followers));
  s.has_pid_file = random_.chance(500);
  s.has_conditions = random_.chance(150);
  if (s.type != ServiceType::Oneshot && s.type != ServiceType::Forking && random_.chance(150))
    s.watchdog = random_.one_of<Duration>({100ms, 1s});
  if (random_.chance(100)) s.runtime_max = random_.one_of<Duration>({50ms, 2s});
  s.is_essential = kinds.has_essentials && random_.chance(300);
  s.start_limit_action =
      kinds.has_essentials && random_.chance(100) ? core::EmergencyAction::Exit : core::EmergencyAction::None;
  return s;
}

void World::relate(core::ServiceSettings& s, core::UnitId id, core::UnitId count, const Kinds& kinds) {
  // What upholds and what conflicts may keep each other busy for ever, which is what was asked for, but no rest.
  const bool has_conflicts = kinds.has_requirements && !kinds.has_upholds && !kinds.has_followers;
  const auto maybe = [&](bool is_kind, std::uint64_t per_mille, core::UnitId other, std::vector<core::UnitId>& list) {
    if (is_kind && other != id && random_.chance(per_mille)) list.push_back(other);
  };
  for (core::UnitId other = 1; other <= count; ++other) {
    maybe(true, 150, other, s.wants);
    if (random_.chance(random_.chance(500) && other >= id ? 20 : 200)) s.after.push_back(other);  // in circles, too
    maybe(true, 40, other, s.before);
    maybe(kinds.has_requirements, 80, other, s.requires_);
    maybe(kinds.has_requirements, 30, other, s.requisite);
    maybe(kinds.has_requirements, 60, other, s.binds_to);
    maybe(kinds.has_requirements, 60, other, s.part_of);
    maybe(has_conflicts, 80, other, s.conflicts);
    maybe(kinds.has_upholds, 100, other, s.upholds);
    maybe(kinds.has_followers && other > id, 100, other, s.on_failure);
    maybe(kinds.has_followers && other > id, 100, other, s.on_success);
    maybe(true, 50, other, s.reload_to);
  }
}

void World::note(const std::string& line) {
  story_.push_back(fmt::format("{:10.4f}  {}", std::chrono::duration<double>(now_.time_since_epoch()).count(), line));
  if (story_.size() > story_max) story_.pop_front();
}

std::string World::story() const {
  const auto list = [](const char* name, const std::vector<core::UnitId>& units) {
    return units.empty() ? std::string{} : fmt::format(" {} {}", name, fmt::join(units, ","));
  };
  std::string text;
  for (const auto& [id, s] : settings_) {
    text +=
        fmt::format("unit #{}:{} type {} restart {} sec {} start {} stop {} abort {} kill_mode {} sigkill {} limit {}/{}",
                    id, s.kind == core::UnitKind::Target ? " target" : "", int(s.type), int(s.restart), ms(s.restart_sec),
                    ms(s.timeout_start), ms(s.timeout_stop), ms(s.timeout_abort), int(s.kill_mode), s.send_sigkill,
                    ms(s.start_limit_interval), s.start_limit_burst);
    text += " commands";
    for (const core::Commands& commands : s.commands) text += fmt::format(" {}", int(commands.count));
    if (s.remain_after_exit) text += " remain";
    if (s.has_pid_file) text += " pid-file";
    if (s.has_conditions) text += " conditions";
    if (s.is_essential) text += " essential";
    if (s.watchdog) text += fmt::format(" watchdog {}", ms(s.watchdog));
    if (s.runtime_max) text += fmt::format(" runtime {}", ms(s.runtime_max));
    text += list("wants", s.wants) + list("requires", s.requires_) + list("requisite", s.requisite) +
            list("binds", s.binds_to) + list("part", s.part_of) + list("upholds", s.upholds) +
            list("conflicts", s.conflicts) + list("after", s.after) + list("before", s.before) +
            list("failure", s.on_failure) + list("success", s.on_success) + '\n';
  }
  for (const std::string& line : story_) text += line + '\n';
  return text;
}

void World::later(Duration delay, std::function<void()> what) {
  queue_.push({now_ + delay, random_.next(), std::move(what)});
}

/// News travel to the manager that lives now; one that follows hears from the keeper's table instead.
void World::tell(core::Event event) {
  if (!engine_) return;
  const std::uint64_t times = random_.chance(faults_.repeated) ? 2 : 1;
  for (std::uint64_t i = 0; i < times; ++i) {
    ++undelivered_;
    later(random_.up_to(faults_.delay_max), [this, event, manager = manager_] {
      if (manager != manager_ || !engine_) return;
      --undelivered_;
      past_.push_back(event);
      if (past_.size() > past_max) past_.pop_front();
      step(event);
    });
  }
}

void World::tell_message(const core::Notified& message) {
  checks_.notified(message);
  tell(message);
}

/// With the number of the last process that this manager knows of; a run that it does not know has none.
void World::tell_emptied(const core::RunKey& run) {
  if (const auto known = known_spawns_.find(run); known != known_spawns_.end())
    return tell(core::RunEmptied{run, known->second});
  ++undelivered_;
  later(random_.up_to(faults_.delay_max), [this, run, manager = manager_] {
    if (manager != manager_ || !engine_) return;
    --undelivered_;
    if (known_spawns_.count(run) == 0) step(core::RunEmptied{run, 0});
  });
}

void World::step(const core::Event& event) {
  ++events_;
  if (keeps_story_) note(core::to_text(event));
  const std::size_t before = pending_.size();
  engine_->step(now_, event, pending_);
  if (keeps_story_)
    for (std::size_t i = before; i < pending_.size(); ++i) note("    " + core::to_text(pending_[i]));
  if (pending_.size() - before > actions_max)
    checks_.complain(fmt::format("{} actions in one step", pending_.size() - before));
  // The shell may collect several steps before it acts.
  const bool more_is_due = !queue_.empty() && queue_.top().at == now_;
  if (!is_recovering_ && (!more_is_due || random_.chance(500))) carry_out();
  if (engine_ && !is_recovering_ && events_ % 64 == 0) checks_.between_steps(*engine_);
}

/// One write for all that is to be recorded; then one order after the other.
void World::carry_out() {
  core::ActionList actions;
  actions.swap(pending_);
  if (!actions.empty() && !is_peace_ && random_.chance(faults_.death)) return kill_manager();
  const auto is_record = [](const core::Action& action) { return std::holds_alternative<core::RecordUnit>(action); };
  for (const bool records : {true, false}) {
    for (const core::Action& action : actions) {
      if (is_record(action) != records) continue;
      if (!records && !is_peace_ && random_.chance(faults_.death)) return kill_manager();
      checks_.order(now_, action, *engine_);
      if (!complaint().empty()) return;
      carry_out_one(action);
    }
  }
}

void World::carry_out_one(const core::Action& action) {
  if (const auto* record = std::get_if<core::RecordUnit>(&action)) {
    journal_[record->record.unit] = record->record;
  } else if (const auto* spawn = std::get_if<core::SpawnProcess>(&action)) {
    const core::SpawnKey& key = spawn->key;
    std::uint32_t& known = known_spawns_[key.run_key()];
    known = std::max(known, key.spawn);
    machine_.spawn(*spawn, settings_.at(key.unit), is_peace_ ? Temper{.keeps_watchdog = 1000} : tempers_.at(key.unit));
  } else if (const auto* check = std::get_if<core::CheckConditions>(&action)) {
    const auto verdict = is_peace_ || random_.chance(600) ? 0 : 1 + random_.below(2);
    tell(core::ConditionsChecked{check->unit, static_cast<core::ConditionVerdict>(verdict)});
  } else if (const auto* find = std::get_if<core::FindMain>(&action)) {
    look_for_main(find->run);
  } else if (const auto* track = std::get_if<core::TrackMain>(&action)) {
    std::uint32_t& known = known_spawns_[track->key.run_key()];
    known = std::max(known, track->key.spawn);
    machine_.track(track->key, is_peace_ || random_.chance(900));
  } else if (const auto* send = std::get_if<core::SendSignal>(&action)) {
    if (send->target == core::SignalTarget::Process) machine_.signal_one(send->key, send->signal);
    else machine_.signal_all(send->key.run_key(), send->signal);
  } else if (const auto* kill = std::get_if<core::KillRun>(&action)) {
    machine_.signal_all(kill->run, SIGKILL);
  } else if (const auto* watch = std::get_if<core::WatchRun>(&action)) {
    watched_.insert(watch->run);
    if (machine_.is_empty(watch->run)) tell_emptied(watch->run);
  } else if (const auto* ended = std::get_if<core::ReleaseProcess>(&action)) {
    machine_.release(ended->key);
  } else if (const auto* release = std::get_if<core::ReleaseRun>(&action)) {
    machine_.release(release->run);
    watched_.erase(release->run);
    known_spawns_.erase(release->run);
  } else if (std::holds_alternative<core::EndInstance>(action)) {
    note_shutdown(std::max(shutdowns_, 1));
  }
}

/// As the shell does: with a PID file until there is one, or the start is over; else once.
void World::look_for_main(const core::RunKey& run) {
  const core::UnitRecord* const record = engine_->record(run.unit);
  if (record->run != run.run || record->state != core::ServiceState::Start) return;
  const bool by_file = settings_.at(run.unit).has_pid_file;
  if (machine_.choose_daemon(run, by_file)) return tell(core::MainFound{run});
  if (!by_file) return tell(core::MainMissing{run});
  later(look_pause, [this, run, manager = manager_] {
    if (manager == manager_ && engine_) look_for_main(run);
  });
}

/// Some process of some run says something.
void World::chatter() {
  if (machine_.runs().empty()) return;
  auto chosen = machine_.runs().begin();
  std::advance(chosen, static_cast<std::ptrdiff_t>(random_.below(machine_.runs().size())));
  const auto& [key, run] = *chosen;
  const auto known = settings_.find(key.unit);
  if (run.is_empty() || known == settings_.end()) return;
  core::Notified message{.run = key};
  switch (random_.below(10)) {
    case 0: message.is_stopping = true; break;
    case 1: message.asks_to_be_ended = true; break;
    case 2: message.watchdog = random_.one_of<Duration>({0ms, 200ms, 2s}); break;
    case 3: message.extend_timeout = random_.up_to(2s); break;
    case 4:
    case 5: message.is_reloading = true; break;
    case 6: message.is_ready = true; break;
    case 7:
      if (machine_.choose_any(key)) step(core::MainFound{key});  // MAINPID=; the shell has the process in its hand just now
      return;
    default: message.is_alive = true; break;
  }
  if (message.is_ready) machine_.note_ready(key);
  tell_message(message);
}

void World::client() {
  if (!engine_) return;
  const auto unit = [&] { return 1 + static_cast<core::UnitId>(random_.below(settings_.size())); };
  const auto job = [&] {
    const auto type = static_cast<core::JobType>(random_.below(5));
    const core::JobRequested request{
        .job = next_job_++, .type = random_.chance(300) ? core::JobType::Start : type, .unit = unit()};
    checks_.job_requested(now_, request);
    return request;
  };
  switch (random_.below(24)) {
    case 0: {
      core::JobsRequested several;
      for (std::uint64_t i = random_.below(5); i > 0; --i) several.jobs.push_back(job());
      return step(several);
    }
    case 1: {
      const core::UnitId reset = unit();
      checks_.failure_reset(reset);
      return step(core::FailureReset{reset});
    }
    case 2: {  // too early, or told for nothing
      const auto deadline = engine_->next_deadline();
      if (deadline && *deadline <= now_) return;
      carry_out();
      if (!engine_) return;
      const std::vector<core::UnitRecord> before = engine_->snapshot();
      step(core::DeadlinePassed{});
      if (engine_ && engine_->snapshot() != before) checks_.complain("I9: a deadline passed before it was due");
      return;
    }
    case 3: return step(core::JobCanceled{next_job_ - std::min<core::JobId>(next_job_, 1 + random_.below(3))});
    case 4:
    case 5:
    case 6: return chatter();
    default: return step(job());
  }
}

// ── The manager's death ──

/// That no process was started is an answer to the manager that wanted one; the next one asks again. That a run is empty, the
/// manager's own shell has seen.
void World::forget_answers() {
  std::erase_if(past_, [](const core::Event& event) {
    return std::holds_alternative<core::SpawnFailed>(event) || std::holds_alternative<core::RunEmptied>(event);
  });
}

/// All that a manager had in its head.
void World::end_manager() {
  forget_answers();
  ++deaths_;
  ++manager_;
  undelivered_ = 0;
  pending_.clear();
  watched_.clear();
  known_spawns_.clear();
  machine_.forget_candidates();
  engine_.reset();
  checks_.manager_died();
}

void World::kill_manager() {
  if (keeps_story_) note("the manager is killed");
  end_manager();
  for (auto& [id, record] : journal_) {
    if (!random_.chance(faults_.lost_journal)) continue;
    if (keeps_story_) note(fmt::format("the journal of #{} is lost", id));
    record = {};
    past_.clear();  // keys may be used again
    checks_.journal_lost(id);
  }
  std::erase_if(journal_, [](const auto& entry) { return entry.second.unit == core::no_unit; });
  later(random_.up_to(50ms), [this] {
    if (!engine_) recover();
  });
}

/// I7: nothing was on its way and nothing undone: the manager that follows must know what this one knew.
void World::die_quietly() {
  if (keeps_story_) note("the manager is killed while it waits");
  const std::vector<core::UnitRecord> before = engine_->snapshot();
  const Faults unkind = std::exchange(faults_, {.delay_max = faults_.delay_max});
  end_manager();
  recover();
  faults_ = unkind;
  if (shutdowns_ > 0) return;  // told again, it asks again for what does not stop
  for (const core::UnitRecord& old : before) {
    const core::UnitRecord* now = engine_->record(old.unit);
    if (*now != old)
      checks_.complain(fmt::format("I7: before the death {}, after it {}", core::to_text(old), core::to_text(*now)));
  }
}

/// Keeper and manager are lost together. What runs goes on; how others ended, and what a live control process was for, nobody
/// knows.
std::vector<core::Event> World::lose_keeper() {
  if (keeps_story_) note("the keeper is lost");
  std::vector<core::Event> unseen;
  std::vector<core::SpawnKey> gone;
  for (const auto& [key, entry] : machine_.table()) {
    const auto known = journal_.find(key.unit);
    const bool is_present = known != journal_.end() && known->second.run == key.run;
    const bool is_main = is_present && known->second.spawn == key.spawn;
    const bool is_control = is_present && known->second.control == key.spawn;
    if (is_main && (!entry.has_ended || !known->second.main_running)) continue;  // found again, or ordered again
    if (is_control && !known->second.control_running) continue;
    gone.push_back(key);
    if (is_main || (is_control && random_.chance(500))) unseen.emplace_back(core::ProcessExited{key, {}, false});
  }
  for (const core::SpawnKey& key : gone) {
    past_.clear();  // it told of the exit
    checks_.exit_forgotten(key);
    if (machine_.is_alive(key)) checks_.process_untracked({key.unit, key.run, 0});
    machine_.forget(key);
  }
  return unseen;
}

void World::recover() {
  std::vector<core::Event> facts;
  if (!is_peace_ && random_.chance(faults_.lost_keeper)) facts = lose_keeper();
  engine_.emplace();
  is_recovering_ = true;
  const auto tell_now = [&](const core::Event& event) {
    if (complaint().empty()) step(event);
  };
  for (const auto& [id, settings] : settings_) tell_now(core::UnitLoaded{id, settings});
  for (const auto& [id, record] : journal_) tell_now(core::UnitRestored{record});
  for (const auto& [key, entry] : machine_.table()) {
    std::uint32_t& known = known_spawns_[key.run_key()];
    known = std::max(known, key.spawn);
    if (!entry.has_ended || random_.chance(500)) facts.emplace_back(core::ProcessStarted{key});
    if (entry.is_executed) facts.emplace_back(core::ProgramExecuted{key});
    if (entry.has_ended) facts.emplace_back(core::ProcessExited{key, entry.exit, entry.setup_failed});
  }
  for (const auto& [run, spawn] : known_spawns_)
    if (machine_.is_empty(run) && random_.chance(500)) facts.emplace_back(core::RunEmptied{run, spawn});
  random_.shuffle(facts);
  for (const core::Event& fact : facts) tell_now(fact);
  tell_now(core::RecoveryCompleted{.stop_within = stop_within_});
  for (int i = 0; i < shutdowns_; ++i) tell_now(core::ShutdownRequested{.began = stop_began_});
  is_recovering_ = false;
  if (complaint().empty()) carry_out();
}

void World::note_shutdown(int times) {
  if (std::exchange(shutdowns_, times) == 0) stop_began_ = now_;
  checks_.shutdown_told(stop_began_, stop_within_);
}

// ── Time ──

void World::turn(Instant until) {
  const auto deadline = engine_ ? engine_->next_deadline() : std::nullopt;
  const bool has_item = !queue_.empty() && queue_.top().at <= until;
  if (deadline && *deadline <= until && (!has_item || *deadline <= queue_.top().at)) {
    now_ = std::max(now_, *deadline);
    repeats_ = now_ == last_deadline_ ? repeats_ + 1 : 0;
    last_deadline_ = now_;
    if (repeats_ > repeats_max) checks_.complain("I9: a deadline passes, and nothing follows from it");
    return step(core::DeadlinePassed{});
  }
  if (!has_item) {
    now_ = until;
    return;
  }
  Item item = queue_.top();
  queue_.pop();
  now_ = std::max(now_, item.at);
  item.what();
}

void World::make_peace() {
  is_peace_ = true;
  faults_ = {.delay_max = 1ms};
  if (!engine_) recover();
  // Nothing is to end for its settings' sake any more, so that there is a rest.
  for (auto [id, settings] : settings_) {
    settings.runtime_max = settings.watchdog = std::nullopt;
    if (settings.timeout_stop) settings.timeout_stop = std::max<Duration>(*settings.timeout_stop, 300ms);
    step(core::UnitLoaded{id, settings});
  }
  for (const auto& [key, run] : machine_.runs())
    if (!run.is_empty()) tell_message({.run = key, .watchdog = Duration::zero()});
  checks_.between_steps(*engine_);
}

void World::run(std::uint64_t events_with_faults) {
  recover();  // the first start is a recovery of nothing
  const auto goes_on = [&] { return complaint().empty(); };
  const bool shuts_down = random_.chance(300);
  while (goes_on() && events_ < events_with_faults) {
    if (random_.chance(300)) {
      client();
    } else if (engine_ && !past_.empty() && random_.chance(faults_.stale)) {
      step(past_[random_.below(past_.size())]);
    } else if (engine_ && random_.chance(faults_.quiet_death)) {
      carry_out();
      if (!engine_ || !goes_on()) continue;
      if (undelivered_ == 0) die_quietly();
    } else {
      turn(now_ + random_.up_to(random_.chance(100) ? Duration{5s} : Duration{20ms}));
    }
    if (!engine_ || pending_.empty()) continue;
    if (queue_.empty() || queue_.top().at > now_) carry_out();
  }
  if (!goes_on()) return;
  make_peace();
  if (shuts_down) {
    const int times = random_.chance(300) ? 2 : 1;
    for (int i = 0; i < times && goes_on(); ++i) {
      if (shutdowns_ == 0) checks_.must_stop_within(settings_.size());
      note_shutdown(shutdowns_ + 1);
      step(core::ShutdownRequested{});
    }
  }
  const Instant end = now_ + peace;
  while (goes_on() && now_ < end) {
    turn(end);
    if (engine_ && !pending_.empty()) carry_out();
  }
  if (goes_on()) checks_.at_rest(*engine_);
}

}  // namespace perdure::simulation
