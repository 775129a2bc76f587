#include "machine.hpp"

#include <algorithm>
#include <csignal>

namespace perdure::simulation {
namespace {

using namespace std::chrono_literals;
using core::ServiceType;

core::Exit random_exit(Random& random) {
  switch (random.below(6)) {
    case 0: return {core::ExitKind::Exited, 0};
    case 1: return {core::ExitKind::Killed, SIGKILL};
    case 2: return {core::ExitKind::Dumped, SIGSEGV};
    case 3: return {core::ExitKind::Killed, SIGHUP};
    default: return {core::ExitKind::Exited, static_cast<int>(random.below(4))};
  }
}
core::Exit failure_of_command(Random& random) {
  switch (random.below(4)) {
    case 0: return {core::ExitKind::Exited, 255};
    case 1: return {core::ExitKind::Killed, SIGSEGV};
    default: return {core::ExitKind::Exited, 1};
  }
}

}  // namespace

bool Run::is_empty() const {
  return std::none_of(processes.begin(), processes.end(), [](const Process& p) { return p.is_alive; });
}

const Run* Machine::run(const core::RunKey& key) const {
  const auto found = runs_.find(key);
  return found == runs_.end() ? nullptr : &found->second;
}
bool Machine::is_empty(const core::RunKey& key) const {
  const Run* found = run(key);
  return found == nullptr || found->is_empty();
}
bool Machine::is_alive(const core::SpawnKey& key) const {
  const Run* found = run(key.run_key());
  if (found == nullptr || key.spawn == 0) return false;
  const auto is_it = [&key](const Process& p) { return p.spawn == key.spawn && p.is_alive; };
  return std::any_of(found->processes.begin(), found->processes.end(), is_it);
}
Process* Machine::find(const Body& body) {
  const auto found = runs_.find(body.run);
  return found == runs_.end() || found->second.serial != body.serial ? nullptr : &found->second.processes[body.index];
}

Machine::Body Machine::add(const core::RunKey& key, Process process, const Temper& temper) {
  Run& run = runs_[key];
  if (run.serial == 0) run.serial = ++serial_;
  process.ignores_term = random_.chance(temper.ignores_term);
  process.is_unkillable = random_.chance(temper.unkillable);
  run.processes.push_back(process);
  return {key, run.serial, run.processes.size() - 1};
}

void Machine::spawn(const core::SpawnProcess& order, const core::ServiceSettings& settings, const Temper& temper) {
  const core::SpawnKey& key = order.key;
  if (const auto known = table_.find(key); known != table_.end()) {
    news_.started(key);
    if (known->second.is_executed && order.is_main) news_.executed(key);
    if (known->second.has_ended) news_.exited(key);
    return;
  }
  const bool lacks_resources = random_.chance(temper.no_resources);
  if (lacks_resources || random_.chance(temper.impossible)) {
    if (const auto known = runs_.find(key.run_key()); known != runs_.end()) known->second.has_trouble = true;
    return news_.not_started(key, lacks_resources ? core::SpawnProblem::Resource : core::SpawnProblem::Permanent);
  }
  const Role role = order.is_main ? Role::Main : Role::Control;
  const Body body = add(key.run_key(), {.role = role, .spawn = key.spawn}, temper);
  table_[key] = {.role = role};
  if (order.is_main) runs_.at(body.run).main = body.index;
  news_.started(key);
  if (random_.chance(temper.fails_setup))
    return news_.later(random_.up_to(5ms), [this, body] { die(body, {core::ExitKind::Exited, 203}, true); });
  const bool is_command = !order.is_main || settings.type == ServiceType::Oneshot;
  const bool is_forking_start = !order.is_main && order.phase == core::CommandPhase::Start;
  if (order.is_main && settings.type == ServiceType::Exec && random_.chance(temper.hangs_early)) return;
  if (order.is_main)
    news_.later(random_.up_to(3ms), [this, key, body] {
      const Process* still = find(body);
      if (still == nullptr || !still->is_alive || still->spawn != key.spawn) return;
      table_[key].is_executed = true;
      news_.executed(key);
    });
  if (is_command) live_as_command(body, is_forking_start, temper);
  else live_as_main(body, settings, temper);
}

void Machine::live_as_main(const Body& body, const core::ServiceSettings& settings, const Temper& temper) {
  if (random_.chance(temper.leaves_behind)) {
    const bool die_soon = random_.chance(300);
    for (std::uint64_t i = 1 + random_.below(3); i > 0; --i) {
      const Body child = add(body.run, {}, temper);
      if (die_soon) news_.later(random_.up_to(5s), [this, child] { die(child, {}); });
    }
  }
  if (settings.type == ServiceType::Notify && !random_.chance(temper.hangs_early))
    notify_later(random_.up_to(20ms), body, {.run = body.run, .is_ready = true});
  if (settings.watchdog) beat(body, *settings.watchdog, temper);
  if (temper.life_max > 0s) {
    const Duration life = random_.chance(300) ? random_.up_to(4ms) : random_.up_to(temper.life_max);
    const core::Exit exit = random_exit(random_);
    news_.later(life, [this, body, exit] { die(body, exit); });
  }
}

void Machine::live_as_command(const Body& body, bool is_forking_start, const Temper& temper) {
  if (random_.chance(temper.commands_hang)) return;
  const bool fails = random_.chance(temper.commands_fail);
  const core::Exit exit = fails ? failure_of_command(random_) : core::Exit{core::ExitKind::Exited, 0};
  const bool forks = random_.chance(temper.commands_fork);
  const bool leaves_daemon = is_forking_start && !random_.chance(temper.no_daemon);
  news_.later(random_.up_to(30ms), [this, body, exit, forks, leaves_daemon, temper] {
    const Process* still = find(body);
    if (still == nullptr || !still->is_alive) return;
    if (forks) {
      const Body child = add(body.run, {}, temper);
      news_.later(random_.up_to(5s), [this, child] { die(child, {}); });
    }
    for (int count = !leaves_daemon ? 0 : random_.chance(temper.daemons_doubled) ? 2 : 1; count > 0; --count) {
      const Body daemon = add(body.run, {.is_daemon = true}, temper);
      if (temper.life_max > 0s) {
        const core::Exit end = random_exit(random_);
        news_.later(random_.up_to(temper.life_max), [this, daemon, end] { die(daemon, end); });
      }
    }
    if (!random_.chance(temper.no_pid_file))
      news_.later(random_.up_to(50ms), [this, body] {
        if (find(body) != nullptr) runs_.at(body.run).has_pid_file = true;
      });
    die(body, exit);
  });
}

/// Heartbeats, until one is missed.
void Machine::beat(const Body& body, Duration span, const Temper& temper) {
  news_.later(span / 2 + random_.up_to(span / 4), [this, body, span, temper] {
    const Process* still = find(body);
    if (still == nullptr || !still->is_alive || !random_.chance(temper.keeps_watchdog)) return;
    news_.notified({.run = body.run, .is_alive = true});
    beat(body, span, temper);
  });
}

void Machine::notify_later(Duration delay, const Body& body, core::Notified message) {
  news_.later(delay, [this, body, message] {
    const Process* still = find(body);
    if (still == nullptr || !still->is_alive) return;
    if (message.is_ready) runs_.at(body.run).was_ready = true;
    news_.notified(message);
  });
}

void Machine::die(const Body& body, const core::Exit& exit, bool setup_failed) {
  Process* victim = find(body);
  if (victim == nullptr || !victim->is_alive) return;
  victim->is_alive = false;
  Run& run = runs_.at(body.run);
  run.has_trouble = run.has_trouble || victim->role == Role::Main || setup_failed || exit.kind != core::ExitKind::Exited ||
                    exit.status != 0 || victim->is_daemon;
  const core::SpawnKey key{body.run.unit, body.run.run, victim->spawn};
  if (const auto entry = table_.find(key); entry != table_.end()) {
    entry->second.has_ended = true;
    entry->second.exit = exit;
    entry->second.setup_failed = setup_failed;
    news_.exited(key);
  }
  if (run.is_empty()) news_.emptied(body.run);
}

void Machine::hit(const Body& body, int number) {
  Process* const target = find(body);
  if (target == nullptr || !target->is_alive) return;
  const core::Exit killed{core::ExitKind::Killed, number};
  if (number == SIGKILL && target->is_unkillable) {
    target->is_unkillable = false;
    return news_.later(random_.up_to(30s), [this, body, killed] { die(body, killed); });
  }
  if (number == SIGKILL) return die(body, killed);
  if (target->ignores_term) return;
  const core::Exit exit =
      random_.chance(500) ? killed : core::Exit{core::ExitKind::Exited, static_cast<int>(random_.below(3))};
  news_.later(random_.up_to(random_.chance(100) ? Duration{2s} : Duration{5ms}), [this, body, exit] { die(body, exit); });
}

void Machine::signal_one(const core::SpawnKey& key, int number) {
  const auto found = runs_.find(key.run_key());
  if (found == runs_.end()) return;
  Run& run = found->second;
  for (std::size_t i = 0; i < run.processes.size(); ++i) {
    if (run.processes[i].spawn != key.spawn || key.spawn == 0 || !run.processes[i].is_alive) continue;
    run.was_stopped = run.was_stopped || run.main == i;
    return hit({key.run_key(), run.serial, i}, number);
  }
}

void Machine::signal_all(const core::RunKey& run_key, int number) {
  const auto found = runs_.find(run_key);
  if (found == runs_.end()) return;
  found->second.was_stopped = true;
  for (std::size_t i = 0; i < found->second.processes.size(); ++i) hit({run_key, found->second.serial, i}, number);
}

bool Machine::choose_daemon(const core::RunKey& run_key, bool by_file) {
  const auto found = runs_.find(run_key);
  if (found == runs_.end()) return false;
  Run& run = found->second;
  if (by_file && !run.has_pid_file) return false;
  std::optional<std::size_t> chosen;
  for (std::size_t i = 0; i < run.processes.size(); ++i) {
    const Process& p = run.processes[i];
    if (!p.is_alive || !(by_file ? p.is_daemon : p.spawn == 0)) continue;
    if (chosen && !by_file) return false;  // which of them, nobody can tell
    chosen = i;
  }
  if (!chosen) return false;
  run.candidate = chosen;
  return true;
}

bool Machine::choose_any(const core::RunKey& run_key) {
  const auto found = runs_.find(run_key);
  if (found == runs_.end()) return false;
  Run& run = found->second;
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < run.processes.size(); ++i)
    if (run.processes[i].is_alive && run.processes[i].spawn == 0) others.push_back(i);
  if (others.empty()) return false;
  run.candidate = others[random_.below(others.size())];
  return true;
}

