// Ordering: who comes after whom, as After= and Before= say.
//
// The units named need not be loaded, now or ever. Circles are kept as they are: what to do about one is decided where it matters
// (a start that would wait for itself is refused with the circle's names; a stop takes no notice of the edges within one).
// Left out: what waiting means (engine.cpp).
// Thread safety: none, one owner. Pure.
//
//     ordering.set(web, settings.after, settings.before);
//     for (UnitId unit : ordering.followers(database)) look_again(unit);
//     if (auto cycle = ordering.find_cycle([&](UnitId u) { return is_to_start(u); }, web); !cycle.empty()) refuse(cycle);
#pragma once

#include <functional>
#include <map>
#include <span>
#include <vector>

#include "core/service_settings.hpp"

namespace perdure::core {

class Ordering {
 public:
  /// Replaces what `unit` said of itself and others. That a unit comes after itself is left out. An edge that both ends say is
  /// there twice.
  void set(UnitId unit, std::span<const UnitId> after, std::span<const UnitId> before = {});
  /// The units that `unit` comes after.
  [[nodiscard]] std::span<const UnitId> predecessors(UnitId unit) const;
  /// The units that come after `unit`.
  [[nodiscard]] std::span<const UnitId> followers(UnitId unit) const;

  /// Whether any circle is known.
  [[nodiscard]] bool has_circles() const;
  /// Whether both are in one circle: each comes after the other.
  [[nodiscard]] bool are_in_circle(UnitId one, UnitId other) const;
  /// A circle of units that `counts` holds for, through or behind `from`: each comes after the next one, and the last one after
  /// the first. Empty: there is none.
  [[nodiscard]] std::vector<UnitId> find_cycle(const std::function<bool(UnitId)>& counts, UnitId from) const;

 private:
  struct Edges {
    std::vector<UnitId> predecessors{};
    std::vector<UnitId> followers{};
    std::vector<UnitId> said_before{};  ///< the followers that this unit itself named
    std::size_t said_after = 0;         ///< so many predecessors, the first ones, it named itself
  };
  void find_circles() const;
  void forget(UnitId unit);
  std::map<UnitId, Edges> edges_{};             ///< of units that have any
  mutable bool is_known_ = true;                ///< circles_ is that of edges_
  mutable std::map<UnitId, UnitId> circles_{};  ///< of units in one: which, by its smallest number
};

}  // namespace perdure::core
