#include "logbook/unit_log.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.hpp"
#include "logbook/segment_files.hpp"
#include "logbook/segment_index.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

/// Times are not told apart more finely, so a busy log's index grows by 32 kB/s at most.
constexpr base::Duration stamp_gap = std::chrono::milliseconds{1};
/// How much larger a full segment may become while no line ends; also how soon a rotation that failed is tried again.
constexpr std::uint64_t overrun_bytes_max = 1U << 20;
/// How much of the pipe is searched for the end of a line.
constexpr std::size_t peeked_bytes_max = 64U << 10;
constexpr int create_attempts_max = 8;

void say(std::string& note, std::string_view text) {
  if (!note.empty()) note += "; ";
  note += text;
}

std::int64_t ns_of(base::Instant time) noexcept { return time.time_since_epoch().count(); }
std::int64_t ns_of(os::WallTime time) noexcept { return time.time_since_epoch().count(); }

/// The pipe is empty and will stay so. Requires: it held nothing a moment ago.
bool has_ended(int pipe) noexcept {
  pollfd state{.fd = pipe, .events = POLLIN, .revents = 0};
  if (os::sys::poll(&state, 1, 0) != 1 || (state.revents & POLLHUP) == 0) return false;
  // Once the last writer is gone nothing can come any more; it may have written before it went, so this look counts.
  int present = 0;
  return os::sys::ioctl(pipe, FIONREAD, &present) == 0 && present == 0;
}