void Machine::track(const core::SpawnKey& key, bool is_possible) {
  const auto found = runs_.find(key.run_key());
  if (found == runs_.end() || !found->second.candidate || !is_possible)
    return news_.not_started(key, core::SpawnProblem::Permanent);
  Run& run = found->second;
  run.main = std::exchange(run.candidate, std::nullopt);
  Process& process = run.processes[*run.main];
  process.role = Role::Main;
  if (process.spawn != 0)
    table_.erase({key.unit, key.run, process.spawn});  // it was tracked for a manager that did not hear of it
  process.spawn = key.spawn;
  table_[key] = {.role = Role::Main};
  news_.started(key);
  if (process.is_alive) return;
  table_[key].has_ended = true;  // how, nobody saw
  news_.exited(key);
}

void Machine::forget_candidates() {
  for (auto& [key, run] : runs_) run.candidate.reset();
}

void Machine::forget(const core::SpawnKey& key) {
  table_.erase(key);
  if (const auto found = runs_.find(key.run_key()); found != runs_.end())
    for (Process& p : found->second.processes)
      if (p.spawn == key.spawn && p.is_alive) p = {.ignores_term = p.ignores_term, .is_unkillable = p.is_unkillable};
  if (is_empty(key.run_key())) runs_.erase(key.run_key());
}

void Machine::release(const core::SpawnKey& key) {
  if (const auto entry = table_.find(key); entry != table_.end() && entry->second.has_ended) table_.erase(entry);
}

void Machine::release(const core::RunKey& run_key) {
  std::erase_if(table_, [&](const auto& entry) { return entry.first.run_key() == run_key; });
  runs_.erase(run_key);
}

}  // namespace perdure::simulation
