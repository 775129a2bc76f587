// systemd.service(5) and systemd.kill(5): types, commands, timeouts, signals; and what follows from several of them together.
#include <algorithm>
#include <utility>

#include "unit/load.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

constexpr std::string_view service_types[] = {"simple", "exec", "forking", "oneshot", "dbus", "notify", "idle"};
constexpr std::string_view restart_words[] = {"no",          "on-success", "on-failure", "on-abnormal",
                                              "on-watchdog", "on-abort",   "always"};
constexpr std::string_view kill_modes[] = {"control-group", "mixed", "process", "none"};
constexpr std::string_view accesses[] = {"none", "main", "exec", "all"};

template <auto Member>
Result<void> commands(Load& load, std::string_view value) {
  std::vector<ExecCommand>& all = load.service().*Member;
  if (value.empty()) {
    all.clear();
    return {};
  }
  PERDURE_TRY(CommandLine line, parse_command_line(value, {load.spec.name, load.machine, load.spec.source_path}));
  std::move(line.warnings.begin(), line.warnings.end(), std::back_inserter(load.warnings));
  std::move(line.commands.begin(), line.commands.end(), std::back_inserter(all));
  if (all.size() > commands_max) return Error{"there are more than " + std::to_string(commands_max) + " commands"};
  return {};
}

Result<void> type(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, service_types));
  load.type = static_cast<ServiceType>(index);
  return {};
}

template <auto Member, const auto& Words>
Result<void> choice(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, Words));
  load.service().*Member = static_cast<std::remove_reference_t<decltype(load.service().*Member)>>(index);
  return {};
}

Result<void> permissions_start_only(Load& load, std::string_view value) {
  PERDURE_TRY(load.permissions_start_only, parse_truth(value));
  return {};
}

template <auto Member>
Result<void> signal(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().*Member, parse_signal(value));
  return {};
}

Result<void> restart_sec(Load& load, std::string_view value) {
  PERDURE_CHECK(span_up_to_max<&ServiceSpec::restart_sec>(load, value));
  load.service().has_restart_sec = true;
  return {};
}

// 0 means no timeout, as it always has: systemd.service(5), TimeoutStartSec=.
Result<std::optional<base::Duration>> parse_timeout(std::string_view value) {
  PERDURE_TRY(const auto parsed, parse_span(value));
  return parsed == base::Duration::zero() ? std::nullopt : parsed;
}

Result<void> timeout_start(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().timeout_start, parse_timeout(value));
  load.has_timeout_start = true;
  return {};
}

Result<void> timeout_stop(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().timeout_stop, parse_timeout(value));
  return {};
}

Result<void> both_timeouts(Load& load, std::string_view value) {
  PERDURE_CHECK(timeout_start(load, value));
  return timeout_stop(load, value);
}

// Here 0 is a time like any other, and only an empty value goes back to TimeoutStopSec=.
Result<void> timeout_abort(Load& load, std::string_view value) {
  std::optional<base::Duration> parsed;
  if (!value.empty()) {
    PERDURE_TRY(parsed, parse_span(value));
  }
  load.service().timeout_abort = parsed;
  load.service().has_timeout_abort = !value.empty();
  return {};
}

Result<void> runtime_max(Load& load, std::string_view value) {
  PERDURE_TRY(load.service().runtime_max, parse_span(value));
  return {};
}

Result<void> watchdog(Load& load, std::string_view value) {
  PERDURE_TRY(const auto parsed, parse_span(value));
  load.has_watchdog = parsed != base::Duration::zero();
  load.service().watchdog = load.has_watchdog ? parsed : std::nullopt;
  return {};
}

template <auto Member>
Result<void> statuses(Load& load, std::string_view value) {
  StatusSet& set = load.service().*Member;
  if (value.empty()) set = {};
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words)
    if (const auto added = add_status(word, set); !added)
      load.warnings.push_back(added.error().message() + "; it is left out");
  return {};
}

// A relative path lies in the runtime directory; /var/run is the old name of that.
Result<void> pid_file(Load& load, std::string_view value) {
  std::string& path = load.service().pid_file;
  if (value.empty()) {
    path.clear();
    return {};
  }
  PERDURE_TRY(std::string expanded, load.expand(value));
  if (!expanded.starts_with('/')) {
    PERDURE_TRY(const std::string runtime_directory, load.expand("%t"));
    expanded.insert(0, runtime_directory + '/');
  }
  PERDURE_TRY(expanded, parse_path(expanded));
  if (constexpr std::string_view old = "/var/run/"; expanded.starts_with(old)) expanded.replace(0, old.size(), "/run/");
  path = std::move(expanded);
  return {};
}

using enum Invalid;
using S = ServiceSpec;

