// RotatingFile: an append-only file that never grows without bound.
//
// After a write has made it larger than `max_bytes` it is renamed to PATH.1 (PATH.1 to PATH.2 … up to `backups`, the oldest
// replaced) and a fresh one goes on. A line is never split or lost: a rename that fails leaves the file growing and is tried
// again at the next write. Each write is one write(2) with O_APPEND, so that several processes may share the file.
// With `rotate_every`, a line that belongs to another hour or day than the file's last one is the first of a fresh file; an empty
// file is kept. No timer runs: an idle daemon's file is rotated by its next line.
// Standard output and error go along to the fresh file where they point to this one.
// Refused: symbolic links, anything but a regular file. Mode 0640 whatever the umask; an existing file keeps its mode.
// Thread safety: none; the log's sink adds a mutex. Fork: parent and child may both append; let only one rotate.
//
//     PERDURE_TRY(auto file, perdure::RotatingFile::open({.path = "/var/log/thermod.log", .max_bytes = 10'000'000}));
//     file.write("one line\n");
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "perdure/export.hpp"
#include "perdure/log.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

namespace logbook {
class RotationSchedule;
}

struct RotatingFileOptions {
  std::string path{};
  /// Rotates when the file has become larger than this; 0: never by size. The size found at opening counts.
  std::uint64_t max_bytes = 0;
  /// Rotates before the first write of a new hour or day of the local calendar. What was found at opening is of the period in which
  /// it was last written to.
  RotateEvery rotate_every = RotateEvery::Never;
  /// How many old files are kept, 1000 at most. 0: the file is started afresh, nothing is kept.
  unsigned backups = 1;
  mode_t mode = 0640;
};

class PERDURE_EXPORT RotatingFile {
 public:
  /// A relative path is resolved now, so that a later chdir(2) does not matter.
  static Result<RotatingFile> open(RotatingFileOptions options);
  RotatingFile(RotatingFile&&) noexcept;
  RotatingFile& operator=(RotatingFile&&) noexcept;
  ~RotatingFile();

  /// Appends `bytes` whole, then rotates if the file has become too large; a rotation that fails is no failure of the write
  /// (see rotation_failure()). On failure (ENOSPC, …): what could not be written is counted in lost_bytes(), and the next
  /// write is tried as usual, on a line of its own.
  Result<void> write(std::string_view bytes) { return write(bytes, std::chrono::system_clock::now()); }
  /// The same at an instant that counts for rotate_every.
  Result<void> write(std::string_view bytes, std::chrono::system_clock::time_point now);
  /// Renames now, whatever the size. A file that somebody else has moved away is not renamed, only opened afresh.
  /// On failure: goes on with the old file.
  Result<void> rotate();
  /// Opens PATH afresh without renaming: for somebody else's rotation (logrotate). On failure: goes on with the old file.
  Result<void> reopen();

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t lost_bytes() const noexcept { return lost_bytes_; }
  /// Why the last rotation by size or time failed; nothing after one that worked.
  [[nodiscard]] const std::optional<Error>& rotation_failure() const noexcept { return rotation_failure_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::string& path() const noexcept { return options_.path; }

 private:
  RotatingFile(RotatingFileOptions options, UniqueFd fd, std::uint64_t size);
  Result<void> move_away() const;
  void adopt(UniqueFd fd, std::uint64_t size) noexcept;
  void rotate_by_itself();

  RotatingFileOptions options_;
  UniqueFd fd_;
  std::uint64_t size_;
  std::uint64_t lost_bytes_ = 0;
  std::optional<Error> rotation_failure_;
  std::unique_ptr<logbook::RotationSchedule> schedule_;  ///< none: never by time
  bool is_of_yesterday_ = false;                         ///< its period is over, and it could not be rotated yet
  bool ends_torn_ = false;  ///< the last write was cut short by an error: the file ends in the middle of a line
};

}  // namespace perdure
