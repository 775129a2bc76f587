// UnitLog: moves what a unit writes from its pipe to disk, so that a SIGKILL at any instant loses, doubles or tears nothing.
//
// Bytes move by splice(2) only, from the pipe to the end of the newest segment: they are in the one or in the other, never in this
// process. A new manager therefore goes on at the end of the file. A disk that takes nothing (ENOSPC, EDQUOT, EIO, EROFS) leaves
// them in the pipe, where they hold up the writer; the caller tries again later. Nothing is ever dropped for want of room.
// The index says when bytes came and which run wrote them. It is written before them and on a best effort: without it only
// times are lost. Nothing is open, and nothing made on disk, before there is a first byte.
// Left out: when to look (PipePacing), who waits for the pipe (loop), SIGXFSZ (the caller blocks it), fsync.
// Thread safety: one thread. Fork: a child leaves it alone. Signal safety: none.
//
//     log.begin_run({.run = 7, .main_pid = 812, .invocation = id});
//     const logbook::Taken taken = log.take(pipe, logbook::LogTime::now());
//     if (taken.blocked != 0) try_again_at(pacing.after_block(now).at);
//     else if (taken.end) close_pipe();
//     if (!taken.note.empty()) say(taken.note);
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "logbook/log_directory.hpp"
#include "os/clock.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {

using InvocationId = std::array<std::uint8_t, 16>;

/// Whose bytes follow. A line never goes on from one run into another.
struct RunIdentity {
  std::uint64_t run = 0;       ///< 0: not known
  std::uint32_t main_pid = 0;  ///< 0: not known (yet): say it again with the pid when it is
  InvocationId invocation{};   ///< zeros: not known
  friend bool operator==(const RunIdentity&, const RunIdentity&) = default;
};

struct LogTime {
  base::Instant monotonic{};
  os::WallTime wall{};
  static LogTime now() noexcept;
};

struct Taken {
  std::uint64_t bytes = 0;  ///< moved to disk by this call
  bool end = false;         ///< the pipe is empty and nobody has it open for writing any more
  int blocked = 0;          ///< errno: the disk takes nothing now; what is left stays in the pipe
  /// What an administrator should hear, once each: a segment removed or cut by somebody else, refused, full; usually empty.
  std::string note{};
};

class UnitLog {
 public:
  /// Requires: `directory` outlives it.
  UnitLog(LogDirectory& directory, std::string unit);
  ~UnitLog();
  UnitLog(const UnitLog&) = delete;
  UnitLog& operator=(const UnitLog&) = delete;

  /// Bytes taken from now on belong to this run. The same run again (after a recovery, or once the pid is known) changes nothing
  /// but what is known of it.
  void begin_run(const RunIdentity& identity) noexcept;

  /// Moves what the pipe holds at this moment, take_bytes_max at most. Never waits for the pipe. Requires: a pipe's read end.
  Taken take(int pipe, const LogTime& now);
  /// Moves everything, until the pipe is empty, ended or blocked; drain_bytes_max at most, so a writer that never stops is no trap.
  Taken drain(int pipe, const LogTime& now);

  /// Shows what is taken from now on to `tap` as well, in the order of the bytes; cut anywhere. Nothing: no more.
  using Tap = std::function<void(std::string_view bytes)>;
  void tap(Tap tap) { tap_ = std::move(tap); }

  /// Closes the segment; the next byte opens it again.
  void close() noexcept;

  [[nodiscard]] const std::string& unit() const noexcept { return unit_; }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(data_); }
  /// The errno of the last call, while nothing can be written; 0 when all is well.
  [[nodiscard]] int blocked() const noexcept { return blocked_; }

 private:
  friend class LogDirectory;
  Result<void> open_segment(std::string& note);
  Result<void> open_newest(int directory, std::uint32_t number, std::string& note);
  Result<void> open_fresh(int directory, std::uint32_t number, std::string& note);
  Result<void> check_segment(std::string& note);
  Result<void> replace_segment(std::string& note);
  void show(std::uint64_t bytes) const;
  std::uint64_t up_to_rotation(int pipe, std::uint64_t size, std::string& note);
  void record(const LogTime& now, std::string& note);
  void adopt(UniqueFd data, UniqueFd index, std::uint32_t number, std::uint64_t size, std::uint64_t index_size);
  Taken blocked(Taken taken, const Error& error);
  [[nodiscard]] std::string name_of(std::uint32_t number) const;

  LogDirectory& directory_;
  std::string unit_;
  LogDirectory::InUse::iterator in_use_{};
  UniqueFd data_;
  UniqueFd index_;          ///< empty while data_ is open: this segment has no index
  std::uint64_t size_ = 0;  ///< of the segment, where the next byte goes
  std::uint64_t index_size_ = 0;
  std::uint64_t rotate_at_ = 0;  ///< the size from which a fresh segment is tried
  base::Instant stamped_{};      ///< when a time was recorded last; the epoch: not in this segment
  RunIdentity identity_{};
  Tap tap_{};
  std::uint32_t number_ = 0;  ///< of the segment
  int blocked_ = 0;
  bool run_recorded_ = false;  ///< the segment's index has identity_
  bool index_failed_ = false;  ///< said once per segment
};

/// Most bytes of one take().
inline constexpr std::uint64_t take_bytes_max = 1U << 20;
/// Most bytes of one drain().
inline constexpr std::uint64_t drain_bytes_max = 64U << 20;

/// Makes a pipe hold up to `bytes` (F_SETPIPE_SZ); what it holds stays. Returns what it can hold now; 0: it could not be asked.
std::uint32_t resize_pipe(int pipe, std::uint32_t bytes) noexcept;

}  // namespace perdure::logbook
