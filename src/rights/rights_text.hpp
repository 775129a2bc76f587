// Rights as one text, by which an upgrade sees whether its successor wants what has been given up already.
// Thread safety: pure functions.
#pragma once

#include <string>

#include "perdure/rights.hpp"

namespace perdure::rights {

/// The same text for the same rights, another one for others; "" where nothing is asked for.
std::string text_of(const Rights& rights);

/// Some are kept that a program loses when it is executed: only ambient ones stay with it. Source: capabilities(7).
bool loses_capabilities_at_exec(const Rights& rights) noexcept;

}  // namespace perdure::rights
