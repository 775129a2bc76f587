#include "perdure/unique_fd.hpp"

#include <cerrno>

#include "os/system.hpp"

namespace perdure {

void UniqueFd::reset(int fd) noexcept {
  const int held = std::exchange(fd_, fd);
  if (held < 0 || held == fd) return;
  // Destructors run on the way out of failures whose errno nobody has read yet.
  const int error = errno;
  os::sys::close(held);
  errno = error;
}

}  // namespace perdure
