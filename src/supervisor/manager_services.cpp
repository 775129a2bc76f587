// What services need beyond one program that runs: further commands, conditions, a main process that has to be found, messages.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "core/print.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/conditions.hpp"
#include "supervisor/main_pid_file.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/unit_directories.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// Between two looks for a main process that is not there yet; each later one waits twice as long, up to the last.
constexpr base::Duration first_main_pause = std::chrono::milliseconds{1};
constexpr base::Duration last_main_pause = std::chrono::milliseconds{100};
/// After so many looks (6 s) nobody is in a hurry any more.
constexpr std::uint8_t quick_looks_max = 64;
constexpr base::Duration slow_main_pause = std::chrono::seconds{1};
/// What container managers allow between SIGTERM and SIGKILL where they are not told otherwise.
constexpr base::Duration process_1_stop_within = std::chrono::seconds{10};
/// Of the instance, where an essential process was killed by a signal (as a shell has it), or nobody saw how it ended.
constexpr int signal_exit_code = 128;
constexpr int unknown_exit_code = 255;

const std::vector<unit::ExecCommand>& commands_of(const unit::ServiceSpec& service, core::CommandPhase phase) {
  switch (phase) {
    case core::CommandPhase::Condition: return service.exec_condition;
    case core::CommandPhase::StartPre: return service.exec_start_pre;
    case core::CommandPhase::Start: break;
    case core::CommandPhase::StartPost: return service.exec_start_post;
    case core::CommandPhase::Reload: return service.exec_reload;
    case core::CommandPhase::Stop: return service.exec_stop;
    case core::CommandPhase::StopPost: return service.exec_stop_post;
  }
  return service.exec_start;
}

bool tells_result(core::CommandPhase phase) {
  return phase == core::CommandPhase::Stop || phase == core::CommandPhase::StopPost;
}

}  // namespace

// ---- commands

/// What is started for the order: what was compiled when the unit was loaded, or where something differs from start to start, what
/// is compiled now, into `fresh` and `fresh_spec`.
Result<const Launch*> Manager::launch_for(SupervisedUnit& unit, Run& run, const core::SpawnProcess& order, Launch& fresh,
                                          UniqueFd& fresh_spec) {
  if (unit.spec == nullptr) return &unit.launch;
  const unit::UnitSpec& spec = *unit.spec;
  const std::vector<unit::ExecCommand>& commands = commands_of(spec.service, order.phase);
  if (order.command >= commands.size()) return Error{"this command is not in the unit's file any more"};
  static_cast<void>(accounts_->refresh());  // what was known stays where the files cannot be read
  std::vector<std::string> extra;
  const auto set = [&extra](std::string name, std::string_view value) {
    extra.push_back(std::move(name) + '=' + std::string{value});
  };
  if (spec.service.notify_access != unit::NotifyAccess::None) set("NOTIFY_SOCKET", notify_path());
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record != nullptr && order.is_main && record->watchdog_span > base::Duration::zero())
    set("WATCHDOG_USEC",
        std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(record->watchdog_span).count()));
  if (!order.is_main && run.pid != 0 && !run.exit) set("MAINPID", std::to_string(run.pid));
  if (record != nullptr && tells_result(order.phase)) {
    set("SERVICE_RESULT", core::name(record->result));
    if (record->main_ended) {
      const core::Exit& exit = record->last_exit;
      const bool has_exited = exit.kind == core::ExitKind::Exited;
      set("EXIT_CODE", has_exited ? "exited" : exit.kind == core::ExitKind::Dumped ? "dumped" : "killed");
      std::string name = core::signal_name(exit.status);
      if (name.starts_with("SIG")) name.erase(0, 3);
      set("EXIT_STATUS", has_exited ? std::to_string(exit.status) : name);
    }
  }
  if (!run.has_directories) {
    PERDURE_TRY(const User owner, user_of_unit(spec.service, *accounts_, surroundings_));
    const bool is_kept = spec.service.runtime_directory_preserve != unit::Preserve::No;
    if (!is_kept && order.key.spawn == 1)
      static_cast<void>(remove_runtime_directories(spec.service, surroundings_.directory_bases));
    std::vector<std::string> remarks;
    if (const auto failure = make_directories(spec.service, surroundings_.directory_bases, owner, remarks))
      return failure->error;
    for (const std::string& remark : remarks) say(unit.name + ": " + remark);
    run.has_directories = true;
  }
  if (wants_fresh_compile(spec)) set("INVOCATION_ID", hexadecimal(run.invocation));
  PERDURE_TRY(CompiledLaunch compiled, compile(spec, commands[order.command], static_cast<CommandRole>(order.phase),
                                               *accounts_, surroundings_, extra));
  for (const std::string& remark : compiled.remarks) say(unit.name + ": " + remark);
  fresh = std::move(compiled.launch);
  fresh.has_gate = fresh.has_gate && order.is_main;
  fresh_spec.reset(sys::memfd_create("perdure-spec", MFD_CLOEXEC));
  const auto size = static_cast<ssize_t>(compiled.bytes.size());
  if (!fresh_spec || sys::pwrite(fresh_spec.get(), compiled.bytes.data(), compiled.bytes.size(), 0) != size)
    return Error::from_errno(errno, "write", "the memory file of a spawn spec");
  fresh.place = {0, static_cast<std::uint32_t>(compiled.bytes.size())};
  return &fresh;
}
static_assert(static_cast<int>(CommandRole::StopPost) == static_cast<int>(core::CommandPhase::StopPost));

