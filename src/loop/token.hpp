// Token: the name under which whoever registers a descriptor or a deadline gets to hear of it again.
//
// Chosen by the registering side and never interpreted here; an index or a generation, not a pointer, so that a late fact about
// something gone is recognisable. Thread, fork and signal safety: a number.
//
//     constexpr Token control_socket = 1;
#pragma once

#include <cstdint>

namespace perdure::loop {

using Token = std::uint64_t;

}  // namespace perdure::loop