/// How many bytes at the pipe's front end in a newline: the first line. Nothing where there is none in sight.
std::optional<std::uint64_t> first_line(int pipe) {
  int ends[2];
  if (os::sys::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return std::nullopt;
  const UniqueFd out{ends[0]}, in{ends[1]};
  const ssize_t copied = os::sys::tee(pipe, in.get(), peeked_bytes_max, SPLICE_F_NONBLOCK);
  if (copied <= 0) return std::nullopt;
  const auto text = std::make_unique<char[]>(peeked_bytes_max);
  const ssize_t size = os::sys::read(out.get(), text.get(), peeked_bytes_max);
  if (size <= 0) return std::nullopt;
  const std::size_t end = std::string_view{text.get(), static_cast<std::size_t>(size)}.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  return end + 1;
}

/// Removes the oldest segments until the fresh one has room to become full.
void remove_oldest(int directory, std::uint32_t fresh, const CaptureLimits& limits, std::string& note) {
  auto files = list_segments(directory);
  if (!files) return;  // the next rotation tries again
  struct Old {
    std::uint32_t number;
    std::uint64_t bytes;
  };
  std::vector<Old> old;
  std::uint64_t sum = limits.segment_bytes_max;
  const auto size_of = [directory](std::uint32_t number, std::string_view suffix) -> std::uint64_t {
    struct stat status {};
    const std::string name = segment_name(number, suffix);
    if (os::sys::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return 0;
    return static_cast<std::uint64_t>(status.st_size);
  };
  for (const SegmentFile& file : *files) {
    if (file.number >= fresh) continue;
    old.push_back({file.number, size_of(file.number, data_suffix) + size_of(file.number, index_suffix)});
    sum += old.back().bytes;
  }
  for (const Old& segment : old) {
    if (sum <= limits.unit_bytes_max) return;
    for (const std::string_view suffix : {data_suffix, index_suffix}) {
      const std::string name = segment_name(segment.number, suffix);
      if (os::sys::unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT)
        say(note, Error::from_errno(errno, "remove the old log file", name).message());
    }
    sum -= segment.bytes;
  }
}

}  // namespace

LogTime LogTime::now() noexcept { return {.monotonic = os::monotonic_now(), .wall = os::wall_now()}; }

std::uint32_t resize_pipe(int pipe, std::uint32_t bytes) noexcept {
  const int capacity = os::sys::fcntl(pipe, F_SETPIPE_SZ, static_cast<int>(bytes));
  return capacity > 0 ? static_cast<std::uint32_t>(capacity) : 0;
}

UnitLog::UnitLog(LogDirectory& directory, std::string unit) : directory_(directory), unit_(std::move(unit)) {}

UnitLog::~UnitLog() { close(); }

void UnitLog::begin_run(const RunIdentity& identity) noexcept {
  run_recorded_ = run_recorded_ && identity == identity_;
  identity_ = identity;
}

void UnitLog::close() noexcept {
  if (!data_) return;
  directory_.in_use_.erase(in_use_);
  data_.reset();
  index_.reset();
}

std::string UnitLog::name_of(std::uint32_t number) const {
  return fmt::format("{}/{}/{}", directory_.path(), unit_, segment_name(number, data_suffix));
}

// ---- which segment -----------------------------------------------------------------------------------------------------------

void UnitLog::adopt(UniqueFd data, UniqueFd index, std::uint32_t number, std::uint64_t size, std::uint64_t index_size) {
  if (!data_) in_use_ = directory_.opened(*this);
  data_ = std::move(data);
  index_ = std::move(index);
  number_ = number;
  size_ = size;
  index_size_ = index_size;
  rotate_at_ = directory_.limits().segment_bytes_max;
  stamped_ = {};
  run_recorded_ = false;
  index_failed_ = false;
}

Result<void> UnitLog::open_segment(std::string& note) {
  PERDURE_TRY(const UniqueFd directory, directory_.open_unit(unit_));
  PERDURE_TRY(const std::vector<SegmentFile> files, list_segments(directory.get()));
  const auto newest = std::find_if(files.rbegin(), files.rend(), [](const SegmentFile& file) { return file.has_data; });
  const std::uint32_t unused = std::max(files.empty() ? 0 : files.back().number, number_) + 1;
  if (newest == files.rend()) return open_fresh(directory.get(), unused, note);
  auto opened = open_newest(directory.get(), newest->number, note);
  if (opened) return opened;
  // Out of descriptors or memory is no reason to leave a sound segment.
  const int code = opened.error().code();
  if (code != ELOOP && code != EPERM && code != EACCES && code != ENOENT) return opened;
  PERDURE_CHECK(open_fresh(directory.get(), unused, note));
  say(note, fmt::format("{}; the log of {} goes on in {}", opened.error().message(), base::escape(unit_), name_of(number_)));
  return {};
}

Result<void> UnitLog::open_newest(int directory, std::uint32_t number, std::string& note) {
  const std::string shown = name_of(number);
  PERDURE_TRY(OpenFile data, open_regular_at(directory, segment_name(number, data_suffix), O_RDWR, Ownership::Ours, shown));
  const off_t end = os::sys::lseek(data.fd.get(), 0, SEEK_END);
  if (end < 0) return Error::from_errno(errno, "find the end of the log file", shown);
  const auto size = static_cast<std::uint64_t>(end);
  auto index = open_regular_at(directory, segment_name(number, index_suffix), O_RDWR | O_CREAT, Ownership::Ours, shown);
  std::uint64_t index_size = 0;
  if (index) {
    index_size = static_cast<std::uint64_t>(index->status.st_size) / record_bytes * record_bytes;
    RecordBytes last{};
    if (index_size > 0 && os::sys::pread(index->fd.get(), last.data(), last.size(),
                                         static_cast<off_t>(index_size - record_bytes)) == ssize_t{record_bytes}) {
      const auto record = decode(last);
      if (record && offset_of(*record) > size) {
        return Error{fmt::format("somebody has cut the log file {} to {} bytes", base::escape(shown), size), EPERM};
      }
    }
  } else {
    say(note, std::move(index).error().with_advice("the lines in it have no times").message());
  }
  adopt(std::move(data.fd), index ? std::move(index->fd) : UniqueFd{}, number, size, index_size);
  return {};
}

Result<void> UnitLog::open_fresh(int directory, std::uint32_t number, std::string& note) {
  constexpr int flags = O_RDWR | O_CREAT | O_EXCL;
  for (int attempt = 1;; ++attempt, ++number) {
    const std::string shown = name_of(number);
    auto data = open_regular_at(directory, segment_name(number, data_suffix), flags, Ownership::Ours, shown);
    if (!data && data.error().code() == EEXIST && attempt < create_attempts_max) continue;
    if (!data) return std::move(data).error();
    auto index = open_regular_at(directory, segment_name(number, index_suffix), flags, Ownership::Ours, shown);
    if (!index) say(note, std::move(index).error().with_advice("the lines in it have no times").message());
    adopt(std::move(data->fd), index ? std::move(index->fd) : UniqueFd{}, number, 0, 0);
    remove_oldest(directory, number, directory_.limits(), note);
    return {};
  }
}

/// A fresh segment in the place of this one, which stays in use where none can be made.
Result<void> UnitLog::replace_segment(std::string& note) {
  auto directory = directory_.open_unit(unit_);
  if (!directory) return std::move(directory).error();
  return open_fresh(directory->get(), number_ + 1, note);
}

// What others have done to the file since the last look. Bytes for a removed file would be lost, and at an offset beyond its end
// they would stand behind a hole of NULs.
Result<void> UnitLog::check_segment(std::string& note) {
  struct stat status {};
  if (os::sys::fstat(data_.get(), &status) != 0) return Error::from_errno(errno, "look at the log file", name_of(number_));
  const auto present = static_cast<std::uint64_t>(status.st_size);
  if (status.st_nlink == 0) {
    const std::string removed = base::escape(name_of(number_));
    const std::uint64_t held = size_;
    close();
    PERDURE_CHECK(open_segment(note));
    say(note, fmt::format("somebody has removed the log file {} with {} bytes in it; the log of {} goes on in {}", removed,
                          held, base::escape(unit_), base::escape(name_of(number_))));
    return {};
  }
  if (present == size_) return {};
  if (present < size_) {
    const std::string cut = base::escape(name_of(number_));
    const std::uint64_t held = size_;
    const bool replaced = replace_segment(note).has_value();
    say(note, fmt::format("somebody has cut the log file {} from {} bytes to {}; the log of {} goes on {}", cut, held,
                          present, base::escape(unit_), replaced ? "in " + base::escape(name_of(number_)) : "behind them"));
    if (replaced) return {};
  }
  const off_t end = os::sys::lseek(data_.get(), 0, SEEK_END);
  if (end < 0) return Error::from_errno(errno, "find the end of the log file", name_of(number_));
  size_ = static_cast<std::uint64_t>(end);
  return {};
}

/// How many of the pipe's `size` bytes go into this segment, after going over to a fresh one where this is full and a line ends.
std::uint64_t UnitLog::up_to_rotation(int pipe, std::uint64_t size, std::string& note) {
  if (size_ < rotate_at_) return size;
  char last = '\n';
  const bool at_line_end =
      size_ == 0 || (os::sys::pread(data_.get(), &last, 1, static_cast<off_t>(size_ - 1)) == 1 && last == '\n');
  if (!at_line_end) {
    if (const auto line = first_line(pipe)) return std::min(*line, size);
    if (size_ < rotate_at_ + overrun_bytes_max) return size;
  }
  if (auto rotated = replace_segment(note); !rotated) {
    rotate_at_ = size_ + overrun_bytes_max;
    say(note, std::move(rotated).error().with_advice("the log goes on in the full file, which grows").message());
  }
  return size;
}

// ---- bytes -------------------------------------------------------------------------------------------------------------------

// Before the bytes, not after: killed in between, the times are a little early and the next manager's record puts them right;
// the other way round, bytes would have the time and the run of those before them.
void UnitLog::record(const LogTime& now, std::string& note) {
  if (!index_) return;
  const bool is_new = stamped_ == base::Instant{};
  const bool repeats = (index_size_ + record_bytes) / run_repeated_bytes != index_size_ / run_repeated_bytes;
  const bool with_run = identity_.run != 0 && (!run_recorded_ || repeats);
  if (!with_run && !is_new && now.monotonic - stamped_ < stamp_gap) return;

  constexpr std::size_t together_max = 3;
  std::array<RecordBytes, together_max> records;
  std::size_t count = 0;
  records[count++] =
      encode(TimeRecord{.offset = size_, .realtime_ns = ns_of(now.wall), .monotonic_ns = ns_of(now.monotonic)});
  if (with_run) {
    records[count++] = encode(RunRecord{.offset = size_, .run = identity_.run, .main_pid = identity_.main_pid});
    records[count++] = encode(InvocationRecord{.offset = size_, .id = identity_.invocation});
  }
  const std::size_t bytes = count * record_bytes;
  const ssize_t written = os::sys::pwrite(index_.get(), records.data(), bytes, static_cast<off_t>(index_size_));
  if (written != static_cast<ssize_t>(bytes)) {
    // What was written of it is overwritten by the next one.
    if (!std::exchange(index_failed_, true)) {
      say(note, Error::from_errno(written < 0 ? errno : ENOSPC, "write the index of", name_of(number_))
                    .with_advice("some lines have the time of earlier ones")
                    .message());
    }
    return;
  }
  index_size_ += bytes;
  stamped_ = now.monotonic;
  run_recorded_ = run_recorded_ || with_run;
}

Taken UnitLog::blocked(Taken taken, const Error& error) {
  taken.blocked = error.code() != 0 ? error.code() : EIO;
  if (std::exchange(blocked_, taken.blocked) != taken.blocked) {
    say(taken.note,
        fmt::format("{}; what {} writes waits in its pipe, nothing is lost", error.message(), base::escape(unit_)));
  }
  return taken;
}

Taken UnitLog::take(int pipe, const LogTime& now) {
  Taken taken;
  int present = 0;
  if (os::sys::ioctl(pipe, FIONREAD, &present) != 0)
    return blocked(std::move(taken), Error::from_errno(errno, "look at the pipe of", unit_));
  if (present <= 0) {
    taken.end = has_ended(pipe);
    return taken;
  }
  if (auto ready = data_ ? check_segment(taken.note) : open_segment(taken.note); !ready)
    return blocked(std::move(taken), ready.error());
  directory_.in_use_.splice(directory_.in_use_.begin(), directory_.in_use_, in_use_);

  std::uint64_t left = std::min<std::uint64_t>(static_cast<std::uint64_t>(present), take_bytes_max);
  bool tried_fresh = false;
  while (left > 0) {
    const std::uint64_t size = up_to_rotation(pipe, left, taken.note);
    record(now, taken.note);
    const ssize_t moved = os::sys::splice(pipe, data_.get(), size, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved > 0) {
      size_ += static_cast<std::uint64_t>(moved);
      taken.bytes += static_cast<std::uint64_t>(moved);
      left -= std::min(left, static_cast<std::uint64_t>(moved));
      if (tap_) show(static_cast<std::uint64_t>(moved));
      continue;
    }
    if (moved == 0 || errno == EAGAIN) break;  // somebody else has read it
    const Error error = Error::from_errno(errno, "write the log file", name_of(number_));
    // A bad sector and a limit on the size concern this file; a full or read-only disk concerns all.
    const bool another_may_do = error.code() == EIO || error.code() == EFBIG;
    if (!another_may_do || std::exchange(tried_fresh, true) || !replace_segment(taken.note))
      return blocked(std::move(taken), error);
    say(taken.note, fmt::format("{}; the log of {} goes on in {}", error.message(), base::escape(unit_), name_of(number_)));
  }
  if (taken.bytes > 0 && std::exchange(blocked_, 0) != 0)
    say(taken.note, fmt::format("the log of {} is written again, nothing was lost", base::escape(unit_)));
  if (const std::string trouble = directory_.wrote(*this, taken.bytes); !trouble.empty()) say(taken.note, trouble);
  return taken;
}

/// The last bytes of the segment, which splice(2) has not shown us.
void UnitLog::show(std::uint64_t bytes) const {
  std::array<char, 16 * 1024> block;
  for (std::uint64_t at = size_ - bytes; at < size_;) {
    const std::size_t wanted = std::min<std::uint64_t>(block.size(), size_ - at);
    const ssize_t count = os::sys::pread(data_.get(), block.data(), wanted, static_cast<off_t>(at));
    if (count <= 0) return;
    tap_(std::string_view{block.data(), static_cast<std::size_t>(count)});
    at += static_cast<std::uint64_t>(count);
  }
}

Taken UnitLog::drain(int pipe, const LogTime& now) {
  Taken all;
  for (;;) {
    Taken taken = take(pipe, now);
    all.bytes += taken.bytes;
    all.end = taken.end;
    all.blocked = taken.blocked;
    if (!taken.note.empty()) say(all.note, taken.note);
    if (taken.bytes == 0 || taken.end || taken.blocked != 0 || all.bytes >= drain_bytes_max) return all;
  }
}

}  // namespace perdure::logbook