/// What a spawn executes, or was to execute, for messages.
Manager::Executed Manager::executed_by(const SupervisedUnit& unit, core::CommandPhase phase, std::size_t command) {
  const bool is_compiled = unit.spec == nullptr || (phase == core::CommandPhase::Start && command == 0);
  if (is_compiled) return {unit.launch.program, {}, false};
  const std::vector<unit::ExecCommand>& commands = commands_of(unit.spec->service, phase);
  if (command >= commands.size()) return {unit.launch.program, {}, false};
  const auto role = static_cast<CommandRole>(phase);
  return {commands[command].path, std::string{directive_of(role)} + " ", commands[command].rights != unit::Rights::OfUnit};
}

/// A service at rest has no runtime directories, unless it wants to keep them.
void Manager::remove_directories(const SupervisedUnit& unit) {
  if (unit.spec == nullptr || unit.spec->service.runtime_directory_preserve == unit::Preserve::Yes) return;
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record == nullptr || !core::is_inactive(record->state) || record->job != core::no_job) return;
  const Result<void> removed = remove_runtime_directories(unit.spec->service, surroundings_.directory_bases);
  if (!removed) say(unit.name + ": " + removed.error().message());
}

// ---- conditions

void Manager::check_conditions(core::UnitId id) {
  SupervisedUnit* const unit = find(id);
  core::ConditionsChecked answer{id, core::ConditionVerdict::Met};
  if (unit != nullptr && unit->spec != nullptr) {
    const ConditionReport report = check(unit->spec->conditions);
    if (!report.is_met) {
      answer.verdict = report.is_assert ? core::ConditionVerdict::AssertFailed : core::ConditionVerdict::Unmet;
      unit->last_failure = report.text;
      say(unit->name + ": " + report.text + (report.is_assert ? "; it is not started" : "; it is left out"));
    }
  }
  events_.emplace_back(answer);
}

// ---- the main process

void Manager::find_main(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) {
    events_.emplace_back(core::MainMissing{key});
    return;
  }
  run->looks_for_main = true;
  run->looks = 0;
  look_for_main(*unit, *run);
}

/// Once; and once more after a while where it may still appear: a PID file may be written a little after the start has ended.
void Manager::look_for_main(SupervisedUnit& unit, Run& run) {
  if (!run.looks_for_main) return;
  const core::RunKey key{unit.id, run.run};
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record == nullptr || record->run != run.run || record->state != core::ServiceState::Start) {
    run.looks_for_main = false;
    return;
  }
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  const std::string pid_file = unit.spec == nullptr ? std::string{} : unit.spec->service.pid_file;
  if (pid_file.empty()) {
    run.looks_for_main = false;
    const bool may_guess = unit.spec == nullptr || unit.spec->service.guess_main_pid;
    const pid_t pid = may_guess ? tracking_.only_child_of(processes(run, leaf), keeper_pid_) : 0;
    if (pid > 1 && take_candidate(unit, run, pid)) return;
    events_.emplace_back(core::MainMissing{key});
    return;
  }
  const Result<pid_t> pid = read_pid_file(pid_file);
  if (pid && take_candidate(unit, run, *pid)) {
    run.looks_for_main = false;
    return;
  }
  const std::string why =
      pid ? pid_file + " names process " + std::to_string(*pid) + ", which is none of the service's" : pid.error().message();
  if (unit.last_failure != why && run.looks > 0) unit.last_failure = why;
  const base::Duration pause = run.looks >= quick_looks_max
                                   ? slow_main_pause
                                   : std::min(last_main_pause, first_main_pause * (1 << std::min<int>(run.looks, 10)));
  if (run.looks < 255) ++run.looks;
  timers_.arm(token_of(TokenKind::MainProcess, unit.id, run.run), now_ + pause);
}

/// The main process has ended, and that is not said yet. A service that replaces itself has named the next process in its PID file
/// before: it is the main one then, and the end is that of an ordinary process. systemd 252 looks there as well.
void Manager::look_for_successor(SupervisedUnit& unit, Run& run) {
  const std::string pid_file = unit.spec == nullptr ? std::string{} : unit.spec->service.pid_file;
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (pid_file.empty() || record == nullptr || record->run != run.run) return;
  const bool is_up = record->state == core::ServiceState::StartPost || record->state == core::ServiceState::Running ||
                     record->state == core::ServiceState::Reload;
  if (!is_up) return;
  const Result<pid_t> pid = read_pid_file(pid_file);
  if (pid && *pid != run.pid) static_cast<void>(take_candidate(unit, run, *pid));
}

