#include <cerrno>

#include "os/system.hpp"
#include "process/child_signal.hpp"

namespace perdure {

bool process::signal_child(pid_t child, int signal) noexcept {
  if (child > 0) return os::sys::kill(child, signal) == 0;
  errno = EINVAL;  // a negative one would be a whole group
  return false;
}

}  // namespace perdure
