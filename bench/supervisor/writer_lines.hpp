// The lines that writer writes, for it and for who reads them back: a number of ten digits, filled up to 100 bytes, the newline
// included.
// Constants only.
#pragma once

#include <cstddef>

namespace bench {

inline constexpr std::size_t line_size = 100;
inline constexpr std::size_t line_digits = 10;

}  // namespace bench
