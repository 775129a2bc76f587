#include "process/child_signal.hpp"

#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

bool process::signal_child(pid_t child, int signal) noexcept {
  const UniqueFd process{os::sys::pidfd_open(child, 0)};
  return process && os::sys::pidfd_send_signal(process.get(), signal) == 0;
}

}  // namespace perdure
