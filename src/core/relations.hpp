// Relations: the dependencies between units, seen from the other end.
//
// Forward they stand in each unit's settings. Here is who requires, binds to, is part of, conflicts with or upholds a unit, so that
// a stop or a failure finds whom it concerns without looking at all units.
// Thread safety: none, one owner. Pure.
//
//     relations.replace(web, old_settings, settings);
//     for (UnitId unit : relations.of(database).required_by) stop(unit);
#pragma once

#include <map>
#include <vector>

#include "core/service_settings.hpp"

namespace perdure::core {

/// Each list without repetitions, in the order in which it was said.
struct RelatedUnits {
  std::vector<UnitId> required_by{};
  std::vector<UnitId> requisite_of{};
  std::vector<UnitId> bound_by{};
  std::vector<UnitId> consists_of{};  ///< those that are PartOf= it
  std::vector<UnitId> conflicted_by{};
  std::vector<UnitId> upheld_by{};
};

class Relations {
 public:
  /// What `unit` said of others was `before` and is `after`.
  void replace(UnitId unit, const ServiceSettings& before, const ServiceSettings& after);
  [[nodiscard]] const RelatedUnits& of(UnitId unit) const;

 private:
  std::map<UnitId, RelatedUnits> related_{};  ///< of units that anybody named
};

}  // namespace perdure::core
