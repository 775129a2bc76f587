#include "core/relations.hpp"

#include <algorithm>
#include <utility>

namespace perdure::core {
namespace {

constexpr std::pair<std::vector<UnitId> ServiceSettings::*, std::vector<UnitId> RelatedUnits::*> ends[] = {
    {&ServiceSettings::requires_, &RelatedUnits::required_by},   {&ServiceSettings::requisite, &RelatedUnits::requisite_of},
    {&ServiceSettings::binds_to, &RelatedUnits::bound_by},       {&ServiceSettings::part_of, &RelatedUnits::consists_of},
    {&ServiceSettings::conflicts, &RelatedUnits::conflicted_by}, {&ServiceSettings::upholds, &RelatedUnits::upheld_by},
};

}  // namespace

void Relations::replace(UnitId unit, const ServiceSettings& before, const ServiceSettings& after) {
  for (const auto& [said, seen] : ends) {
    for (const UnitId other : before.*said) std::erase(related_[other].*seen, unit);
    for (const UnitId other : after.*said) {
      std::vector<UnitId>& list = related_[other].*seen;
      if (other != unit && std::find(list.begin(), list.end(), unit) == list.end()) list.push_back(unit);
    }
  }
}

const RelatedUnits& Relations::of(UnitId unit) const {
  static const RelatedUnits none;
  const auto found = related_.find(unit);
  return found == related_.end() ? none : found->second;
}

}  // namespace perdure::core
