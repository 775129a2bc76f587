#include "logbook/log_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/unit_log.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

constexpr mode_t directory_mode = 0750;
constexpr std::size_t name_bytes_max = 255;
constexpr int make_attempts_max = 4;

// `parent` is AT_FDCWD for an absolute path. Between the two calls somebody may remove what was made, hence the attempts.
Result<UniqueFd> open_or_make(int parent, const std::string& name, int flags, const std::string& shown) {
  flags |= O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  bool made = false;
  for (int attempt = 1;; ++attempt) {
    if (UniqueFd fd{os::sys::openat(parent, name.c_str(), flags)}) {
      if (made) (void)os::sys::fchmod(fd.get(), directory_mode);
      return fd;
    }
    if (errno != ENOENT || attempt == make_attempts_max) return Error::from_errno(errno, "open the log directory", shown);
    made = os::sys::mkdirat(parent, name.c_str(), directory_mode) == 0;
    if (!made && errno != EEXIST) return Error::from_errno(errno, "make the log directory", shown);
  }
}

}  // namespace

bool is_log_name(std::string_view unit) noexcept {
  return !unit.empty() && unit.size() <= name_bytes_max && unit.front() != '.' &&
         unit.find_first_of(std::string_view{"/\0", 2}) == std::string_view::npos;
}

Result<std::unique_ptr<LogDirectory>> LogDirectory::open(std::string path, CaptureLimits limits) {
  PERDURE_TRY(path, os::absolute_path(path));
  PERDURE_TRY(UniqueFd fd, open_or_make(AT_FDCWD, path, 0, path));
  PERDURE_CHECK(os::check_directory_is_safe(path));
  return std::unique_ptr<LogDirectory>{new LogDirectory{std::move(path), limits}};
}

// LOGS is opened by its path each time: what was opened once may have been moved or removed since.
Result<UniqueFd> LogDirectory::open_unit(const std::string& unit) const {
  const std::string shown = path_ + "/" + unit;
  if (!is_log_name(unit))
    return Error{fmt::format("cannot log for {}: that is no name of a unit", base::quote(unit)), EINVAL};
  PERDURE_TRY(UniqueFd logs, open_or_make(AT_FDCWD, path_, 0, path_));
  PERDURE_CHECK(os::check_directory_is_safe(path_));
  PERDURE_TRY(UniqueFd fd, open_or_make(logs.get(), unit, O_NOFOLLOW, shown));
  struct stat status {};
  if (os::sys::fstat(fd.get(), &status) != 0) return Error::from_errno(errno, "look at the log directory", shown);
  if (status.st_uid != ::geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error{
        fmt::format("cannot use the log directory {}: it belongs to uid {} with mode {:o}, and others could put files "
                    "in the way; make it uid {}'s with mode 750",
                    base::escape(shown), status.st_uid, status.st_mode & 07777U, ::geteuid()),
        EPERM};
  }
  return fd;
}

LogDirectory::InUse::iterator LogDirectory::opened(UnitLog& log) {
  if (in_use_.size() >= limits_.open_units_max && !in_use_.empty()) in_use_.back()->close();
  return in_use_.insert(in_use_.begin(), &log);
}

}  // namespace perdure::logbook
