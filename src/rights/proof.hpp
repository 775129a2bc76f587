// Whether rights are really gone: by asking the kernel, and by trying to get them back.
//
// A set-user-ID program that only believes its setuid(2) has been the cause of many holes (CERT POS37-C); so whoever gave something
// up comes here before it goes on. An attempt that succeeds is an Error, and the process must end.
// Thread safety: the calling thread. Signal safety: none.
#pragma once

#include <cstdint>

#include "perdure/result.hpp"
#include "rights/identity.hpp"

namespace perdure::rights {

enum class Groups : std::uint8_t { AsFound, AsWanted };

/// Real, effective and saved user and group are those of `identity`, and with AsWanted the supplementary groups.
Result<void> prove_identity(const Identity& identity, Groups groups);

/// The capabilities are `kept`, and without those for it neither root nor other groups can be had.
Result<void> prove_no_way_back(std::uint64_t kept);

}  // namespace perdure::rights
