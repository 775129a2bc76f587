#include "logbook/log_directory.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/log_room.hpp"
#include "logbook/segment_files.hpp"
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

Result<std::unique_ptr<LogDirectory>> LogDirectory::open(std::string path, std::optional<CaptureLimits> limits) {
  PERDURE_TRY(path, os::absolute_path(path));
  PERDURE_TRY(UniqueFd fd, open_or_make(AT_FDCWD, path, 0, path));
  PERDURE_CHECK(os::check_directory_is_safe(path));
  const CaptureLimits chosen = limits ? *limits : limits_of_file_system(path);
  return std::unique_ptr<LogDirectory>{new LogDirectory{std::move(path), chosen}};
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

std::string LogDirectory::wrote(const UnitLog& log, std::uint64_t bytes) {
  constexpr std::uint64_t looks = 32;
  unlooked_bytes_ += bytes;
  if (unlooked_bytes_ < limits_.all_bytes_max / looks) return {};
  unlooked_bytes_ = 0;
  return make_room(log);
}

/// The oldest go, until there is room for what comes before the next look. A segment that is open is closed first: its unit goes
/// on in a fresh one.
std::string LogDirectory::make_room(const UnitLog& writer) {
  const UniqueFd logs{os::sys::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!logs) return {};  // whoever opens the next segment says so
  const std::vector<StoredSegment> stored = stored_segments(logs.get());
  std::uint64_t sum = 0;
  for (const StoredSegment& segment : stored) sum += segment.bytes;
  const std::uint64_t wanted = limits_.all_bytes_max - limits_.all_bytes_max / 16;
  std::string trouble;
  for (const StoredSegment& segment : stored) {
    if (sum <= wanted) break;
    if (segment.unit == writer.unit() && segment.number == writer.number_) continue;
    close(segment.unit, segment.number);
    bool is_gone = true;
    for (const std::string_view suffix : {data_suffix, index_suffix}) {
      const std::string name = segment.unit + "/" + segment_name(segment.number, suffix);
      if (os::sys::unlinkat(logs.get(), name.c_str(), 0) == 0 || errno == ENOENT) continue;
      is_gone = false;
      if (trouble.empty()) trouble = Error::from_errno(errno, "remove the old log file", path_ + "/" + name).message();
    }
    if (is_gone) sum -= segment.bytes;
  }
  return trouble;
}

void LogDirectory::close(const std::string& unit, std::uint32_t number) {
  const auto open = std::find_if(in_use_.begin(), in_use_.end(),
                                 [&](const UnitLog* log) { return log->unit() == unit && log->number_ == number; });
  if (open != in_use_.end()) (*open)->close();
}

}  // namespace perdure::logbook
