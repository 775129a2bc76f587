// FileWatch: tells when a file is another one, or has other content, whichever way that came about.
//
// A rename over it, writing in place, a link that is turned to another target (as Kubernetes does with a ConfigMap: two links
// deep), a directory that is removed and made again: after each the file at the path is compared with what it was when the watch
// last spoke. Speaks when it has been quiet for `settle`, so that half a file is not read; at the latest after `settle_max`, since
// somebody may write all the time. A file that is missing is no change; its return is one, if it is another.
// Left out: a directory above the file's that is renamed, without a link on the way; file systems that do not tell (NFS, FUSE).
// Thread safety: one thread. Fork: the watch is shared; the child leaves it alone. Signal safety: none.
//
//     PERDURE_TRY(auto watch, loop::FileWatch::open("/etc/thermod.conf"));
//     poll on watch.fd() until watch.next_deadline();
//     if (watch.take_change(os::monotonic_now())) reload();
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::loop {

/// When a burst of events is over. Pure: the instants are parameters.
class Quiet {
 public:
  static constexpr std::chrono::milliseconds settle{200};
  static constexpr std::chrono::milliseconds settle_max{2000};

  void happened(base::Instant now) noexcept {
    if (!last_) first_ = now;
    last_ = now;
  }
  /// When it will be over, if nothing more happens.
  [[nodiscard]] std::optional<base::Instant> end() const noexcept {
    if (!last_) return std::nullopt;
    return std::min<base::Instant>(*last_ + settle, first_ + settle_max);
  }
  /// True once for each burst that is over.
  bool take_end(base::Instant now) noexcept {
    const auto due = end();
    if (!due || now < *due) return false;
    last_.reset();
    return true;
  }

 private:
  base::Instant first_{};
  std::optional<base::Instant> last_{};
};

class FileWatch {
 public:
  /// `path` must be absolute; the file, and its directory, may be missing. What is there now is no change. On failure (no
  /// descriptor, fs.inotify.max_user_instances, no right to look into the directory): nothing is watched.
  static Result<FileWatch> open(std::string path);

  /// Readable when something happened near the file.
  [[nodiscard]] int fd() const noexcept { return inotify_.get(); }
  [[nodiscard]] std::optional<base::Instant> next_deadline() const noexcept { return quiet_.end(); }
  /// True when the file has changed and all is quiet. Reads what is readable. Why a directory cannot be watched any more is in
  /// failure(); what still is goes on.
  bool take_change(base::Instant now);
  /// nullopt: everything is watched.
  [[nodiscard]] const std::optional<Error>& failure() const noexcept { return failure_; }

 private:
  struct Identity {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t changed_ns = 0;  ///< st_ctim: content, name or rights, whichever came last
    bool operator==(const Identity&) const = default;
  };

  FileWatch(std::string path, UniqueFd inotify) : path_(std::move(path)), inotify_(std::move(inotify)) {}
  void watch_anew();
  void add(const std::string& path, std::uint32_t events, std::vector<int>& watches);
  bool read_events();
  [[nodiscard]] std::optional<Identity> look() const;

  std::string path_;
  UniqueFd inotify_;
  std::vector<int> watches_;
  std::optional<Identity> seen_;
  Quiet quiet_;
  std::optional<Error> failure_;
};

}  // namespace perdure::loop
