// NameIndex: finds a row of a constant table by its `section` and `name`, in the time of a binary search.
//
// A table that people read stands in an order that makes sense to them. Of rows with the same section and name the first counts.
// Left out: changing the table. Requires: the table outlives it.
// Thread safety: constant once made. Fork and signal safety: a plain value.
//
//     static const base::NameIndex<Row, std::size(table)> index{table};
//     if (const Row* row = index.find("Service", "ExecStart")) …
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace perdure::base {

template <class Row, std::size_t count>
class NameIndex {
 public:
  explicit NameIndex(const Row (&table)[count]) noexcept {
    for (std::size_t i = 0; i < count; ++i) rows_[i] = &table[i];
    std::sort(rows_.begin(), rows_.end(),
              [](const Row* a, const Row* b) { return key_of(*a) != key_of(*b) ? key_of(*a) < key_of(*b) : a < b; });
  }
  /// Null: there is none.
  [[nodiscard]] const Row* find(std::string_view section, std::string_view name) const noexcept {
    const Key wanted{name, section};
    const auto at = std::lower_bound(rows_.begin(), rows_.end(), wanted,
                                     [](const Row* row, const Key& key) { return key_of(*row) < key; });
    return at != rows_.end() && key_of(**at) == wanted ? *at : nullptr;
  }

 private:
  using Key = std::pair<std::string_view, std::string_view>;
  static Key key_of(const Row& row) noexcept { return {row.name, row.section}; }
  std::array<const Row*, count> rows_{};
};

}  // namespace perdure::base
