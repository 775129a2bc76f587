// LogDirectory: the directory of captured logs, with one directory per unit, and how many descriptors they may hold.
//
//     LOGS/UNIT/00000001.log     what the unit wrote, byte for byte
//     LOGS/UNIT/00000001.idx     when it arrived and which run wrote it (segment_index.hpp)
// Files get mode 0640, directories 0750. Everything below LOGS is reached through descriptors, never through a link.
// Left out: moving bytes (UnitLog), reading back (show_log.hpp).
// Thread safety: one thread. Fork: descriptors are close-on-exec; a child leaves it alone. Signal safety: none.
//
//     PERDURE_TRY(auto logs, logbook::LogDirectory::open("/var/log/perdure"));
//     logbook::UnitLog web{*logs, "web.service"};
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {

class UnitLog;

struct CaptureLimits {
  std::uint64_t segment_bytes_max = 64ULL << 20;  ///< a segment that has become larger is followed by a fresh one
  std::uint64_t unit_bytes_max = 512ULL << 20;    ///< the oldest segments of a unit go before it takes more than this
  std::uint64_t all_bytes_max = 1ULL << 30;  ///< of all units: looked at each time a thirty-second of it has been written
  unsigned open_units_max =
      256;  ///< units whose segment stays open (two descriptors); of more, the longest unused is closed
};

class LogDirectory {
 public:
  /// Makes `path` where it is missing; its parent must be there. Refused: a directory that others may write in. Without limits:
  /// those of its file system (limits_of_file_system()).
  static Result<std::unique_ptr<LogDirectory>> open(std::string path, std::optional<CaptureLimits> limits = std::nullopt);
  LogDirectory(const LogDirectory&) = delete;
  LogDirectory& operator=(const LogDirectory&) = delete;

  /// Opens the directory of a unit, and makes it, and LOGS itself, where they are missing.
  [[nodiscard]] Result<UniqueFd> open_unit(const std::string& unit) const;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] const CaptureLimits& limits() const noexcept { return limits_; }
  [[nodiscard]] std::size_t open_units() const noexcept { return in_use_.size(); }

 private:
  friend class UnitLog;
  using InUse = std::list<UnitLog*>;

  LogDirectory(std::string path, CaptureLimits limits)
      : path_(std::move(path)), limits_(limits), unlooked_bytes_(limits.all_bytes_max) {}
  InUse::iterator opened(UnitLog& log);
  /// Counts what `log` has taken, and makes room now and then. Returns what an administrator should hear, usually nothing.
  std::string wrote(const UnitLog& log, std::uint64_t bytes);
  std::string make_room(const UnitLog& writer);
  void close(const std::string& unit, std::uint32_t number);

  std::string path_;
  CaptureLimits limits_;
  std::uint64_t unlooked_bytes_;  ///< written since the last look at what all takes
  InUse in_use_;                  ///< the units with open descriptors, the one used last in front
};

/// Whether a unit of that name can have a directory: 1 to 255 bytes, no '/', no NUL, no '.' in front. Every unit::UnitName can;
/// what else a unit's name needs is not known here.
bool is_log_name(std::string_view unit) noexcept;

}  // namespace perdure::logbook
