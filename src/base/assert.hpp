// PERDURE_ASSERT: what must hold unless we have a bug, checked in release too.
//
// For: broken contracts of our own or of the caller. Facts of life are Results; faults in the user's text are diagnostics.
// Thread safety: from any thread. Fork and signal safety: before it aborts, it writes to stderr through stdio.
//
//     PERDURE_ASSERT(fd >= 0, "an open descriptor is needed");
#pragma once

namespace perdure::base {

/// Says "FILE:LINE: WORDS (EXPRESSION is not true)" on stderr and aborts. Only the last part of `file` is shown.
[[noreturn]] void assertion_failed(const char* file, int line, const char* expression, const char* words) noexcept;

}  // namespace perdure::base

#define PERDURE_ASSERT(expression, words) \
  (static_cast<bool>(expression) ? void() : ::perdure::base::assertion_failed(__FILE__, __LINE__, #expression, words))
