#include "machine.hpp"

#include <algorithm>
#include <csignal>

namespace perdure::simulation {
namespace {

using namespace std::chrono_literals;

core::Exit random_exit(Random& random) {
  switch (random.below(6)) {
    case 0: return {core::ExitKind::Exited, 0};
    case 1: return {core::ExitKind::Killed, SIGKILL};
    case 2: return {core::ExitKind::Dumped, SIGSEGV};
    case 3: return {core::ExitKind::Killed, SIGHUP};
    default: return {core::ExitKind::Exited, static_cast<int>(random.below(4))};
  }
}

}  // namespace

bool Run::is_empty() const {
  return std::none_of(processes.begin(), processes.end(), [](const Process& p) { return p.is_alive; });
}
bool Run::is_main_alive() const { return !processes.empty() && processes.front().is_alive; }

const Run* Machine::run(const core::RunKey& key) const {
  const auto found = runs_.find(key);
  return found == runs_.end() ? nullptr : &found->second;
}
bool Machine::is_empty(const core::RunKey& key) const {
  const Run* found = run(key);
  return found == nullptr || found->is_empty();
}

void Machine::spawn(Instant now, const core::SpawnKey& key, core::ServiceType type, const Temper& temper) {
  if (const auto known = table_.find(key); known != table_.end()) {
    news_.started(key);
    if (known->second.is_executed) news_.executed(key);
    if (known->second.has_ended) news_.exited(key);
    return;
  }
  if (random_.chance(temper.no_resources)) return news_.not_started(key, core::SpawnProblem::Resource);
  if (random_.chance(temper.impossible)) return news_.not_started(key, core::SpawnProblem::Permanent);

  const core::RunKey run_key = key.run_key();
  table_[key] = {};
  main_keys_[run_key] = key;
  Run& run = runs_[run_key];
  run.serial = ++serial_;
  run.began = now;
  const auto body = [&](std::size_t index) { return Body{run_key, run.serial, index}; };
  run.processes.push_back({.is_main = true,
                           .ignores_term = random_.chance(temper.ignores_term),
                           .is_unkillable = random_.chance(temper.unkillable)});
  news_.started(key);
  if (random_.chance(temper.fails_setup)) {
    news_.later(random_.up_to(5ms), [this, main = body(0)] { die(main, {core::ExitKind::Exited, 203}, true); });
    return;
  }
  if (type == core::ServiceType::Exec && random_.chance(temper.hangs_early)) return;
  news_.later(random_.up_to(3ms), [this, key, serial = run.serial] {
    if (const Run* still = this->run(key.run_key()); still == nullptr || still->serial != serial || !still->is_main_alive())
      return;
    table_[key].is_executed = true;
    news_.executed(key);
  });
  if (random_.chance(temper.leaves_behind)) {
    const std::uint64_t children = 1 + random_.below(3);
    for (std::uint64_t i = 0; i < children; ++i)
      run.processes.push_back(
          {.ignores_term = random_.chance(temper.ignores_term), .is_unkillable = random_.chance(temper.unkillable)});
    if (random_.chance(300))
      for (std::size_t i = 1; i < run.processes.size(); ++i)
        news_.later(random_.up_to(5s), [this, child = body(i)] { die(child, {}); });
  }
  if (temper.life_max > 0s) {
    const Duration life = random_.chance(300) ? random_.up_to(4ms) : random_.up_to(temper.life_max);
    const core::Exit exit = random_exit(random_);
    news_.later(life, [this, main = body(0), exit] { die(main, exit); });
  }
}

void Machine::die(const Body& body, const core::Exit& exit, bool setup_failed) {
  const auto found = runs_.find(body.run);
  if (found == runs_.end() || found->second.serial != body.serial) return;
  Process& victim = found->second.processes[body.index];
  if (!victim.is_alive) return;
  victim.is_alive = false;
  if (victim.is_main) {
    const core::SpawnKey key = main_keys_.at(body.run);
    Entry& entry = table_[key];
    entry.has_ended = true;
    entry.exit = exit;
    entry.setup_failed = setup_failed;
    news_.exited(key);
  }
  if (found->second.is_empty()) news_.emptied(body.run);
}

void Machine::hit(Instant now, const Body& body, int number) {
  Run& run = runs_.at(body.run);
  Process& target = run.processes[body.index];
  if (!target.is_alive) return;
  if (!run.was_stopped) run.first_signal = now;
  run.was_stopped = true;
  const core::Exit killed{core::ExitKind::Killed, number};
  if (number == SIGKILL && target.is_unkillable) {
    target.is_unkillable = false;
    return news_.later(random_.up_to(30s), [this, body, killed] { die(body, killed); });
  }
  if (number == SIGKILL) return die(body, killed);
  if (target.ignores_term) return;
  const core::Exit exit =
      random_.chance(500) ? killed : core::Exit{core::ExitKind::Exited, static_cast<int>(random_.below(3))};
  news_.later(random_.up_to(random_.chance(100) ? Duration{2s} : Duration{5ms}), [this, body, exit] { die(body, exit); });
}

void Machine::signal_main(Instant now, const core::SpawnKey& key, int number) {
  const auto main = main_keys_.find(key.run_key());
  const Run* found = run(key.run_key());
  if (main != main_keys_.end() && main->second == key && found != nullptr)
    hit(now, {key.run_key(), found->serial, 0}, number);
}

void Machine::signal_all(Instant now, const core::RunKey& run_key, int number) {
  const auto found = runs_.find(run_key);
  if (found == runs_.end()) return;
  for (std::size_t i = 0; i < found->second.processes.size(); ++i) hit(now, {run_key, found->second.serial, i}, number);
}

void Machine::forget(const core::SpawnKey& key) {
  table_.erase(key);
  if (!is_empty(key.run_key())) return;
  runs_.erase(key.run_key());
  main_keys_.erase(key.run_key());
}

std::vector<core::SpawnKey> Machine::forgotten() const {
  std::vector<core::SpawnKey> keys;
  for (const auto& [run, key] : main_keys_)
    if (table_.count(key) == 0) keys.push_back(key);
  return keys;
}

void Machine::release(const core::RunKey& run_key) {
  std::erase_if(table_, [&](const auto& entry) { return entry.first.run_key() == run_key; });
  main_keys_.erase(run_key);
  runs_.erase(run_key);
}

}  // namespace perdure::simulation
