// What the verbs see of the instance.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/errno_name.hpp"
#include "core/print.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "perdure/version.hpp"
#include "supervisor/failure_text.hpp"
#include "supervisor/in_effect.hpp"
#include "supervisor/manager.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

std::string_view load_state_of(const SupervisedUnit& unit) noexcept {
  return unit.load_state == LoadState::Error ? "bad-setting" : word_of(unit.load_state);
}

}  // namespace

std::string hexadecimal(const std::array<std::uint8_t, 16>& bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

/// Keeps a text alive until the next round of the loop, so that a status can refer to it.
std::string_view Manager::hold(std::string text) const { return held_.emplace_back(std::move(text)); }

UnitStatus Manager::status_of(const SupervisedUnit& unit) const {
  UnitStatus status;
  status.name = unit.name;
  status.description = unit.description;
  status.load_state = load_state_of(unit);
  status.load_error = unit.load_error;
  status.fragment_path = unit.fragment_path;
  status.drop_ins = unit.drop_ins;
  static constexpr std::string_view types[] = {"simple", "exec", "forking", "oneshot", "notify", "idle"};
  if (unit.kind == core::UnitKind::Service) status.type = types[static_cast<std::size_t>(unit.type)];
  status.restart = unit::word_of(static_cast<unit::RestartWhen>(unit.restart));
  status.state_change = unit.state_change;
  status.active_enter = unit.active_enter;
  status.inactive_enter = unit.inactive_enter;
  static constexpr core::UnitRecord never_started{};
  const core::UnitRecord* known = engine_.record(unit.id);
  const core::UnitRecord& record = known == nullptr ? never_started : *known;
  const core::StateWords words = core::state_words(record);
  status.active_state = words.active;
  status.sub_state = words.sub;
  status.result = core::name(record.result);
  status.restarts = record.restarts;
  status.job = record.job;
  status.job_type = record.job_type;
  const Run* const run = unit.last_run();
  const MainProcess& main = unit.main_process();
  if (main.run != 0) {
    status.invocation_id = hold(hexadecimal(main.invocation));
    status.exec_main_pid = main.pid;
    status.exec_main_start = main.started;
    status.exec_main_exit = main.exited;
  }
  if (run != nullptr) {
    if (tracking_.kind() != TrackingKind::BestEffort)
      status.control_group = hold(tracking_.path() + '/' + ProcessTracking::leaf_name(unit.name, run->run));
    if (run->spawn != 0 && !run->exit) status.main_pid = run->pid;
  }
  if (record.main_ended || (status.main_pid == 0 && record.run > 0)) status.last_exit = record.last_exit;
  const core::ServiceSettings* const settings = engine_.settings(unit.id);
  if (settings != nullptr) {
    status.can_reload = settings->commands[static_cast<std::size_t>(core::CommandPhase::Reload)].count > 0;
  }
  status.status_text = unit.status_text;
  status.status_errno = unit.status_errno;
  if (unit.spec != nullptr) {
    status.syslog_identifier = unit.spec->service.syslog_identifier;
    status.syslog_level_prefix = unit.spec->service.syslog_level_prefix;
  }
  for (const std::string& remark : unit.remarks) status.remarks.push_back(remark);
  if (!unit.last_failure.empty()) status.remarks.push_back(unit.last_failure);
  if (!unit.log_trouble.empty()) status.remarks.push_back(unit.log_trouble);
  return status;
}

std::optional<UnitStatus> Manager::unit(std::string_view name, Detail detail) const {
  const SupervisedUnit* const found = resolve(name);
  if (found == nullptr) return std::nullopt;
  UnitStatus status = status_of(*found);
  const Run* const run = found->last_run();
  if (detail == Detail::WithProcess && run != nullptr && !run->exit && run->pid > 1) remark_on_process(*run, status);
  return status;
}

/// What somebody wonders about who finds a service that runs and does nothing.
void Manager::remark_on_process(const Run& run, UnitStatus& status) const {
  const std::string stat = os::read_file("/proc/" + std::to_string(run.pid) + "/stat", 4096).value_or(std::string{});
  const std::size_t name_end = stat.rfind(')');  // proc_pid_stat(5)
  const char state = name_end != std::string::npos && name_end + 2 < stat.size() ? stat[name_end + 2] : '?';
  if (state == 'T' || state == 't') {
    status.remarks.push_back(
        hold("its main process is stopped by a signal; \"kill -CONT " + std::to_string(run.pid) + "\" lets it go on"));
  }
  if (state == 'D' && status.active_state == "deactivating") {
    const std::string place = os::read_file("/proc/" + std::to_string(run.pid) + "/wchan", 256).value_or(std::string{});
    status.remarks.push_back(hold("its main process is stuck in the kernel (state D" +
                                  (place.empty() || place == "0" ? "" : ", " + place) +
                                  "): no signal ends it before that call returns"));
  }
  if (is_dumping_core(run.pid)) status.remarks.emplace_back("its main process is writing a core dump, and ends with that");
  const SupervisedUnit* const unit = find(status.name);
  if (unit != nullptr && unit->spec != nullptr && asks_for_priorities_or_limits(unit->spec->service)) {
    for (std::string& line : not_in_effect(unit->spec->service, run.pid)) status.remarks.push_back(hold(std::move(line)));
  }
  if (unit != nullptr && unit->launch.has_log && (!run.log || run.log_has_ended))
    status.remarks.emplace_back("it has closed its standard output and error: nothing that it writes is recorded");
}

void Manager::visit_units(std::string_view after, const std::function<bool(const UnitStatus&)>& visit) const {
  for (auto unit = by_name_.upper_bound(after); unit != by_name_.end(); ++unit) {
    if (!visit(status_of(*unit->second))) return;
  }
}

InstanceFacts Manager::facts() const {
  InstanceFacts facts;
  facts.version = version();
  facts.keeper_pid = keeper_pid_;
  facts.manager_pid = ::getpid();
  facts.manager_restarts = keeper_facts_.manager_starts > 0 ? keeper_facts_.manager_starts - 1 : 0;
  facts.orphans_reaped = keeper_facts_.orphans_reaped;
  facts.keeper_is_locked = (keeper_facts_.facts & keeper::fact_locked) != 0;
  facts.keeper_is_spared = keeper_facts_.oom_score_error == 0;
  for (const auto& [name, unit] : by_name_) {
    if (unit->kind == core::UnitKind::Service) ++facts.units;
    const core::UnitRecord* const record = engine_.record(unit->id);
    if (record == nullptr) continue;
    if (core::is_up(record->state)) ++facts.active;
    if (record->state == core::ServiceState::Failed) ++facts.failed;
    if (record->job != core::no_job) ++facts.jobs;
  }
  facts.manager_started = stamp(started_);
  facts.started = instance_start_;
  facts.is_shutting_down = is_shutting_down_;
  facts.process_tracking = word_of(tracking_.kind());
  facts.control_group = tracking_.path();
  facts.runtime_dir = options_.runtime_dir;
  facts.state_dir = options_.state_dir;
  facts.log_dir = options_.log_dir;
  for (const std::string& note : notes_) facts.degraded.push_back(note);
  const auto is_in_trouble = [](const auto& known) { return !known.second->log_trouble.empty(); };
  if (const auto count = std::count_if(by_name_.begin(), by_name_.end(), is_in_trouble); count > 0) {
    facts.degraded.push_back(hold("the output of " + std::to_string(count) + (count == 1 ? " service" : " services") +
                                  " cannot be recorded at present and waits in its pipe; see the Remarks of " +
                                  std::find_if(by_name_.begin(), by_name_.end(), is_in_trouble)->second->name));
  }
  if (!facts.keeper_is_locked)
    facts.degraded.push_back(
        "the keeper's memory is not locked: RLIMIT_MEMLOCK is too low for it; under memory pressure, ends and starts may be "
        "late");
  if (!last_crash_.empty()) facts.remarks.push_back(last_crash_);
  for (const Suspect& suspect : crashes_.record().suspects) {
    if (suspect.is_quarantined != 0) facts.remarks.push_back(hold(quarantine_text(suspect.input, suspect.name.view())));
  }
  // As it is for every ordinary user, and in most containers: nothing is out of order.
  if (!facts.keeper_is_spared)
    facts.remarks.push_back(hold("the keeper's oom_score_adj cannot be lowered to -1000 (" +
                                 std::string{base::errno_name(keeper_facts_.oom_score_error)} +
                                 ", that takes CAP_SYS_RESOURCE): it may be killed like any process when memory runs out"));
  if ((keeper_facts_.facts & keeper::fact_adopted) != 0)
    facts.degraded.push_back(
        "the keeper was lost and has been replaced; services that were started before are not its children");
  return facts;
}

std::variant<core::JobId, Refusal> Manager::request_job(core::JobType type, std::string_view name) {
  if (is_shutting_down_) return Refusal{Refusal::Code::ShuttingDown, "the instance is stopping; nothing was changed"};
  SupervisedUnit* const unit = type == core::JobType::Stop ? resolve(name) : load_named(name);
  if (unit == nullptr)
    return Refusal{Refusal::Code::NoSuchUnit, "unit " + std::string{name} + " not found; nothing was changed"};
  introduce();
  if (unit->load_state != LoadState::Loaded && type != core::JobType::Stop) {
    return Refusal{Refusal::Code::BadUnit,
                   unit->name + " cannot be started: " +
                       (unit->load_error.empty() ? std::string{word_of(unit->load_state)} : unit->load_error)};
  }
  const bool is_by_hand = type == core::JobType::Stop ? unit->refuses_manual_stop : unit->refuses_manual_start;
  if (is_by_hand && type != core::JobType::Reload) {
    return Refusal{Refusal::Code::NotApplicable,
                   unit->name + " may be " + (type == core::JobType::Stop ? "stopped" : "started") +
                       " by other units only (RefuseManual" + (type == core::JobType::Stop ? "Stop" : "Start") +
                       "=yes); nothing was changed"};
  }
  const core::ServiceSettings* const settings = engine_.settings(unit->id);
  if (type == core::JobType::Reload &&
      (settings == nullptr || settings->commands[static_cast<std::size_t>(core::CommandPhase::Reload)].count == 0)) {
    return Refusal{Refusal::Code::NotApplicable, "Job type reload is not applicable for unit " + unit->name +
                                                     ": it has no ExecReload=; nothing was changed"};
  }
  events_.emplace_back(core::JobRequested{++last_job_, type, unit->id});
  return last_job_;
}

bool Manager::is_in_flight(core::JobId job) const { return engine_.has_job(job); }

std::optional<Refusal> Manager::reset_failed(std::string_view name) {
  const SupervisedUnit* const unit = resolve(name);
  if (unit == nullptr)
    return Refusal{Refusal::Code::NoSuchUnit, "unit " + std::string{name} + " not found; nothing was changed"};
  events_.emplace_back(core::FailureReset{unit->id});
  return std::nullopt;
}

std::variant<std::size_t, Refusal> Manager::send_signal(std::string_view name, int signal, KillWhom whom) {
  const SupervisedUnit* const unit = resolve(name);
  const Run* const run = unit == nullptr ? nullptr : unit->last_run();
  if (run == nullptr) return std::size_t{0};  // as systemctl: nobody is there, and that is no failure
  std::size_t count = 0;
  const bool has_main = run->pidfd && !run->exit;
  const bool has_control = run->control != nullptr && run->control->pidfd && !run->control->exit;
  if ((whom == KillWhom::Main && !has_main) || (whom == KillWhom::Control && !has_control)) {
    return Refusal{Refusal::Code::NotApplicable, unit->name + " has no " + (whom == KillWhom::Main ? "main" : "control") +
                                                     " process at present; nothing was signalled"};
  }
  if (whom == KillWhom::All)
    return tracking_.signal_all(processes(*run, ProcessTracking::leaf_name(unit->name, run->run)), signal);
  if (whom == KillWhom::Main && sys::pidfd_send_signal(run->pidfd.get(), signal) == 0) ++count;
  if (whom == KillWhom::Control && sys::pidfd_send_signal(run->control->pidfd.get(), signal) == 0) ++count;
  return count;
}

std::vector<UnitText> Manager::texts(std::string_view name) const {
  const Result<unit::UnitName> parsed = unit::UnitName::parse(name);
  std::vector<UnitText> texts;
  if (!parsed) return texts;
  FoundUnit found = files_.find(*parsed);
  const SupervisedUnit* const known = resolve(name);
  if (found.state == LoadState::NotFound && known != nullptr && !known->fragment_path.empty()) {
    if (Result<FoundUnit> file = files_.find_argument(known->fragment_path)) found = std::move(*file);
  }
  for (unit::UnitSource& source : found.sources)
    if (!source.path.empty()) texts.push_back({std::move(source.path), std::move(source.text)});
  return texts;
}

std::vector<Finding> Manager::verify(std::string_view unit_or_path) const {
  std::vector<Finding> findings;
  const std::string word{unit_or_path};
  const auto add = [&](const Diagnostic& d) {
    findings.push_back({d.source, d.line, d.is_warning ? Finding::Severity::Warning : Finding::Severity::Error, d.text()});
  };
  const Result<FoundUnit> found = files_.find_argument(word);
  if (!found || found->state == LoadState::NotFound) {
    findings.push_back(
        {word, 0, Finding::Severity::Error, found ? word + ": not found in the unit path" : found.error().message()});
    return findings;
  }
  for (const Diagnostic& diagnostic : found->diagnostics) add(diagnostic);
  if (found->state != LoadState::Loaded) return findings;
  const config::Parsed<unit::UnitSpec> parsed = unit::load_unit(found->name, found->sources, machine_, options_.isolation);
  for (const Diagnostic& diagnostic : parsed.diagnostics) add(diagnostic);
  for (const unit::DirectiveUse& use : parsed.value.directives) {
    if (use.outcome != unit::Outcome::Emulated) continue;
    findings.push_back({use.source, use.line, Finding::Severity::Remark,
                        use.source + ':' + std::to_string(use.line) + ": " + use.name + "= is emulated: " + use.note});
  }
  if (parsed.value.is_startable && found->name.type() == unit::UnitType::Service &&
      !parsed.value.service.exec_start.empty()) {
    if (const Result<CompiledLaunch> compiled = compile(parsed.value, *accounts_, surroundings_); !compiled)
      findings.push_back(
          {found->fragment_path, 0, Finding::Severity::Error, found->name.text() + ": " + compiled.error().message()});
  }
  return findings;
}

std::vector<std::string_view> Manager::dependencies(std::string_view name, bool is_reverse) const {
  const SupervisedUnit* const unit = resolve(name);
  std::vector<std::string_view> names;
  if (unit == nullptr) return names;
  using Settings = core::ServiceSettings;
  const auto each = [](const Settings& settings, const auto& visit) {
    for (const auto kind :
         {&Settings::requires_, &Settings::requisite, &Settings::binds_to, &Settings::wants, &Settings::upholds})
      for (const core::UnitId id : settings.*kind) visit(id);
  };
  const auto add = [&](core::UnitId id) {
    const SupervisedUnit* const other = find(id);
    if (other != nullptr && std::find(names.begin(), names.end(), other->name) == names.end()) names.push_back(other->name);
  };
  if (!is_reverse) {
    if (const Settings* const settings = engine_.settings(unit->id)) each(*settings, add);
  } else {
    for (const auto& [other_name, other] : by_name_) {
      const Settings* const settings = engine_.settings(other->id);
      if (settings == nullptr) continue;
      each(*settings, [&, other = other](core::UnitId id) {
        if (id == unit->id) add(other->id);
      });
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool Manager::cancel(core::JobId job) {
  if (!engine_.has_job(job)) return false;
  events_.emplace_back(core::JobCanceled{job});
  return true;
}

void Manager::exit_with(int code) {
  note_stop(code);
  shut_down();
}

void Manager::shut_down() {
  note_stop();
  events_.emplace_back(core::ShutdownRequested{});
}

}  // namespace perdure::supervisor
