// Sets of capabilities as bits, with their names, and the two places they are taken from.
// Thread safety: of the calling thread. Fork: nothing is kept. Signal safety: none.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/rights.hpp"

namespace perdure::rights {

constexpr std::uint64_t bit_of(Capability capability) noexcept {
  return std::uint64_t{1} << static_cast<unsigned>(capability);
}
std::uint64_t bits_of(const std::vector<Capability>& capabilities) noexcept;
/// "CAP_CHOWN CAP_KILL"; "no capabilities".
std::string names_of(std::uint64_t capabilities);

/// What this thread may do now.
Result<std::uint64_t> effective_capabilities();

/// Takes everything but `kept` from the bounding set, so that no program gets it from its file. Needs CAP_SETPCAP where
/// there is something to take.
Result<void> reduce_bounding_set(std::uint64_t kept);

/// Makes exactly `kept` permitted and effective; `inherited`, a part of it, inheritable and ambient.
Result<void> set_capabilities(std::uint64_t kept, std::uint64_t inherited);

}  // namespace perdure::rights
