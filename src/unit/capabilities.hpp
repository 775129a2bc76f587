// Capabilities: the names of capabilities(7), as sets of bits.
//
// Left out: what the kernel has (the executor asks it).
// Thread and fork safety: pure functions. Signal safety: none.
//
//     PERDURE_TRY(const std::uint64_t set, parse_capabilities("CAP_CHOWN CAP_KILL"));
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "perdure/result.hpp"

namespace perdure::unit {

inline constexpr int capability_count = 41;  // CAP_CHECKPOINT_RESTORE is 40 (Linux 5.9); none has come since
/// A set that nothing was taken from, the capabilities of later kernels included.
inline constexpr std::uint64_t all_capabilities = ~std::uint64_t{0};

/// Names between blanks, in any case; numbers too. Bit n is capability n.
Result<std::uint64_t> parse_capabilities(std::string_view text);

/// "cap_chown cap_kill": those of the set that have a name, in the kernel's order.
std::string capability_names(std::uint64_t set);

}  // namespace perdure::unit
