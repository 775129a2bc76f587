// Random: numbers from a seed, the same on every machine.
//
// splitmix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014); the standard's distributions may differ
// from library to library, so none is used.
// Thread safety: none, one owner.
//
//     Random random{seed};  if (random.chance(5)) …  // 5 of 1000
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "base/time.hpp"

namespace perdure::simulation {

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  /// 0 to n - 1. Requires: n > 0.
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  bool chance(std::uint64_t per_mille) { return below(1000) < per_mille; }
  base::Duration up_to(base::Duration longest) {
    return base::Duration{static_cast<base::Duration::rep>(below(static_cast<std::uint64_t>(longest.count()) + 1))};
  }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::uint64_t state_;
};

}  // namespace perdure::simulation
