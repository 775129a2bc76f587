// What a service of these benchmarks writes down about itself: when each of its instances was born and ended.
//
// It is the layout of one file that the services write with pwrite(2) and the benchmark maps: a slot per service, in it a ring of
// lives. Shared by a program without a C library, so: constants and plain structures only, no functions that need one.
// A slot has one writer, as long as its supervisor runs one instance at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bench {

/// One instance of a service.
struct Life {
  std::int64_t born_ns;  ///< CLOCK_MONOTONIC at its first instruction
  std::int64_t died_ns;  ///< just before exit_group(2); 0: it lives, or was killed
  std::int32_t pid;
  std::int32_t unused;
};

inline constexpr std::size_t lives_kept = 170;

struct Slot {
  std::uint64_t births;    ///< written after the life it counts
  Life lives[lives_kept];  ///< life n stands at n modulo lives_kept
  std::uint64_t unused;
};
static_assert(sizeof(Slot) == 4096, "a page each, so that services do not write to each other's");

}  // namespace bench
