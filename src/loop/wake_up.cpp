#include "loop/wake_up.hpp"

#include <sys/eventfd.h>

#include <cerrno>
#include <cstdint>

#include "os/system.hpp"

namespace perdure::loop {

Result<WakeUp> WakeUp::open() {
  UniqueFd counter{os::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!counter) return Error::from_errno(errno, "create an eventfd");
  return WakeUp{std::move(counter)};
}

void WakeUp::wake() const noexcept {
  const int error = errno;
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is at its maximum: it is readable, which is all we want.
  static_cast<void>(os::sys::write(counter_.get(), &one, sizeof one));
  errno = error;
}

bool WakeUp::drain() const noexcept {
  std::uint64_t count = 0;
  return os::sys::read(counter_.get(), &count, sizeof count) == static_cast<ssize_t>(sizeof count);
}

}  // namespace perdure::loop
