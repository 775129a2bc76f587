// A hash of a text that is the same in every process and every build: for names and for "has it changed?".
//
// Left out: keeping strangers from finding two texts with one hash (FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv).
// Thread, fork and signal safety: a plain function.
//
//     fnv1a("web.service")                 fnv1a(second, fnv1a(first))
#pragma once

#include <cstdint>
#include <string_view>

namespace perdure::base {

inline constexpr std::uint64_t fnv1a_start = 14695981039346656037U;

/// Goes on from `sum`, so that several texts have one hash; their borders do not count.
constexpr std::uint64_t fnv1a(std::string_view text, std::uint64_t sum = fnv1a_start) noexcept {
  for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return sum;
}

}  // namespace perdure::base
