#include "core/ordering.hpp"

#include <algorithm>
#include <set>

namespace perdure::core {

std::vector<UnitId> Ordering::set_predecessors(UnitId unit, std::span<const UnitId> after) {
  for (const UnitId predecessor : predecessors(unit)) std::erase(edges_[predecessor].followers, unit);
  if (const auto own = edges_.find(unit); own != edges_.end()) own->second.predecessors.clear();

  std::vector<UnitId> dropped;
  for (const UnitId predecessor : after) {
    const auto known = predecessors(unit);
    if (std::find(known.begin(), known.end(), predecessor) != known.end()) continue;
    if (predecessor == unit || comes_after(predecessor, unit)) {
      dropped.push_back(predecessor);
      continue;
    }
    edges_[unit].predecessors.push_back(predecessor);
    edges_[predecessor].followers.push_back(unit);
  }
  return dropped;
}

std::span<const UnitId> Ordering::predecessors(UnitId unit) const {
  const auto found = edges_.find(unit);
  return found == edges_.end() ? std::span<const UnitId>{} : found->second.predecessors;
}

std::span<const UnitId> Ordering::followers(UnitId unit) const {
  const auto found = edges_.find(unit);
  return found == edges_.end() ? std::span<const UnitId>{} : found->second.followers;
}

/// Looks from both ends at once, and is done when one of them leads nowhere: of a long chain, one end is short.
bool Ordering::comes_after(UnitId unit, UnitId other) const {
  struct Search {
    std::set<UnitId> seen{};
    std::vector<UnitId> todo{};
  };
  Search down{{unit}, {unit}};
  Search up{{other}, {other}};
  const auto finds = [](Search& search, UnitId wanted, auto neighbours) {
    const UnitId next = search.todo.back();
    search.todo.pop_back();
    for (const UnitId neighbour : neighbours(next)) {
      if (neighbour == wanted) return true;
      if (search.seen.insert(neighbour).second) search.todo.push_back(neighbour);
    }
    return false;
  };
  while (!down.todo.empty() && !up.todo.empty()) {
    if (finds(down, other, [&](UnitId next) { return predecessors(next); })) return true;
    if (finds(up, unit, [&](UnitId next) { return followers(next); })) return true;
  }
  return false;
}

}  // namespace perdure::core
