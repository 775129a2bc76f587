#include "supervisor/properties.hpp"

#include <algorithm>
#include <array>

namespace perdure::supervisor {
namespace {

std::string_view word(core::JobType type) noexcept {
  switch (type) {
    case core::JobType::Start: return "start";
    case core::JobType::Stop: return "stop";
    case core::JobType::Restart: return "restart";
    case core::JobType::Reload: return "reload";
    case core::JobType::TryRestart: return "try-restart";
  }
  return "start";
}

/// ExecMainCode=, as wait(2) numbers it; 0 where it runs, never ran, or nobody saw how it ended.
int exec_main_code(const UnitStatus& unit) noexcept {
  constexpr int cld_exited = 1, cld_killed = 2, cld_dumped = 3;
  if (!unit.last_exit) return 0;
  switch (unit.last_exit->kind) {
    case core::ExitKind::Exited: return cld_exited;
    case core::ExitKind::Killed: return cld_killed;
    case core::ExitKind::Dumped: return cld_dumped;
    case core::ExitKind::Unknown: break;
  }
  return 0;
}

/// Each is written by itself, so that `show -p` costs what it shows.
template <class Subject>
struct Property {
  std::string_view name;
  void (*put)(JsonText&, const Subject&);
};

using UnitProperty = Property<UnitStatus>;
constexpr std::array unit_properties{
    UnitProperty{"Type", [](JsonText& j, const UnitStatus& u) { j.string(u.type); }},
    UnitProperty{"Restart", [](JsonText& j, const UnitStatus& u) { j.string(u.restart); }},
    UnitProperty{"MainPID", [](JsonText& j, const UnitStatus& u) { j.number(u.main_pid); }},
    UnitProperty{"Result", [](JsonText& j, const UnitStatus& u) { j.string(u.result); }},
    UnitProperty{"NRestarts", [](JsonText& j, const UnitStatus& u) { j.number(u.restarts); }},
    UnitProperty{"ExecMainStartTimestamp",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.exec_main_start.realtime_us); }},
    UnitProperty{"ExecMainStartTimestampMonotonic",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.exec_main_start.monotonic_us); }},
    UnitProperty{"ExecMainExitTimestamp", [](JsonText& j, const UnitStatus& u) { j.number(u.exec_main_exit.realtime_us); }},
    UnitProperty{"ExecMainExitTimestampMonotonic",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.exec_main_exit.monotonic_us); }},
    UnitProperty{"ExecMainPID", [](JsonText& j, const UnitStatus& u) { j.number(u.exec_main_pid); }},
    UnitProperty{"ExecMainCode", [](JsonText& j, const UnitStatus& u) { j.number(exec_main_code(u)); }},
    UnitProperty{"ExecMainStatus",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.last_exit ? u.last_exit->status : 0); }},
    UnitProperty{"ControlGroup", [](JsonText& j, const UnitStatus& u) { j.string(u.control_group); }},
    UnitProperty{"Id", [](JsonText& j, const UnitStatus& u) { j.string(u.name); }},
    UnitProperty{"Description",
                 [](JsonText& j, const UnitStatus& u) { j.string(u.description.empty() ? u.name : u.description); }},
    UnitProperty{"LoadState", [](JsonText& j, const UnitStatus& u) { j.string(u.load_state); }},
    UnitProperty{"LoadError", [](JsonText& j, const UnitStatus& u) { j.string(u.load_error); }},
    UnitProperty{"ActiveState", [](JsonText& j, const UnitStatus& u) { j.string(u.active_state); }},
    UnitProperty{"SubState", [](JsonText& j, const UnitStatus& u) { j.string(u.sub_state); }},
    UnitProperty{"FragmentPath", [](JsonText& j, const UnitStatus& u) { j.string(u.fragment_path); }},
    UnitProperty{"DropInPaths", [](JsonText& j, const UnitStatus& u) { j.strings(u.drop_ins); }},
    UnitProperty{"StateChangeTimestamp", [](JsonText& j, const UnitStatus& u) { j.number(u.state_change.realtime_us); }},
    UnitProperty{"StateChangeTimestampMonotonic",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.state_change.monotonic_us); }},
    UnitProperty{"ActiveEnterTimestamp", [](JsonText& j, const UnitStatus& u) { j.number(u.active_enter.realtime_us); }},
    UnitProperty{"ActiveEnterTimestampMonotonic",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.active_enter.monotonic_us); }},
    UnitProperty{"InactiveEnterTimestamp", [](JsonText& j, const UnitStatus& u) { j.number(u.inactive_enter.realtime_us); }},
    UnitProperty{"InactiveEnterTimestampMonotonic",
                 [](JsonText& j, const UnitStatus& u) { j.number(u.inactive_enter.monotonic_us); }},
    UnitProperty{"InvocationID", [](JsonText& j, const UnitStatus& u) { j.string(u.invocation_id); }},
    UnitProperty{"Job", [](JsonText& j, const UnitStatus& u) { j.number(u.job); }},
    UnitProperty{"JobType",
                 [](JsonText& j, const UnitStatus& u) { j.string(u.job == core::no_job ? "" : word(u.job_type)); }},
    // A main process that ended unseen has ExecMainCode=0 like one that runs; this tells them apart.
    UnitProperty{
        "ExecMainExitKnown",
        [](JsonText& j, const UnitStatus& u) { j.boolean(!u.last_exit || u.last_exit->kind != core::ExitKind::Unknown); }},
    UnitProperty{"StatusText", [](JsonText& j, const UnitStatus& u) { j.string(u.status_text); }},
    UnitProperty{"StatusErrno", [](JsonText& j, const UnitStatus& u) { j.number(u.status_errno); }},
    UnitProperty{"CanReload", [](JsonText& j, const UnitStatus& u) { j.boolean(u.can_reload); }},
    UnitProperty{"SyslogIdentifier", [](JsonText& j, const UnitStatus& u) { j.string(u.syslog_identifier); }},
    UnitProperty{"SyslogLevelPrefix", [](JsonText& j, const UnitStatus& u) { j.boolean(u.syslog_level_prefix); }},
    UnitProperty{"Remarks", [](JsonText& j, const UnitStatus& u) { j.strings(u.remarks); }},
};

