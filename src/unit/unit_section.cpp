// [Unit], [Install] and [X-Perdure]: systemd.unit(5).
#include <algorithm>
#include <limits>

#include "unit/load.hpp"
#include "unit/words.hpp"

namespace perdure::unit {
namespace {

constexpr std::string_view isolations[] = {"as-systemd", "strict"};

Result<void> description(Load& load, std::string_view value) {
  PERDURE_TRY(load.spec.description, load.expand(value));
  return {};
}

bool is_documentation(std::string_view uri) noexcept {
  for (const std::string_view scheme : {"http://", "https://", "file:/", "info:", "man:"})
    if (uri.starts_with(scheme)) return uri.size() > scheme.size();
  return false;
}

Result<void> documentation(Load& load, std::string_view value) {
  if (value.empty()) load.spec.documentation.clear();
  PERDURE_TRY(const auto words, split_words(value));
  for (const std::string& word : words) {
    PERDURE_TRY(std::string uri, load.expand(word));
    if (!is_documentation(uri)) {
      load.warnings.push_back(
          perdure::detail::misfit(uri, "does not begin with http://, https://, file:, info: or man:; it is left out")
              .message());
    } else if (load.spec.documentation.size() < list_entries_max) {
      load.spec.documentation.push_back(std::move(uri));
    }
  }
  return {};
}

// A template becomes an instance: of the unit's own instance where it has one, else of its name. resolve_template() of systemd.
Result<UnitName> resolved(const UnitName& name, const UnitName& owner) {
  if (!name.is_template()) return name;
  return name.with_instance(owner.is_instance() ? owner.instance() : owner.prefix());
}

enum class Templates : std::uint8_t { Resolve, Keep };

// A name that is none is left out with a warning, the others count.
Result<void> add_names(Load& load, std::vector<UnitName>& all, std::string_view value, Templates templates) {
  PERDURE_TRY(const auto words, split_words(value, Escapes::Keep));
  for (const std::string& word : words) {
    const auto expanded = load.expand(word);
    auto name = expanded ? UnitName::parse(*expanded) : Result<UnitName>{expanded.error()};
    if (name && templates == Templates::Resolve) name = resolved(*name, load.spec.name);
    if (!name) {
      load.warnings.push_back(name.error().message() + "; it is left out");
    } else if (all.size() >= dependencies_max) {
      return Error{"there are more than " + std::to_string(dependencies_max) + " names"};
    } else if (*name != load.spec.name && std::find(all.begin(), all.end(), *name) == all.end()) {
      all.push_back(*name);
    }
  }
  return {};
}

// Dependencies cannot be taken back: systemd.unit(5), "Example 2" of its drop-ins.
template <auto Member>
Result<void> dependencies(Load& load, std::string_view value) {
  return add_names(load, load.spec.*Member, value, Templates::Resolve);
}

// Those of [Install] can, but for Also=, as systemctl 252 reads them.
template <auto Member>
Result<void> installs(Load& load, std::string_view value) {
  if (value.empty() && load.directive != "Also") (load.spec.*Member).clear();
  return add_names(load, load.spec.*Member, value, Templates::Keep);
}

// ---- conditions ----------------------------------------------------------------------------------------------------------

constexpr std::string_view path_conditions[] = {
    "PathExists",      "PathExistsGlob",    "PathIsDirectory", "PathIsSymbolicLink", "PathIsMountPoint", "PathIsReadWrite",
    "PathIsEncrypted", "DirectoryNotEmpty", "FileNotEmpty",    "FileIsExecutable",   "NeedsUpdate"};

// An empty one takes back all conditions, of whatever kind; of assertions likewise.
Result<void> condition(Load& load, std::string_view value) {
  Condition condition;
  std::string_view kind = load.directive;
  condition.is_assert = base::remove_prefix(kind, "Assert");
  if (!condition.is_assert) base::remove_prefix(kind, "Condition");
  condition.kind = kind;
  std::vector<Condition>& all = load.spec.conditions;
  if (value.empty()) {
    std::erase_if(all, [&](const Condition& c) { return c.is_assert == condition.is_assert; });
    return {};
  }
  condition.is_trigger = base::remove_prefix(value, "|");
  if (condition.is_trigger) value = base::trim(value);
  condition.is_negated = base::remove_prefix(value, "!");
  if (condition.is_negated) value = base::trim(value);
  PERDURE_TRY(condition.argument, load.expand(value));
  if (std::find(std::begin(path_conditions), std::end(path_conditions), kind) != std::end(path_conditions)) {
    PERDURE_TRY(condition.argument, parse_path(condition.argument));
  }
  if (all.size() >= dependencies_max)
    return Error{"there are more than " + std::to_string(dependencies_max) + " conditions"};
  all.push_back(std::move(condition));
  return {};
}

Result<void> isolation(Load& load, std::string_view value) {
  PERDURE_TRY(const std::size_t index, parse_choice(value, isolations));
  load.isolation = static_cast<Isolation>(index);
  return {};
}

using enum Invalid;
using S = ServiceSpec;

// clang-format off
constexpr Reader readers[] = {
    {"Unit", "Description", LeavesOut, description},
    {"Unit", "Documentation", LeavesOut, documentation},
    {"Unit", "SourcePath", LeavesOut, accept},
    {"Unit", "Wants", LeavesOut, dependencies<&UnitSpec::wants>},
    {"Unit", "Requires", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "RequiresOverridable", LeavesOut, dependencies<&UnitSpec::requires_>},
    {"Unit", "Requisite", LeavesOut, dependencies<&UnitSpec::requisite>},
    {"Unit", "RequisiteOverridable", LeavesOut, dependencies<&UnitSpec::requisite>},
    {"Unit", "BindsTo", LeavesOut, dependencies<&UnitSpec::binds_to>},
    {"Unit", "BindTo", LeavesOut, dependencies<&UnitSpec::binds_to>},
    {"Unit", "PartOf", LeavesOut, dependencies<&UnitSpec::part_of>},
    {"Unit", "Upholds", LeavesOut, dependencies<&UnitSpec::upholds>},
    {"Unit", "Conflicts", LeavesOut, dependencies<&UnitSpec::conflicts>},
    {"Unit", "After", LeavesOut, dependencies<&UnitSpec::after>},
    {"Unit", "Before", LeavesOut, dependencies<&UnitSpec::before>},
    {"Unit", "OnFailure", LeavesOut, dependencies<&UnitSpec::on_failure>},
    {"Unit", "OnSuccess", LeavesOut, dependencies<&UnitSpec::on_success>},
    {"Unit", "PropagatesReloadTo", LeavesOut, dependencies<&UnitSpec::propagates_reload_to>},
    {"Unit", "PropagateReloadTo", LeavesOut, dependencies<&UnitSpec::propagates_reload_to>},
    {"Unit", "ReloadPropagatedFrom", LeavesOut, dependencies<&UnitSpec::reload_propagated_from>},
    {"Unit", "PropagateReloadFrom", LeavesOut, dependencies<&UnitSpec::reload_propagated_from>},
    {"Unit", "DefaultDependencies", LeavesOut, unit_truth<&UnitSpec::default_dependencies>},
    {"Unit", "RefuseManualStart", LeavesOut, unit_truth<&UnitSpec::refuses_manual_start>},
    {"Unit", "RefuseManualStop", LeavesOut, unit_truth<&UnitSpec::refuses_manual_stop>},
    {"Unit", "StartLimitIntervalSec", LeavesOut, span_up_to_max<&S::start_limit_interval>},
    {"Unit", "StartLimitInterval", LeavesOut, span_up_to_max<&S::start_limit_interval>},
    {"Unit", "StartLimitBurst", LeavesOut, read_start_limit_burst},
    {"Unit", "StartLimitAction", LeavesOut, read_start_limit_action},
    {"Unit", "IgnoreOnIsolate", LeavesOut, accept},
    {"Unit", "AllowIsolate", LeavesOut, accept},
    {"Unit", "OnFailureIsolate", LeavesOut, accept},
    {"Unit", "CollectMode", LeavesOut, accept},
    {"Unit", "ConditionPathExists", LeavesOut, condition},
    {"Unit", "ConditionPathExistsGlob", LeavesOut, condition},
    {"Unit", "ConditionPathIsDirectory", LeavesOut, condition},
    {"Unit", "ConditionPathIsSymbolicLink", LeavesOut, condition},
    {"Unit", "ConditionPathIsMountPoint", LeavesOut, condition},
    {"Unit", "ConditionPathIsReadWrite", LeavesOut, condition},
    {"Unit", "ConditionPathIsEncrypted", LeavesOut, condition},
    {"Unit", "ConditionDirectoryNotEmpty", LeavesOut, condition},
    {"Unit", "ConditionFileNotEmpty", LeavesOut, condition},
    {"Unit", "ConditionFileIsExecutable", LeavesOut, condition},
    {"Unit", "ConditionNeedsUpdate", LeavesOut, condition},
    {"Unit", "ConditionFirstBoot", LeavesOut, condition},
    {"Unit", "ConditionArchitecture", LeavesOut, condition},
    {"Unit", "ConditionFirmware", LeavesOut, condition},
    {"Unit", "ConditionVirtualization", LeavesOut, condition},
    {"Unit", "ConditionHost", LeavesOut, condition},
    {"Unit", "ConditionKernelCommandLine", LeavesOut, condition},
    {"Unit", "ConditionKernelVersion", LeavesOut, condition},
    {"Unit", "ConditionCredential", LeavesOut, condition},
    {"Unit", "ConditionSecurity", LeavesOut, condition},
    {"Unit", "ConditionCapability", LeavesOut, condition},
    {"Unit", "ConditionACPower", LeavesOut, condition},
    {"Unit", "ConditionMemory", LeavesOut, condition},
    {"Unit", "ConditionCPUFeature", LeavesOut, condition},
    {"Unit", "ConditionCPUs", LeavesOut, condition},
    {"Unit", "ConditionEnvironment", LeavesOut, condition},
    {"Unit", "ConditionUser", LeavesOut, condition},
    {"Unit", "ConditionGroup", LeavesOut, condition},
    {"Unit", "ConditionControlGroupController", LeavesOut, condition},
    {"Unit", "ConditionOSRelease", LeavesOut, condition},
    {"Unit", "ConditionMemoryPressure", LeavesOut, condition},
    {"Unit", "ConditionCPUPressure", LeavesOut, condition},
    {"Unit", "ConditionIOPressure", LeavesOut, condition},
    {"Unit", "AssertPathExists", LeavesOut, condition},
    {"Unit", "AssertPathExistsGlob", LeavesOut, condition},
    {"Unit", "AssertPathIsDirectory", LeavesOut, condition},
    {"Unit", "AssertPathIsSymbolicLink", LeavesOut, condition},
    {"Unit", "AssertPathIsMountPoint", LeavesOut, condition},
    {"Unit", "AssertPathIsReadWrite", LeavesOut, condition},
    {"Unit", "AssertPathIsEncrypted", LeavesOut, condition},
    {"Unit", "AssertDirectoryNotEmpty", LeavesOut, condition},
    {"Unit", "AssertFileNotEmpty", LeavesOut, condition},
    {"Unit", "AssertFileIsExecutable", LeavesOut, condition},
    {"Unit", "AssertNeedsUpdate", LeavesOut, condition},
    {"Unit", "AssertFirstBoot", LeavesOut, condition},
    {"Unit", "AssertArchitecture", LeavesOut, condition},
    {"Unit", "AssertVirtualization", LeavesOut, condition},
    {"Unit", "AssertHost", LeavesOut, condition},
    {"Unit", "AssertKernelCommandLine", LeavesOut, condition},
    {"Unit", "AssertKernelVersion", LeavesOut, condition},
    {"Unit", "AssertCredential", LeavesOut, condition},
    {"Unit", "AssertSecurity", LeavesOut, condition},
    {"Unit", "AssertCapability", LeavesOut, condition},
    {"Unit", "AssertACPower", LeavesOut, condition},
    {"Unit", "AssertMemory", LeavesOut, condition},
    {"Unit", "AssertCPUFeature", LeavesOut, condition},
    {"Unit", "AssertCPUs", LeavesOut, condition},
    {"Unit", "AssertEnvironment", LeavesOut, condition},
    {"Unit", "AssertUser", LeavesOut, condition},
    {"Unit", "AssertGroup", LeavesOut, condition},
    {"Unit", "AssertControlGroupController", LeavesOut, condition},
    {"Unit", "AssertOSRelease", LeavesOut, condition},
    {"Unit", "AssertMemoryPressure", LeavesOut, condition},
    {"Unit", "AssertCPUPressure", LeavesOut, condition},
    {"Unit", "AssertIOPressure", LeavesOut, condition},
    {"Install", "Alias", LeavesOut, installs<&UnitSpec::aliases>},
    {"Install", "WantedBy", LeavesOut, installs<&UnitSpec::wanted_by>},
    {"Install", "RequiredBy", LeavesOut, installs<&UnitSpec::required_by>},
    {"Install", "Also", LeavesOut, installs<&UnitSpec::also>},
    {"Install", "DefaultInstance", LeavesOut, accept},
    {"X-Perdure", "Isolation", Refuses, isolation},
    {"X-Perdure", "Essential", LeavesOut, unit_truth<&UnitSpec::is_essential>},
};
// clang-format on

}  // namespace

std::span<const Reader> unit_readers() noexcept { return readers; }

Result<void> read_start_limit_burst(Load& load, std::string_view value) {
  PERDURE_TRY(const std::uint64_t count, perdure::detail::parse_unsigned(value, std::numeric_limits<std::uint32_t>::max()));
  load.service().start_limit_burst = static_cast<std::uint32_t>(count);
  return {};
}

// The machine is not ours to switch off or to start again.
Result<void> read_start_limit_action(Load& load, std::string_view value) {
  static constexpr std::string_view words[] = {"none",     "exit",           "exit-force",
                                               "reboot",   "reboot-force",   "reboot-immediate",
                                               "poweroff", "poweroff-force", "poweroff-immediate"};
  PERDURE_TRY(const std::size_t index, parse_choice(value, words));
  const bool is_ours = index <= static_cast<std::size_t>(EmergencyAction::ExitForce);
  load.service().start_limit_action = is_ours ? static_cast<EmergencyAction>(index) : EmergencyAction::None;
  if (!is_ours) load.exception = {Exception::Kind::LeftOut, std::string{value}};
  return {};
}

}  // namespace perdure::unit
