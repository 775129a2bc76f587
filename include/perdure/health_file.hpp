// HealthFile: a timestamp that external monitors can read (cron, Nagios, a container's probe).
//
// Content: the system clock's seconds since 1970 and a newline, `1763700000\n`, mode 0644, replaced by rename(2), so that a
// reader sees a complete number at every instant. A symbolic link in the place is replaced, not followed.
// Thread safety: one thread at a time.
//
//     perdure::HealthFile health{"/run/thermod.health"};
//     health.kick(std::chrono::system_clock::now());
//     perdure::HealthFile::age("/run/thermod.health", std::chrono::system_clock::now());    // in another process
#pragma once

#include <chrono>
#include <string>

#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

class PERDURE_EXPORT HealthFile {
 public:
  explicit HealthFile(std::string path) : path_(std::move(path)) {}

  /// Writes the time. On failure: the old content stays.
  Result<void> kick(std::chrono::system_clock::time_point now) const;
  /// Removes the file; one that is not there is fine.
  Result<void> remove() const;
  /// How old the time in the file is (negative when it lies in the future). Missing, too long (over 32 bytes), not a regular
  /// file, or anything but a number: an Error.
  static Result<std::chrono::seconds> age(const std::string& path, std::chrono::system_clock::time_point now);

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace perdure