using InstanceProperty = Property<InstanceFacts>;
constexpr std::array instance_properties{
    InstanceProperty{"Version", [](JsonText& j, const InstanceFacts& f) { j.string(f.version); }},
    InstanceProperty{"SystemState", [](JsonText& j, const InstanceFacts& f) { j.string(system_state(f)); }},
    InstanceProperty{"KeeperPID", [](JsonText& j, const InstanceFacts& f) { j.number(f.keeper_pid); }},
    InstanceProperty{"ManagerPID", [](JsonText& j, const InstanceFacts& f) { j.number(f.manager_pid); }},
    InstanceProperty{"ManagerRestarts", [](JsonText& j, const InstanceFacts& f) { j.number(f.manager_restarts); }},
    InstanceProperty{"OrphansReaped", [](JsonText& j, const InstanceFacts& f) { j.number(f.orphans_reaped); }},
    InstanceProperty{"KeeperLocked", [](JsonText& j, const InstanceFacts& f) { j.boolean(f.keeper_is_locked); }},
    InstanceProperty{"KeeperSpared", [](JsonText& j, const InstanceFacts& f) { j.boolean(f.keeper_is_spared); }},
    InstanceProperty{"NServices", [](JsonText& j, const InstanceFacts& f) { j.number(f.units); }},
    InstanceProperty{"NActive", [](JsonText& j, const InstanceFacts& f) { j.number(f.active); }},
    InstanceProperty{"NFailedUnits", [](JsonText& j, const InstanceFacts& f) { j.number(f.failed); }},
    InstanceProperty{"NJobs", [](JsonText& j, const InstanceFacts& f) { j.number(f.jobs); }},
    InstanceProperty{"StartTimestamp", [](JsonText& j, const InstanceFacts& f) { j.number(f.started.realtime_us); }},
    InstanceProperty{"StartTimestampMonotonic",
                     [](JsonText& j, const InstanceFacts& f) { j.number(f.started.monotonic_us); }},
    InstanceProperty{"ManagerStartTimestamp",
                     [](JsonText& j, const InstanceFacts& f) { j.number(f.manager_started.realtime_us); }},
    InstanceProperty{"ManagerStartTimestampMonotonic",
                     [](JsonText& j, const InstanceFacts& f) { j.number(f.manager_started.monotonic_us); }},
    InstanceProperty{"ProcessTracking", [](JsonText& j, const InstanceFacts& f) { j.string(f.process_tracking); }},
    InstanceProperty{"ControlGroup", [](JsonText& j, const InstanceFacts& f) { j.string(f.control_group); }},
    InstanceProperty{"RuntimeDirectory", [](JsonText& j, const InstanceFacts& f) { j.string(f.runtime_dir); }},
    InstanceProperty{"StateDirectory", [](JsonText& j, const InstanceFacts& f) { j.string(f.state_dir); }},
    InstanceProperty{"LogDirectory", [](JsonText& j, const InstanceFacts& f) { j.string(f.log_dir); }},
    InstanceProperty{"Degraded", [](JsonText& j, const InstanceFacts& f) { j.strings(f.degraded); }},
    InstanceProperty{"Remarks", [](JsonText& j, const InstanceFacts& f) { j.strings(f.remarks); }},
};

template <class Subject>
void put(JsonText& json, const Subject& subject, std::span<const Property<Subject>> properties,
         std::span<const std::string_view> wanted) {
  json.begin_object();
  for (const auto& property : properties) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), property.name) == wanted.end()) continue;
    json.key(property.name);
    property.put(json, subject);
  }
  json.end_object();
}

}  // namespace

std::string_view system_state(const InstanceFacts& facts) noexcept {
  if (facts.is_shutting_down) return "stopping";
  return facts.failed > 0 || !facts.degraded.empty() ? "degraded" : "running";
}

void put_unit(JsonText& json, const UnitStatus& unit, std::span<const std::string_view> wanted) {
  put<UnitStatus>(json, unit, unit_properties, wanted);
}

void put_instance(JsonText& json, const InstanceFacts& facts, std::span<const std::string_view> wanted) {
  put<InstanceFacts>(json, facts, instance_properties, wanted);
}

}  // namespace perdure::supervisor
