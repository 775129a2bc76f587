#include "perdure/process_identity.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>

#include <climits>

#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

/// /proc/PID/exe as text, without the mark of a file that was replaced since.
struct Executable {
  std::array<char, PATH_MAX> buffer;
  std::string_view path;
  bool deleted = false;

  bool read(const char* link) noexcept {
    const ssize_t size = sys::readlink(link, buffer.data(), buffer.size());
    if (size <= 0) return false;
    path = {buffer.data(), static_cast<std::size_t>(size)};
    constexpr std::string_view mark = " (deleted)";
    deleted = path.ends_with(mark);
    if (deleted) path.remove_suffix(mark.size());
    return true;
  }
};

}  // namespace

bool is_alive(pid_t pid) noexcept {
  if (pid <= 0) return false;
  const UniqueFd process{sys::pidfd_open(pid, 0)};
  // EINVAL: the number names a thread that is no process.
  if (!process) return errno != ESRCH && errno != EINVAL && errno != ENOENT;
  pollfd ended{process.get(), POLLIN, 0};
  // A pidfd is readable from the moment the process is a zombie.
  return sys::poll(&ended, 1, 0) <= 0;
}

bool is_same_executable(pid_t pid) noexcept {
  if (pid <= 0) return false;
  std::array<char, 32> directory{}, link{};
  std::snprintf(directory.data(), directory.size(), "/proc/%d", pid);
  std::snprintf(link.data(), link.size(), "/proc/%d/exe", pid);

  struct stat theirs {
  }, ours{};
  if (sys::stat(link.data(), &theirs) != 0) {
    // Kernel threads have no executable; without /proc nobody has, and then only the process itself can be asked for.
    if (errno == ENOENT && sys::stat(directory.data(), &ours) == 0) return false;
    return is_alive(pid);
  }
  if (sys::stat("/proc/self/exe", &ours) != 0) return is_alive(pid);
  if (theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino) return true;

  Executable their_file, our_file;
  if (!their_file.read(link.data()) || !our_file.read("/proc/self/exe")) return false;
  return (their_file.deleted || our_file.deleted) && their_file.path == our_file.path;
}

}  // namespace perdure
