#include "process/open_fds.hpp"

#include <dirent.h>

#include "os/system.hpp"
#include "process/proc.hpp"

namespace perdure {

namespace sys = os::sys;

void process::visit_open_fds(void (*visit)(int fd) noexcept) noexcept {
  DIR* const directory = sys::opendir("/proc/self/fd");
  if (directory == nullptr) {
    constexpr int probed_fds = 1024;  // how far to look where there is no /proc
    for (int fd = 0; fd < probed_fds; ++fd) visit(fd);
    return;
  }
  const int own = ::dirfd(directory);
  while (const dirent* entry = ::readdir(directory)) {
    const auto fd = number_of_entry(entry->d_name);
    if (fd && *fd != own) visit(*fd);
  }
  ::closedir(directory);
}

void process::close_fds(int first, int last) noexcept {
  if (sys::close_range(static_cast<unsigned>(first), static_cast<unsigned>(last), 0) == 0) return;
  for (int fd = first; fd <= last; ++fd) sys::close(fd);  // a filter may refuse close_range
}

}  // namespace perdure
