// Random numbers for jitter and for names that must not meet; not for secrets.
//
// Never blocks and never fails: early at boot the kernel's numbers may be guessable, and without them the clock is used.
// Thread, fork and signal safety: all; a forked child draws other numbers than its parent.
//
//     delay += jitter * os::random_fraction();
#pragma once

#include <cstdint>
#include <string>

namespace perdure::os {

std::uint64_t random_number() noexcept;
/// At least 0, less than 1.
double random_fraction() noexcept;
/// 16 hexadecimal digits.
std::string random_name();

/// What random_number() asks first; false where the kernel gave nothing. Linux: getrandom(2). In a portable build:
/// /dev/urandom, which is no part of POSIX and everywhere; it may block early at boot.
bool kernel_random(std::uint64_t& number) noexcept;

}  // namespace perdure::os
