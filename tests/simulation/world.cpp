#include "world.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include <fmt/format.h>

#include "core/print.hpp"

namespace perdure::simulation {
namespace {

using namespace std::chrono_literals;
using core::KillMode;

constexpr core::UnitId units_max = 9;
constexpr std::size_t past_max = 200;
constexpr std::size_t story_max = 100'000;
constexpr Duration peace = 400s;

}  // namespace

World::World(std::uint64_t seed)
    : random_(seed),
      machine_(random_, {.started = [this](const core::SpawnKey& key) { tell(core::ProcessStarted{key}); },
                         .not_started =
                             [this](const core::SpawnKey& key, core::SpawnProblem problem) {
                               tell(core::SpawnFailed{key, problem});
                             },
                         .executed = [this](const core::SpawnKey& key) { tell(core::ProgramExecuted{key}); },
                         .exited =
                             [this](const core::SpawnKey& key) {
                               const Entry& entry = machine_.table().at(key);
                               checks_.exited(key, entry.exit);
                               tell(core::ProcessExited{key, entry.exit, entry.setup_failed});
                             },
                         .emptied =
                             [this](const core::RunKey& run) {
                               if (watched_.count(run) != 0 || random_.chance(500)) tell(core::RunEmptied{run, 0});
                             },
                         .later = [this](Duration delay, std::function<void()> what) { later(delay, std::move(what)); }}),
      checks_(machine_, settings_),
      keeps_story_(std::getenv("PERDURE_SIMULATION_STORY") != nullptr) {
  make_units();
  faults_ = {.death = random_.one_of<std::uint64_t>({0, 2, 20, 100}),
             .quiet_death = random_.one_of<std::uint64_t>({0, 0, 5, 30}),
             .repeated = random_.one_of<std::uint64_t>({0, 50, 300}),
             .stale = random_.one_of<std::uint64_t>({0, 10, 100}),
             .forgotten_exit = random_.one_of<std::uint64_t>({0, 0, 0, 100}),
             .lost_journal = random_.one_of<std::uint64_t>({0, 0, 0, 0, 20}),
             .delay_max = random_.one_of<Duration>({0ms, 1ms, 20ms, 500ms})};
}

void World::make_units() {
  const core::UnitId count = 1 + static_cast<core::UnitId>(random_.below(units_max));
  for (core::UnitId id = 1; id <= count; ++id) {
    core::ServiceSettings s;
    s.type = random_.chance(300) ? core::ServiceType::Exec : core::ServiceType::Simple;
    s.restart = random_.chance(300) ? core::RestartWhen::Always : static_cast<core::RestartWhen>(random_.below(7));
    s.restart_sec = random_.one_of<Duration>({0s, 0s, 100ms, 1s});
    s.timeout_start = random_.chance(50) ? std::nullopt : std::optional{random_.one_of<Duration>({200ms, 1s, 5s})};
    s.timeout_stop = random_.chance(50) ? std::nullopt : std::optional{random_.one_of<Duration>({0s, 300ms, 3s})};
    s.start_limit_interval = random_.one_of<Duration>({0s, 500ms, 2s, 10s});
    s.start_limit_burst = random_.one_of<std::uint32_t>({0, 1, 3, 5});
    s.kill_mode = random_.chance(600) ? KillMode::ControlGroup : static_cast<KillMode>(random_.below(4));
    s.send_sigkill = !random_.chance(100);
    s.kill_signal = random_.one_of({SIGTERM, SIGTERM, SIGQUIT});
    if (random_.chance(100)) s.success_status = {.codes = {3}, .signals = {SIGKILL}};
    if (random_.chance(100)) s.restart_prevent_status = {.codes = {1}, .signals = {SIGSEGV}};
    if (random_.chance(100)) s.restart_force_status = {.codes = {0, 2}};
    for (core::UnitId other = 1; other <= count; ++other) {
      if (random_.chance(150)) s.wants.push_back(other);
      if (random_.chance(200)) s.after.push_back(other);  // in circles, too
    }
    settings_[id] = s;
    const auto sometimes = [&](std::uint64_t per_mille) { return random_.chance(300) ? per_mille : 0; };
    tempers_[id] = {.life_max = random_.one_of<Duration>({0s, 10ms, 1s, 20s}),
                    .ignores_term = sometimes(500),
                    .leaves_behind = sometimes(500),
                    .hangs_early = sometimes(300),
                    .fails_setup = sometimes(200),
                    .unkillable = sometimes(200),
                    .no_resources = sometimes(400),
                    .impossible = sometimes(200)};
  }
}

void World::note(const std::string& line) {
  story_.push_back(fmt::format("{:10.4f}  {}", std::chrono::duration<double>(now_.time_since_epoch()).count(), line));
  if (story_.size() > story_max) story_.pop_front();
}

std::string World::story() const {
  std::string text;
  for (const auto& [id, s] : settings_)
    text +=
        fmt::format("unit #{}: type {} restart {} restart_sec {} stop {} kill_mode {} sigkill {} interval {} burst {}\n", id,
                    int(s.type), int(s.restart), s.restart_sec.count(), s.timeout_stop ? s.timeout_stop->count() : -1,
                    int(s.kill_mode), s.send_sigkill, s.start_limit_interval.count(), s.start_limit_burst);
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

void World::step(const core::Event& event) {
  ++events_;
  if (keeps_story_) note(core::to_text(event));
  const std::size_t before = pending_.size();
  engine_->step(now_, event, pending_);
  if (keeps_story_)
    for (std::size_t i = before; i < pending_.size(); ++i) note("    " + core::to_text(pending_[i]));
  // The shell may collect several steps before it acts.
  const bool more_is_due = !queue_.empty() && queue_.top().at == now_;
  if (!more_is_due || random_.chance(500)) carry_out();
  if (engine_ && !is_recovering_ && events_ % 64 == 0) checks_.deadlines(*engine_);
}

void World::carry_out() {
  core::ActionList actions;
  actions.swap(pending_);
  for (const core::Action& action : actions) {
    if (!is_peace_ && random_.chance(faults_.death)) return kill_manager();
    checks_.order(now_, action, *engine_);
    if (!complaint().empty()) return;
    carry_out_one(action);
  }
}

void World::carry_out_one(const core::Action& action) {
  if (const auto* record = std::get_if<core::RecordUnit>(&action)) {
    journal_[record->record.unit] = record->record;
  } else if (const auto* spawn = std::get_if<core::SpawnProcess>(&action)) {
    Temper temper = tempers_.at(spawn->key.unit);
    if (is_peace_) temper = {};
    machine_.spawn(now_, spawn->key, settings_.at(spawn->key.unit).type, temper);
  } else if (const auto* send = std::get_if<core::SendSignal>(&action)) {
    if (send->target == core::SignalTarget::Process) machine_.signal_main(now_, send->key, send->signal);
    else machine_.signal_all(now_, send->key.run_key(), send->signal);
  } else if (const auto* kill = std::get_if<core::KillRun>(&action)) {
    machine_.signal_all(now_, kill->run, SIGKILL);
  } else if (const auto* watch = std::get_if<core::WatchRun>(&action)) {
    watched_.insert(watch->run);
    if (machine_.is_empty(watch->run)) tell(core::RunEmptied{watch->run, 0});
  } else if (const auto* release = std::get_if<core::ReleaseRun>(&action)) {
    machine_.release(release->run);
    watched_.erase(release->run);
  }
}

void World::client() {
  if (!engine_) return;
  const auto unit = [&] { return 1 + static_cast<core::UnitId>(random_.below(settings_.size())); };
  const auto job = [&] {
    const auto type = static_cast<core::JobType>(random_.below(3));
    const core::JobRequested request{
        .job = next_job_++, .type = random_.chance(300) ? core::JobType::Start : type, .unit = unit()};
    checks_.job_requested(now_, request);
    return request;
  };
  switch (random_.below(20)) {
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
    default: return step(job());
  }
}

// ── The manager's death ──

/// That no process was started is an answer to the manager that wanted one; the next one asks again.
void World::forget_answers() {
  std::erase_if(past_, [](const core::Event& event) { return std::holds_alternative<core::SpawnFailed>(event); });
}

void World::kill_manager() {
  forget_answers();
  if (keeps_story_) note("the manager is killed");
  ++deaths_;
  ++manager_;
  undelivered_ = 0;
  pending_.clear();
  watched_.clear();
  engine_.reset();
  checks_.manager_died();
  for (auto& [id, record] : journal_) {
    if (!random_.chance(faults_.lost_journal)) continue;
    if (keeps_story_) note(fmt::format("the journal of #{} is lost", id));
    record = {};
    past_.clear();  // keys may be used again
    checks_.journal_lost(id);
  }
  std::erase_if(journal_, [](const auto& entry) { return entry.second.unit == core::no_unit; });
  later(random_.up_to(50ms), [this] { recover(); });
}

/// I7: nothing was on its way and nothing undone: the manager that follows must know what this one knew.
void World::die_quietly() {
  if (keeps_story_) note("the manager is killed while it waits");
  const std::vector<core::UnitRecord> before = engine_->snapshot();
  const Faults unkind = std::exchange(faults_, {.delay_max = faults_.delay_max});
  ++deaths_;
  ++manager_;
  forget_answers();
  watched_.clear();
  engine_.reset();
  checks_.manager_died();
  recover();
  faults_ = unkind;
  for (const core::UnitRecord& old : before) {
    const core::UnitRecord* now = engine_->record(old.unit);
    if (*now != old)
      checks_.complain(fmt::format("I7: before the death {}, after it {}", core::to_text(old), core::to_text(*now)));
  }
}

void World::recover() {
  std::vector<core::SpawnKey> forgotten;
  for (const auto& [key, entry] : machine_.table()) {
    const auto known = journal_.find(key.unit);
    if (!entry.has_ended || known == journal_.end() || known->second.run != key.run || !known->second.main_running) continue;
    if (random_.chance(is_peace_ ? 0 : faults_.forgotten_exit)) forgotten.push_back(key);
  }
  for (const core::SpawnKey& key : forgotten) {
    if (keeps_story_) note("the exit is forgotten: " + core::to_text(core::Event{core::ProcessStarted{key}}));
    past_.clear();  // it told of the exit
    checks_.exit_forgotten(key);
    machine_.forget(key);
  }

  engine_.emplace();
  is_recovering_ = true;
  const std::uint64_t manager = manager_;
  // A shell that is killed in the middle of this begins again from the start.
  const auto tell_now = [&](const core::Event& event) {
    if (manager == manager_ && complaint().empty()) step(event);
  };
  for (const auto& [id, settings] : settings_) tell_now(core::UnitLoaded{id, settings});
  for (const auto& [id, record] : journal_) tell_now(core::UnitRestored{record});
  std::vector<core::Event> facts;
  for (const auto& [key, entry] : machine_.table()) {
    if (!entry.has_ended || random_.chance(500)) facts.emplace_back(core::ProcessStarted{key});
    if (entry.is_executed) facts.emplace_back(core::ProgramExecuted{key});
    if (entry.has_ended) facts.emplace_back(core::ProcessExited{key, entry.exit, entry.setup_failed});
    if (machine_.is_empty(key.run_key()) && random_.chance(500)) facts.emplace_back(core::RunEmptied{key.run_key(), 0});
  }
  // Where nothing is left at all and nobody tells of it, the core must find out even so.
  for (const core::SpawnKey& key : machine_.forgotten()) facts.emplace_back(core::ProcessExited{key, {}, false});
  random_.shuffle(facts);
  for (const core::Event& fact : facts) tell_now(fact);
  is_recovering_ = false;
  tell_now(core::RecoveryCompleted{});
  for (int i = 0; i < shutdowns_; ++i) tell_now(core::ShutdownRequested{});
}

// ── Time ──

void World::turn(Instant until) {
  const auto deadline = engine_ ? engine_->next_deadline() : std::nullopt;
  const bool has_item = !queue_.empty() && queue_.top().at <= until;
  if (deadline && *deadline <= until && (!has_item || *deadline <= queue_.top().at)) {
    now_ = std::max(now_, *deadline);
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
  checks_.deadlines(*engine_);
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
      ++shutdowns_;
      checks_.shutdown_told();
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
