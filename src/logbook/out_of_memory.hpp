// Runs what may run out of memory where nothing may be thrown.
#pragma once

#include <cerrno>
#include <new>

#include "perdure/result.hpp"

namespace perdure::logbook {

template <class Body>
Result<void> without_throwing(Body&& body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Error{"out of memory", ENOMEM};  // short enough to need no memory itself
  }
}

}  // namespace perdure::logbook