/// A process that is to be the main one, where it belongs to the run. False: it does not.
bool Manager::take_candidate(SupervisedUnit& unit, Run& run, pid_t pid) {
  if (pid <= 1) return false;
  if (pid == run.pid && !run.exit) return true;
  UniqueFd pidfd{sys::pidfd_open(pid, 0)};
  tracking_.look_again();
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  if (!pidfd || !tracking_.contains(processes(run, leaf), pid)) return false;
  run.main_candidate = pid;
  run.main_candidate_fd = std::move(pidfd);
  events_.emplace_back(core::MainFound{{unit.id, run.run}});
  return true;
}

void Manager::track_main(const core::SpawnKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr || !run->main_candidate_fd) {
    events_.emplace_back(core::SpawnFailed{key, core::SpawnProblem::Permanent});
    return;
  }
  run->spawn = key.spawn;
  run->last_spawn = std::max(run->last_spawn, key.spawn);
  run->pid = std::exchange(run->main_candidate, 0);
  run->pidfd = std::move(run->main_candidate_fd);
  run->exit.reset();
  run->setup_failed = run->told_empty = run->is_watched = false;
  run->gate.reset();
  run->started = stamp(now_);
  keeper::Request request;
  request.operation = keeper::Operation::Track;
  request.key = {key.run, key.unit, key.spawn};
  request.number = run->pid;
  std::copy(run->invocation.begin(), run->invocation.end(), std::begin(request.invocation));
  std::vector<int> fds{run->pidfd.get()};
  if (run->log) {
    request.flags |= keeper::has_log;
    fds.push_back(run->log.get());
  }
  keeper_.send(request, fds);
  note_entry(*unit, *run, key.spawn);
  if (unit->log) unit->log->begin_run(identity_of(*run));
  // The keeper tells of its end, also where that came before the order did.
  events_.emplace_back(core::ProcessStarted{key});
}

// ---- the end of the instance

void Manager::end_instance(const core::EndInstance& order) {
  if (order.is_forced) finished_ = true;
  // What a stop has ended already may be essential, and what was said to end with stands.
  if (inherits_stop_ || stop_.code()) return;
  const core::Exit& exit = order.exit;
  const int code = exit.kind == core::ExitKind::Exited    ? exit.status
                   : exit.kind == core::ExitKind::Unknown ? unknown_exit_code
                                                          : signal_exit_code + exit.status;
  note_stop(code);
  const SupervisedUnit* const unit = find(order.unit);
  const bool is_essential = order.cause == core::EndCause::Essential;
  say((unit == nullptr ? std::string{"a unit"} : unit->name) +
      (is_essential ? " has ended (" + core::to_text(exit) + ") and is essential: the instance ends with "
                    : " was started too often (it ended last: " + core::to_text(exit) +
                          ") and StartLimitAction= says what then: the instance ends" +
                          (order.is_forced ? " at once, with " : ", with ")) +
      std::to_string(code));
}

/// Parked before anything is stopped, with the code where there is one: whoever is manager then goes on with it.
void Manager::note_stop(std::optional<int> code) {
  const bool is_first = !std::exchange(is_shutting_down_, true);
  if (is_first) stop_ = StopFile::create(now_);
  if (code) stop_.set_code(*code);
  if (!is_first) return;
  park(stopping_label, stop_.fd() >= 0 ? stop_.fd() : specs_->fd());
}

std::optional<base::Duration> Manager::stop_within() const {
  if (options_.stop_within) return *options_.stop_within;
  return keeper_pid_ == 1 ? std::optional{process_1_stop_within} : std::nullopt;
}

void Manager::announce(const core::AnnounceCutShort& cut) {
  std::string names;
  for (const core::UnitId id : cut.units) {
    const SupervisedUnit* const unit = find(id);
    names += (names.empty() ? "" : ", ") + (unit == nullptr ? std::string{"?"} : unit->name);
  }
  const auto within = std::chrono::duration<double>{stop_within().value_or(base::Duration::zero())};
  say(
      fmt::format("cut short: {}: TimeoutStopSec= allows more time, but stopping everything may take {:g} s in all; "
                  "--stop-timeout= sets another time",
                  names, within.count()));
}

void Manager::announce(const core::AnnounceCycle& cycle) {
  std::string names;
  for (const core::UnitId id : cycle.units) {
    const SupervisedUnit* const unit = find(id);
    names += (unit == nullptr ? std::string{"?"} : unit->name) + " → ";
  }
  const SupervisedUnit* const first = cycle.units.empty() ? nullptr : find(cycle.units.front());
  if (first == nullptr) return;
  names += first->name;
  const std::string text = "ordering cycle: " + names + " (each is to start after the next); none of them is started";
  say(text);
  for (const core::UnitId id : cycle.units)
    if (SupervisedUnit* const unit = find(id)) unit->last_failure = text;
}

}  // namespace perdure::supervisor
