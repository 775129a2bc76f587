// How each call of the seam asks the fault hook first. Private to the sources of the seam.
//
// Thread, fork and signal safety: all, as far as the call itself is.
//
//     int fsync(int fd) noexcept { return repeated(Call::fsync, [=] { return ::fsync(fd); }); }
#pragma once

#include <cerrno>

#include "os/system.hpp"

namespace perdure::os {

template <class Action>
auto guarded(Call call, Action action) noexcept -> decltype(action()) {
  if (const int error = injected_fault(call)) {
    errno = error;
    return static_cast<decltype(action())>(-1);
  }
  return action();
}

// The hook sits inside the repetition: a planned EINTR is repeated like a real one.
template <class Action>
auto repeated(Call call, Action action) noexcept -> decltype(action()) {
  for (;;) {
    const auto result = guarded(call, action);
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace perdure::os
