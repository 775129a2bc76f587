#include <algorithm>

#include "os/system.hpp"
#include "process/open_fds.hpp"

namespace perdure {

namespace sys = os::sys;

void process::visit_open_fds(void (*visit)(int fd) noexcept) noexcept {
  // Some systems have /dev/fd, and in some of them it shows three descriptors only. The limit may have been lowered since a
  // descriptor was made: that one is not seen.
  constexpr rlim_t looked_at_max = 65536;
  rlimit limit{};
  if (sys::getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = looked_at_max;
  const int end = static_cast<int>(std::min(limit.rlim_cur, looked_at_max));
  for (int fd = 0; fd < end; ++fd) {
    if (sys::fcntl(fd, F_GETFD) >= 0) visit(fd);
  }
}

void process::close_fds(int first, int last) noexcept {
  for (int fd = first; fd <= last; ++fd) sys::close(fd);
}

}  // namespace perdure