// clang-format off
constexpr Reader readers[] = {
    {"Service", "Type", LeavesOut, type},
    {"Service", "ExecCondition", Refuses, commands<&S::exec_condition>},
    {"Service", "ExecStartPre", Refuses, commands<&S::exec_start_pre>},
    {"Service", "ExecStart", Refuses, commands<&S::exec_start>},
    {"Service", "ExecStartPost", Refuses, commands<&S::exec_start_post>},
    {"Service", "ExecReload", Refuses, commands<&S::exec_reload>},
    {"Service", "ExecStop", Refuses, commands<&S::exec_stop>},
    {"Service", "ExecStopPost", Refuses, commands<&S::exec_stop_post>},
    {"Service", "RemainAfterExit", LeavesOut, truth<&S::remain_after_exit>},
    {"Service", "GuessMainPID", LeavesOut, truth<&S::guess_main_pid>},
    {"Service", "PIDFile", LeavesOut, pid_file},
    {"Service", "NotifyAccess", LeavesOut, choice<&S::notify_access, accesses>},
    {"Service", "WatchdogSec", LeavesOut, watchdog},
    {"Service", "WatchdogSignal", LeavesOut, signal<&S::watchdog_signal>},
    {"Service", "PermissionsStartOnly", Refuses, permissions_start_only},
    {"Service", "Restart", LeavesOut, choice<&S::restart, restart_words>},
    {"Service", "RestartSec", LeavesOut, restart_sec},
    {"Service", "TimeoutSec", LeavesOut, both_timeouts},
    {"Service", "TimeoutStartSec", LeavesOut, timeout_start},
    {"Service", "TimeoutStopSec", LeavesOut, timeout_stop},
    {"Service", "TimeoutAbortSec", LeavesOut, timeout_abort},
    {"Service", "RuntimeMaxSec", LeavesOut, runtime_max},
    {"Service", "StartLimitInterval", LeavesOut, span_up_to_max<&S::start_limit_interval>},
    {"Service", "StartLimitBurst", LeavesOut, read_start_limit_burst},
    {"Service", "StartLimitAction", LeavesOut, read_start_limit_action},
    {"Service", "SuccessExitStatus", LeavesOut, statuses<&S::success_status>},
    {"Service", "RestartPreventExitStatus", LeavesOut, statuses<&S::restart_prevent_status>},
    {"Service", "RestartForceExitStatus", LeavesOut, statuses<&S::restart_force_status>},
    {"Service", "KillMode", LeavesOut, choice<&S::kill_mode, kill_modes>},
    {"Service", "KillSignal", LeavesOut, signal<&S::kill_signal>},
    {"Service", "RestartKillSignal", LeavesOut, signal<&S::restart_kill_signal>},
    {"Service", "FinalKillSignal", LeavesOut, signal<&S::final_kill_signal>},
    {"Service", "SendSIGKILL", LeavesOut, truth<&S::send_sigkill>},
    {"Service", "SendSIGHUP", LeavesOut, truth<&S::send_sighup>},
};
// clang-format on

bool is_empty(const StatusSet& set) noexcept { return set.codes.empty() && set.signals.empty(); }

}  // namespace

std::span<const Reader> service_readers() noexcept { return readers; }

void complete_service(Load& load) {
  ServiceSpec& service = load.service();
  service.type = load.type.value_or(load.has_bus_name            ? ServiceType::Dbus
                                    : service.exec_start.empty() ? ServiceType::Oneshot
                                                                 : ServiceType::Simple);
  if (service.type == ServiceType::Oneshot && !load.has_timeout_start) service.timeout_start.reset();
  // Who cannot be heard would never be ready, or be killed by the watchdog: systemd.service(5), NotifyAccess=.
  if (service.notify_access == NotifyAccess::None && (service.type == ServiceType::Notify || load.has_watchdog))
    service.notify_access = NotifyAccess::Main;
  // Only streams that go both ways are passed on from stdin: systemd.exec(5), StandardOutput=.
  if (service.standard_output.kind == OutputKind::Inherit) service.standard_output = {};
  if (service.cpu_scheduling) service.cpu_scheduling->resets_on_fork = load.cpu_resets_on_fork;
  if (load.permissions_start_only) {
    for (auto* list : {&service.exec_condition, &service.exec_start_pre, &service.exec_start_post, &service.exec_reload,
                       &service.exec_stop, &service.exec_stop_post})
      for (ExecCommand& command : *list) command.rights = Rights::Full;
  }
}

// As service_verify() of systemd 252 has it, one fault at a time.
std::vector<Fault> faults_of_service(const Load& load) {
  const ServiceSpec& service = load.spec.service;
  if (service.type == ServiceType::Dbus) {
    const bool follows = !load.type;
    return {{follows ? "BusName" : "Type",
             std::string{"Type=dbus"} + (follows ? ", which follows from BusName=," : "") + " is not possible yet"}};
  }
  const bool is_oneshot = service.type == ServiceType::Oneshot;
  if (service.exec_start.empty()) {
    if (!is_oneshot || service.exec_stop.empty()) return {{"", "ExecStart= is missing"}};
    if (!service.remain_after_exit)
      return {{"ExecStop", "ExecStart= is missing, which needs RemainAfterExit=yes beside ExecStop="}};
  }
  if (!is_oneshot && service.exec_start.size() > 1)
    return {
        {"ExecStart",
         "ExecStart= has more than one command, which only Type=oneshot allows; an empty ExecStart= takes back the earlier "
         "ones"}};
  if (is_oneshot && (service.restart == RestartWhen::Always || service.restart == RestartWhen::OnSuccess))
    return {{"Restart", "Restart=" + std::string{word_of(service.restart)} +
                            " would run a Type=oneshot service for ever; write on-failure, or another type"}};
  if (is_oneshot && !is_empty(service.restart_force_status))
    return {{"RestartForceExitStatus", "RestartForceExitStatus= is not for Type=oneshot; write Restart=on-failure"}};
  return {};
}

std::string_view word_of(ServiceType type) noexcept { return service_types[static_cast<std::size_t>(type)]; }
std::string_view word_of(RestartWhen when) noexcept { return restart_words[static_cast<std::size_t>(when)]; }
std::string_view word_of(KillMode mode) noexcept { return kill_modes[static_cast<std::size_t>(mode)]; }

}  // namespace perdure::unit
