// Can the text of a unit file hurt us? And does what we make of it keep what UnitSpec promises?
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "unit/unit_spec.hpp"

namespace {

using namespace perdure::unit;

void require(bool holds) {
  if (!holds) std::abort();
}

const Specifiers machine{.hostname = "box", .state_directory = "/var/lib", .runtime_directory = "/run"};

void check_names(const UnitSpec& unit, const std::vector<UnitName>& names) {
  const std::set<UnitName> once{names.begin(), names.end()};
  require(once.size() == names.size() && !once.contains(unit.name));
}

void check_commands(const std::vector<ExecCommand>& commands) {
  require(commands.size() <= commands_max);
  for (const ExecCommand& command : commands) require(!command.argv.empty() && !command.path.empty());
}

void check_relative(const std::string& path) {
  require(!path.empty() && path.front() != '/' && ("/" + path + "/").find("/../") == std::string::npos);
}

void check_service(const ServiceSpec& service) {
  for (const auto* commands : {&service.exec_condition, &service.exec_start_pre, &service.exec_start,
                               &service.exec_start_post, &service.exec_reload, &service.exec_stop, &service.exec_stop_post})
    check_commands(*commands);
  for (const ManagedDirectories& directories : service.directories) {
    for (const std::string& name : directories.names) check_relative(name);
    for (const DirectoryLink& link : directories.links) check_relative(link.path);
  }
  for (const BindMount& mount : service.bind_mounts)
    require(mount.source.front() == '/' && mount.destination.front() == '/');
  for (const EnvironmentFile& file : service.environment_files) require(file.path.front() == '/');
  require(service.pid_file.empty() || service.pid_file.front() == '/');
  require(service.restart_sec <= span_max && service.start_limit_interval <= span_max);
  if (!service.system_call_filter) return;
  const auto& rules = service.system_call_filter->rules;
  require(std::is_sorted(rules.begin(), rules.end(), [](const auto& a, const auto& b) { return a.name < b.name; }));
}

void check(const perdure::config::Parsed<UnitSpec>& loaded) {
  const UnitSpec& unit = loaded.value;
  bool has_error = false;
  for (const perdure::Diagnostic& diagnostic : loaded.diagnostics) {
    require(diagnostic.text().find('\n') == std::string::npos);
    has_error = has_error || !diagnostic.is_warning;
  }
  require(unit.is_startable == !has_error && loaded.diagnostics.size() <= perdure::config::diagnostics_max + 1);
  for (const auto* names : {&unit.wants, &unit.requires_, &unit.requisite, &unit.binds_to, &unit.part_of, &unit.upholds,
                            &unit.conflicts, &unit.after, &unit.before, &unit.on_failure, &unit.on_success})
    check_names(unit, *names);
  for (const UnitName& name : unit.default_after)
    require(std::find(unit.after.begin(), unit.after.end(), name) != unit.after.end());
  check_service(unit.service);
  if (!unit.is_startable || unit.name.type() != UnitType::Service) return;
  require(unit.service.type != ServiceType::Dbus);
  require(unit.service.exec_start.size() == 1 || unit.service.type == ServiceType::Oneshot);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const std::vector<UnitSource> alone{{.path = "/u/a", .text = text}};
  const std::vector<UnitSource> added{{.path = "/u/a", .text = "[Unit]\nWants=b.service\n[Service]\nExecStart=/bin/x\n"},
                                      {.path = "/u/a.d/b.conf", .text = text}};
  for (const char* name : {"web.service", "web@a-b.service", "web.target"}) {
    const UnitName parsed = *UnitName::parse(name);
    check(load_unit(parsed, alone, machine));
    check(load_unit(parsed, added, machine, Isolation::Strict));
  }
  return 0;
}
