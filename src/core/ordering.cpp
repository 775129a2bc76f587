#include "core/ordering.hpp"

#include <algorithm>
#include <set>

namespace perdure::core {

namespace {

void erase_one(std::vector<UnitId>& list, UnitId unit) {
  if (const auto found = std::find(list.begin(), list.end(), unit); found != list.end()) list.erase(found);
}

bool is_among(std::span<const UnitId> list, UnitId unit) { return std::find(list.begin(), list.end(), unit) != list.end(); }

}  // namespace

void Ordering::forget(UnitId unit) {
  const auto own = edges_.find(unit);
  if (own == edges_.end()) return;
  std::vector<UnitId>& after = own->second.predecessors;
  for (std::size_t i = 0; i < own->second.said_after; ++i) erase_one(edges_[after[i]].followers, unit);
  after.erase(after.begin(), after.begin() + static_cast<std::ptrdiff_t>(own->second.said_after));
  own->second.said_after = 0;
  for (const UnitId follower : own->second.said_before) {
    erase_one(own->second.followers, follower);
    std::vector<UnitId>& others = edges_[follower].predecessors;
    // From the end: what it said itself stands in front.
    if (const auto found = std::find(others.rbegin(), others.rend(), unit); found != others.rend())
      others.erase(std::next(found).base());
  }
  own->second.said_before.clear();
}

void Ordering::set(UnitId unit, std::span<const UnitId> after, std::span<const UnitId> before) {
  is_known_ = false;
  forget(unit);
  for (const UnitId predecessor : after) {
    if (predecessor == unit) continue;
    Edges& own = edges_[unit];
    const std::span<const UnitId> said{own.predecessors.data(), own.said_after};
    if (is_among(said, predecessor)) continue;
    own.predecessors.insert(own.predecessors.begin() + static_cast<std::ptrdiff_t>(own.said_after++), predecessor);
    edges_[predecessor].followers.push_back(unit);
  }
  for (const UnitId follower : before) {
    if (follower == unit || is_among(edges_[unit].said_before, follower)) continue;
    edges_[unit].said_before.push_back(follower);
    edges_[unit].followers.push_back(follower);
    edges_[follower].predecessors.push_back(unit);
  }
}

std::span<const UnitId> Ordering::predecessors(UnitId unit) const {
  const auto found = edges_.find(unit);
  return found == edges_.end() ? std::span<const UnitId>{} : found->second.predecessors;
}

std::span<const UnitId> Ordering::followers(UnitId unit) const {
  const auto found = edges_.find(unit);
  return found == edges_.end() ? std::span<const UnitId>{} : found->second.followers;
}

bool Ordering::has_circles() const {
  find_circles();
  return !circles_.empty();
}

bool Ordering::are_in_circle(UnitId one, UnitId other) const {
  find_circles();
  const auto circle = circles_.find(one);
  if (circle == circles_.end()) return false;
  const auto others = circles_.find(other);
  return others != circles_.end() && others->second == circle->second;
}

/// Tarjan's strongly connected components, without recursion: chains may be as long as there are units.
void Ordering::find_circles() const {
  if (is_known_) return;
  is_known_ = true;
  circles_.clear();
  struct Mark {
    std::uint32_t index = 0;
    std::uint32_t low = 0;
    bool is_open = false;
  };
  struct Step {
    UnitId unit = no_unit;
    std::size_t next = 0;  ///< which predecessor is looked at next
  };
  std::map<UnitId, Mark> marks;
  std::vector<UnitId> open;
  std::uint32_t count = 0;
  for (const auto& entry : edges_) {
    if (marks.contains(entry.first)) continue;
    std::vector<Step> path{{entry.first}};
    while (!path.empty()) {
      Step& step = path.back();
      const UnitId unit = step.unit;
      if (!marks.contains(unit)) {
        ++count;
        marks[unit] = {count, count, true};
        open.push_back(unit);
      }
      const auto after = predecessors(unit);
      bool goes_deeper = false;
      while (step.next < after.size() && !goes_deeper) {
        const UnitId other = after[step.next++];
        const auto known = marks.find(other);
        if (known == marks.end()) {
          path.push_back({other});  // `step` is not used after this
          goes_deeper = true;
        } else if (known->second.is_open) {
          marks[unit].low = std::min(marks[unit].low, known->second.index);
        }
      }
      if (goes_deeper) continue;
      if (marks[unit].low == marks[unit].index) {
        const auto first = std::find(open.begin(), open.end(), unit);
        if (open.end() - first > 1) {
          const UnitId name = *std::min_element(first, open.end());
          for (auto member = first; member != open.end(); ++member) circles_[*member] = name;
        }
        for (auto member = first; member != open.end(); ++member) marks[*member].is_open = false;
        open.erase(first, open.end());
      }
      path.pop_back();
      if (!path.empty()) {
        Mark& above = marks[path.back().unit];
        above.low = std::min(above.low, marks[unit].low);
      }
    }
  }
}

std::vector<UnitId> Ordering::find_cycle(const std::function<bool(UnitId)>& counts, UnitId from) const {
  if (!counts(from) || !has_circles()) return {};
  struct Step {
    UnitId unit = no_unit;
    std::size_t next = 0;
  };
  std::set<UnitId> seen{from};
  std::vector<Step> path{{from}};
  while (!path.empty()) {
    Step& step = path.back();
    const auto after = predecessors(step.unit);
    if (step.next == after.size()) {
      path.pop_back();
      continue;
    }
    const UnitId other = after[step.next++];
    const auto on_path = std::find_if(path.begin(), path.end(), [other](const Step& s) { return s.unit == other; });
    if (on_path != path.end()) {
      std::vector<UnitId> cycle;
      for (auto member = on_path; member != path.end(); ++member) cycle.push_back(member->unit);
      return cycle;
    }
    if (counts(other) && seen.insert(other).second) path.push_back({other});
  }
  return {};
}

}  // namespace perdure::core
