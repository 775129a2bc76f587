#include "os/posix.hpp"

#include <cerrno>

#include "os/guarded.hpp"

namespace perdure::os::sys {

int kill(pid_t pid, int signal) noexcept {
  return guarded(Call::kill, [=] {
    if (pid > 1 || pid < -1)
      return ::kill(pid, signal);  // tidy: allow kill — there are no pidfds here, and the caller holds the number
    errno = EINVAL;
    return -1;
  });
}
int pselect(int fd, const sigset_t* mask) noexcept {
  return guarded(Call::pselect, [=] {
    if (fd < 0 || fd >= FD_SETSIZE) {
      errno = EINVAL;
      return -1;
    }
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(fd, &readable);
    return ::pselect(fd + 1, &readable, nullptr, nullptr, nullptr, mask);
  });
}
int getrlimit(int resource, rlimit* limit) noexcept {
  return guarded(Call::prlimit, [=] { return ::getrlimit(resource, limit); });
}

}  // namespace perdure::os::sys
