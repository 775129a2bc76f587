#include "os/runtime_directory.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::os {
namespace {

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string{} : std::string{value};
}

bool is_absolute(std::string_view path) noexcept { return path.starts_with('/'); }

std::string without_slashes_at_end(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string{path};
}

bool is_directory_of(const std::string& path, uid_t owner) noexcept {
  struct stat status {};
  return sys::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == owner;
}

}  // namespace

RuntimeSurroundings RuntimeSurroundings::of_this_process() {
  return {.runtime_directory = variable("RUNTIME_DIRECTORY"),
          .xdg_runtime_dir = variable("XDG_RUNTIME_DIR"),
          .tmpdir = variable("TMPDIR"),
          .user = ::geteuid()};
}

Result<std::string> runtime_directory(const RuntimeSurroundings& surroundings) {
  const std::string_view first = base::split(surroundings.runtime_directory, ':').front();
  if (is_absolute(first)) return without_slashes_at_end(first);
  if (surroundings.user == 0) return std::string{"/run"};
  const std::string& session = surroundings.xdg_runtime_dir;
  if (is_absolute(session) && is_directory_of(session, surroundings.user)) return without_slashes_at_end(session);

  const std::string shared = without_slashes_at_end(is_absolute(surroundings.tmpdir) ? surroundings.tmpdir : "/tmp");
  // Where others may rename entries, no look at ours tells what the name means a moment later.
  PERDURE_CHECK(check_directory_is_safe(shared));
  const std::string own = (shared == "/" ? "" : shared) + "/perdure-" + std::to_string(surroundings.user);
  PERDURE_CHECK(make_private_directory(own, surroundings.user));
  return own;
}

Result<void> make_private_directory(const std::string& path, uid_t owner) {
  const auto refused = [&](const std::string& cause) {
    return Error{"cannot use the directory " + base::escape(path) + ": " + cause +
                     "; remove it, or set XDG_RUNTIME_DIR to a directory of your own",
                 EPERM};
  };
  if (sys::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Error::from_errno(errno, "create the directory", path);
  struct stat status {};
  if (sys::lstat(path.c_str(), &status) != 0) return Error::from_errno(errno, "look at the directory", path);
  if (S_ISLNK(status.st_mode)) return refused("it is a symbolic link, and could lead anywhere");
  if (!S_ISDIR(status.st_mode)) return refused("it is no directory");
  if (status.st_uid != owner) {
    return refused("it belongs to uid " + std::to_string(status.st_uid) + ", not to uid " + std::to_string(owner));
  }
  if ((status.st_mode & 0077U) != 0) return refused("its mode lets others in");
  return {};
}

Result<void> make_own_directory(const std::string& path, mode_t mode) {
  constexpr mode_t others_write = 0022;
  const auto failed = [&](std::string_view attempt) { return Error::from_errno(errno, attempt, path); };
  // Where others may rename entries, no look at ours tells what the name means a moment later.
  PERDURE_CHECK(check_directory_is_safe(directory_of(path)));
  const bool is_new = sys::mkdir(path.c_str(), mode) == 0;
  if (!is_new && errno != EEXIST) return failed("create the directory");
  const UniqueFd directory{sys::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!directory) return failed("use the directory");
  if (is_new && sys::fchmod(directory.get(), mode) != 0) return failed("set the mode of the directory");  // the umask
  struct stat status {};
  if (sys::fstat(directory.get(), &status) != 0) return failed("look at the directory");
  const auto unsafe = [&](std::string_view why) {
    return Error{fmt::format("unsafe directory {} (mode {:o}, uid {}): {}", base::escape(path), status.st_mode & 07777,
                             status.st_uid, why),
                 EPERM};
  };
  if (status.st_uid != ::geteuid()) return unsafe(fmt::format("it must belong to uid {}", ::geteuid()));
  if ((status.st_mode & others_write) != 0) return unsafe("others may write in it; take that right away, or name another");
  return {};
}

}  // namespace perdure::os
