#include "process/at_load.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "os/system.hpp"
#include "process/open_fds.hpp"

namespace perdure::process {

namespace sys = os::sys;

namespace {

/// A number alone is no identity: the program may have closed it and opened a file of its own that got the same one.
struct OpenFile {
  int fd;
  bool exempt;
  dev_t device;
  ino_t inode;
};

// Written once before main(), by malloc, and never freed: other constructors and destructors may still need it. Zero
// initialised, so that it does not matter when this file's dynamic initialisation would have run.
OpenFile* files = nullptr;
unsigned file_count = 0;

constexpr int first_foreign_fd = 3;

void note(int fd) noexcept {
  struct stat status {};
  if (fd < first_foreign_fd || file_count == inherited_fds_max || sys::fstat(fd, &status) != 0) return;
  constexpr unsigned first_capacity = 16;
  const bool full = file_count == 0 || (file_count >= first_capacity && (file_count & (file_count - 1)) == 0);
  if (full) {
    const unsigned capacity = std::max(first_capacity, file_count * 2);
    auto* larger = static_cast<OpenFile*>(std::realloc(files, capacity * sizeof(OpenFile)));
    if (larger == nullptr) return;
    files = larger;
  }
  files[file_count++] = {.fd = fd, .exempt = false, .device = status.st_dev, .inode = status.st_ino};
}

// Before the constructors of other sources, which may open files that are meant to stay (101 is the first number not
// reserved).
__attribute__((constructor(101))) void look_around() noexcept {
  const int error = errno;
  visit_open_fds(&note);
  std::sort(files, files + file_count, [](const OpenFile& a, const OpenFile& b) { return a.fd < b.fd; });
  errno = error;
}

bool is_still_the_same(const OpenFile& file) noexcept {
  struct stat now {};
  return sys::fstat(file.fd, &now) == 0 && now.st_dev == file.device && now.st_ino == file.inode;
}

}  // namespace

void close_fds_from_before_load(const std::vector<int>& keep) noexcept {
  int first = -1, last = -1;  // the run that is being collected
  for (OpenFile* file = files; file != files + file_count; ++file) {
    if (file->exempt || std::find(keep.begin(), keep.end(), file->fd) != keep.end() || !is_still_the_same(*file)) continue;
    file->exempt = true;  // closed now; the number may get another owner
    if (first >= 0 && file->fd != last + 1) {
      close_fds(first, last);
      first = -1;
    }
    if (first < 0) first = file->fd;
    last = file->fd;
  }
  if (first >= 0) close_fds(first, last);
}

void exempt_from_closing(int fd) noexcept {
  for (OpenFile* file = files; file != files + file_count; ++file) {
    if (file->fd == fd) file->exempt = true;
  }
}

}  // namespace perdure::process
