// Ordering: who comes after whom, as After= says, without cycles.
//
// An edge that would close a cycle is left out when its unit is loaded, so that jobs can never wait for each other in a circle.
// The units named need not be loaded, now or ever.
// Left out: what waiting means (engine.cpp).
// Thread safety: none, one owner. Pure.
//
//     for (UnitId dropped : ordering.set_predecessors(web, settings.after)) announce_cycle(dropped);
//     for (UnitId unit : ordering.followers(database)) look_again(unit);
#pragma once

#include <map>
#include <span>
#include <vector>

#include "core/service_settings.hpp"

namespace perdure::core {

class Ordering {
 public:
  /// Replaces what was known of `unit`. Returns the units that it cannot come after, because they come after it.
  std::vector<UnitId> set_predecessors(UnitId unit, std::span<const UnitId> after);
  /// The units that `unit` comes after.
  [[nodiscard]] std::span<const UnitId> predecessors(UnitId unit) const;
  /// The units that come after `unit`.
  [[nodiscard]] std::span<const UnitId> followers(UnitId unit) const;

 private:
  struct Edges {
    std::vector<UnitId> predecessors{};
    std::vector<UnitId> followers{};
  };
  [[nodiscard]] bool comes_after(UnitId unit, UnitId other) const;
  std::map<UnitId, Edges> edges_{};  ///< of units that have any
};

}  // namespace perdure::core
