// NamedDependencies: what a unit's files say of other units, by name, in a few bytes.
//
// Which unit a name means may change with every file that is read, so the names are kept and looked up again by each reload. A
// thousand services name the same five targets: each name is kept once, by a NameTable, for as long as that lives.
// Left out: which unit a name means (manager.hpp); what follows from a dependency (core).
// Thread safety: plain values. Fork and signal safety: none, they allocate.
//
//     unit.named = named_dependencies(spec, names);
//     for (const NamedDependency& dependency : unit.named)
//       if (const auto list = list_of(dependency.kind)) (settings.*list).push_back(number_of(names[dependency.name]));
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "core/service_settings.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

enum class DependencyKind : std::uint8_t {
  Wants,
  Requires,
  Requisite,
  BindsTo,
  PartOf,
  Upholds,
  Conflicts,
  After,
  Before,
  OnFailure,
  OnSuccess,
  ReloadTo,
  DefaultAfter,  ///< of those in After: it comes after what it pulls in, unless that objects
  ReloadFrom,
};

struct NamedDependency {
  DependencyKind kind{};
  std::uint32_t name : 24 = 0;  ///< in a NameTable
  friend bool operator==(const NamedDependency&, const NamedDependency&) = default;
};
static_assert(sizeof(NamedDependency) == 4);

class NameTable {
 public:
  NamedDependency add(DependencyKind kind, const unit::UnitName& name);
  /// Nothing: nobody has named it.
  [[nodiscard]] std::optional<std::uint32_t> find(std::string_view name) const;
  [[nodiscard]] const unit::UnitName& operator[](std::uint32_t number) const { return names_[number]; }

 private:
  std::deque<unit::UnitName> names_{};
  std::map<std::string_view, std::uint32_t> numbers_{};  ///< its keys live in names_
};

/// Kind after kind, each in the order of the files.
std::vector<NamedDependency> named_dependencies(const unit::UnitSpec& spec, NameTable& names);

/// Where the core has those of this kind; nullptr: it has none such.
std::vector<core::UnitId> core::ServiceSettings::*list_of(DependencyKind kind) noexcept;

/// Takes all that list_of() leads to out of `settings`.
void clear_lists(core::ServiceSettings& settings) noexcept;

}  // namespace perdure::supervisor
