// The dependencies that units have without naming them: "Default Dependencies" of systemd.service(5) and systemd.target(5).
#include <algorithm>

#include "unit/load.hpp"

namespace perdure::unit {
namespace {

bool contains(const std::vector<UnitName>& names, const UnitName& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void add(const UnitSpec& unit, std::vector<UnitName>& names, const UnitName& name) {
  if (name != unit.name && !contains(names, name)) names.push_back(name);
}

// What starts with the target is there when the target is. Where the files order it the other way, they are believed.
void order_after_members(UnitSpec& target) {
  for (const auto* members : {&target.requires_, &target.requisite, &target.wants, &target.binds_to, &target.upholds}) {
    for (const UnitName& name : *members) {
      if (contains(target.after, name) || contains(target.before, name)) continue;
      target.after.push_back(name);
      target.default_after.push_back(name);
    }
  }
}

}  // namespace

void add_default_dependencies(UnitSpec& unit) {
  static const UnitName sysinit = *UnitName::parse("sysinit.target");
  static const UnitName basic = *UnitName::parse("basic.target");
  static const UnitName shutdown = *UnitName::parse("shutdown.target");
  const bool is_service = unit.name.type() == UnitType::Service;
  if (!unit.default_dependencies || (!is_service && unit.name.type() != UnitType::Target)) return;
  if (is_service) {
    add(unit, unit.requires_, sysinit);
    add(unit, unit.after, sysinit);
    add(unit, unit.after, basic);
  } else {
    order_after_members(unit);
  }
  add(unit, unit.conflicts, shutdown);
  add(unit, unit.before, shutdown);
}

void settle_default_order(UnitSpec& target, const UnitSpec& member) {
  if (member.default_dependencies && !contains(member.after, target.name)) return;
  if (std::erase(target.default_after, member.name) > 0) std::erase(target.after, member.name);
}

}  // namespace perdure::unit
