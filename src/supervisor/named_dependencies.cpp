#include "supervisor/named_dependencies.hpp"

#include <iterator>

#include "base/assert.hpp"

namespace perdure::supervisor {
namespace {

using Settings = core::ServiceSettings;
using Spec = unit::UnitSpec;

constexpr std::uint32_t names_max = std::uint32_t{1} << 24;

struct Kind {
  DependencyKind kind;
  std::vector<unit::UnitName> Spec::*names;
  std::vector<core::UnitId> Settings::*ids;
};
constexpr Kind kinds[] = {
    {DependencyKind::Wants, &Spec::wants, &Settings::wants},
    {DependencyKind::Requires, &Spec::requires_, &Settings::requires_},
    {DependencyKind::Requisite, &Spec::requisite, &Settings::requisite},
    {DependencyKind::BindsTo, &Spec::binds_to, &Settings::binds_to},
    {DependencyKind::PartOf, &Spec::part_of, &Settings::part_of},
    {DependencyKind::Upholds, &Spec::upholds, &Settings::upholds},
    {DependencyKind::Conflicts, &Spec::conflicts, &Settings::conflicts},
    {DependencyKind::After, &Spec::after, &Settings::after},
    {DependencyKind::Before, &Spec::before, &Settings::before},
    {DependencyKind::OnFailure, &Spec::on_failure, &Settings::on_failure},
    {DependencyKind::OnSuccess, &Spec::on_success, &Settings::on_success},
    {DependencyKind::ReloadTo, &Spec::propagates_reload_to, &Settings::reload_to},
    {DependencyKind::DefaultAfter, &Spec::default_after, nullptr},
    {DependencyKind::ReloadFrom, &Spec::reload_propagated_from, nullptr},
};
static_assert(std::size(kinds) == static_cast<std::size_t>(DependencyKind::ReloadFrom) + 1);

}  // namespace

NamedDependency NameTable::add(DependencyKind kind, const unit::UnitName& name) {
  auto known = numbers_.find(name.text());
  if (known == numbers_.end()) {
    PERDURE_ASSERT(names_.size() < names_max, "units have run out of names");
    names_.push_back(name);
    known = numbers_.emplace(names_.back().text(), static_cast<std::uint32_t>(names_.size() - 1)).first;
  }
  return {.kind = kind, .name = known->second & (names_max - 1)};
}

std::optional<std::uint32_t> NameTable::find(std::string_view name) const {
  const auto known = numbers_.find(name);
  return known == numbers_.end() ? std::nullopt : std::optional{known->second};
}

std::vector<NamedDependency> named_dependencies(const Spec& spec, NameTable& names) {
  std::size_t count = 0;
  for (const Kind& kind : kinds) count += (spec.*kind.names).size();
  std::vector<NamedDependency> all;
  all.reserve(count);
  for (const Kind& kind : kinds)
    for (const unit::UnitName& name : spec.*kind.names) all.push_back(names.add(kind.kind, name));
  return all;
}

std::vector<core::UnitId> Settings::*list_of(DependencyKind kind) noexcept {
  return kinds[static_cast<std::size_t>(kind)].ids;
}

void clear_lists(Settings& settings) noexcept {
  for (const Kind& kind : kinds)
    if (kind.ids != nullptr) (settings.*kind.ids).clear();
}

}  // namespace perdure::supervisor
