#include <unistd.h>

#include <cerrno>

#include "os/system.hpp"
#include "perdure/process_identity.hpp"

namespace perdure {

namespace sys = os::sys;

bool is_alive(pid_t pid) noexcept {
  if (pid <= 0) return false;
  if (pid == 1) return true;  // which the seam does not ask for
  // Of zombies only our own children can be told from the living.
  siginfo_t end{};
  if (sys::waitid(P_PID, static_cast<id_t>(pid), &end, WEXITED | WNOHANG | WNOWAIT) == 0 && end.si_pid == pid) return false;
  return sys::kill(pid, 0) == 0 || errno != ESRCH;
}

// POSIX has no way to ask which file a process runs. A wrong "no" would start a second instance.
bool is_same_executable(pid_t pid) noexcept { return is_alive(pid); }

}  // namespace perdure
