#include "logbook/segment_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>
#include <variant>

#include "logbook/segment_files.hpp"
#include "logbook/show_log.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

constexpr std::size_t chunk_bytes = 64U << 10;
constexpr std::size_t records_per_read = 1024;

std::unique_ptr<char[]> make_chunk() { return std::make_unique_for_overwrite<char[]>(chunk_bytes); }

Result<std::uint64_t> size_of(const UniqueFd& fd, std::uint32_t number) {
  struct stat status {};
  if (os::sys::fstat(fd.get(), &status) != 0)
    return Error::from_errno(errno, "look at the log file", segment_name(number, data_suffix));
  return static_cast<std::uint64_t>(status.st_size);
}

/// An empty descriptor for a segment that is gone or cannot be used.
UniqueFd open_to_read(const UniqueFd& directory, std::uint32_t number, std::string_view suffix) {
  const std::string name = segment_name(number, suffix);
  auto file = open_regular_at(directory.get(), name, O_RDONLY, Ownership::Any, name);
  return file ? std::move(file->fd) : UniqueFd{};
}

/// Goes backwards through one segment. `left`: newlines still to be found; the place after the last of them, if all are.
Result<std::optional<std::uint64_t>> find_backwards(const UniqueFd& data, std::uint64_t end, std::uint64_t& left) {
  const auto chunk = make_chunk();
  while (end > 0) {
    const std::uint64_t size = std::min<std::uint64_t>(end, chunk_bytes);
    const ssize_t got = os::sys::pread(data.get(), chunk.get(), size, static_cast<off_t>(end - size));
    if (got < 0) return Error::from_errno(errno, "read a log file");
    if (static_cast<std::uint64_t>(got) < size) return std::optional<std::uint64_t>{};  // cut a moment ago
    for (std::uint64_t at = size; at > 0; --at) {
      if (chunk[at - 1] == '\n' && --left == 0) return std::optional{end - size + at};
    }
    end -= size;
  }
  return std::optional<std::uint64_t>{};
}

}  // namespace

// ---- index -------------------------------------------------------------------------------------------------------------------

const Record* IndexCursor::next() {
  while (!next_) {
    if (in_buffer_ == buffer_.size()) {
      if (at_end_ || !fd_) return nullptr;
      buffer_.resize(records_per_read);
      const ssize_t got =
          os::sys::pread(fd_.get(), buffer_.data(), buffer_.size() * record_bytes, static_cast<off_t>(position_));
      const std::size_t whole = got > 0 ? static_cast<std::size_t>(got) / record_bytes : 0;
      buffer_.resize(whole);
      in_buffer_ = 0;
      position_ += whole * record_bytes;
      at_end_ = whole < records_per_read;
      if (whole == 0) return nullptr;
    }
    next_ = decode(buffer_[in_buffer_++]);
  }
  return &*next_;
}

std::optional<Record> IndexCursor::read(std::uint64_t number) {
  RecordBytes bytes{};
  if (os::sys::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(number * record_bytes)) !=
      ssize_t{record_bytes})
    return std::nullopt;
  return decode(bytes);
}

void IndexCursor::seek(std::uint64_t offset) {
  if (!fd_) return;
  buffer_.clear();
  in_buffer_ = 0;
  next_.reset();
  at_end_ = false;
  position_ = 0;
  std::uint64_t first = 0, last = count();
  while (first < last) {  // the first record beyond `offset`
    const std::uint64_t middle = first + (last - first) / 2;
    const auto record = read(middle);
    if (!record) return;  // from the beginning, then
    if (offset_of(*record) > offset) last = middle;
    else first = middle + 1;
  }
  // The run is repeated every run_repeated_bytes; a few records more, because those of one moment stand together.
  constexpr std::uint64_t back = run_repeated_bytes / record_bytes + 8;
  position_ = (first - std::min(first, back)) * record_bytes;
}

std::uint64_t IndexCursor::count() const {
  struct stat status {};
  return fd_ && os::sys::fstat(fd_.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) / record_bytes : 0;
}

std::optional<TimeRecord> IndexCursor::time_from(std::uint64_t number) {
  constexpr std::uint64_t others_max = 64;  // runs are repeated far more rarely than times
  for (std::uint64_t i = number; i < number + others_max; ++i) {
    const auto record = read(i);
    if (!record) continue;
    if (const auto* const time = std::get_if<TimeRecord>(&*record)) return *time;
  }
  return std::nullopt;
}

std::optional<TimeRecord> IndexCursor::last_before(std::int64_t realtime_ns) {
  if (!fd_) return std::nullopt;
  std::optional<TimeRecord> found;
  std::uint64_t first = 0, last = count();
  while (first < last) {
    const std::uint64_t middle = first + (last - first) / 2;
    const auto time = time_from(middle);
    if (time && time->realtime_ns < realtime_ns) {
      found = time;
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return found;
}

// ---- lines -------------------------------------------------------------------------------------------------------------------

bool SegmentReader::end_line(const LineTaker& take) {
  if (!std::exchange(in_line_, false)) return true;
  const bool begins = !std::exchange(continues_, false), is_dropped = std::exchange(drops_line_, false);
  const bool wanted = is_dropped || take({.origin = line_, .text = text_, .cut = cut_, .begins = begins});
  text_.clear();
  cut_ = 0;
  return wanted;
}

bool SegmentReader::append(std::string_view text, const LineTaker& take) {
  if (!std::exchange(in_line_, true)) {
    line_ = known_;
    line_.place = place_;
  }
  while (!text.empty()) {
    if (text_.size() == shown_bytes_max) {
      if (pieces_ == Pieces::Cut) {
        cut_ += text.size();
        return true;
      }
      const bool begins = !std::exchange(continues_, true);
      if (!drops_line_ && !take({.origin = line_, .text = text_, .ends = false, .begins = begins})) return false;
      text_.clear();
    }
    const std::string_view part = text.substr(0, shown_bytes_max - text_.size());
    text_ += part;
    text.remove_prefix(part.size());
  }
  return true;
}

bool SegmentReader::apply(const Record& record, const LineTaker& take) {
  if (const auto* time = std::get_if<TimeRecord>(&record)) {
    known_.time = *time;
    return true;
  }
  if (const auto* run = std::get_if<RunRecord>(&record)) {
    const bool wanted = run->run == known_.run || end_line(take);
    if (run->run != known_.run) known_.invocation = {};
    known_.run = run->run;
    known_.main_pid = run->main_pid;
    return wanted;
  }
  const InvocationId& id = std::get<InvocationRecord>(record).id;
  // Runs are numbered afresh where the supervisor's state was lost.
  const bool another = id != known_.invocation && known_.invocation != InvocationId{};
  const bool wanted = !another || end_line(take);
  known_.invocation = id;
  return wanted;
}

bool SegmentReader::digest(std::string_view text, const LineTaker& take) {
  while (!text.empty()) {
    const Record* record = index_.next();
    if (record != nullptr && offset_of(*record) <= place_.offset) {
      const bool wanted = apply(*record, take);
      index_.pop();
      if (!wanted) return false;
      continue;
    }
    std::string_view part = text;
    if (record != nullptr) part = part.substr(0, offset_of(*record) - place_.offset);
    const std::size_t newline = part.find('\n');
    const bool ends = newline != std::string_view::npos;
    if (ends) part = part.substr(0, newline);
    bool wanted = append(part, take);
    const std::size_t used = part.size() + (ends ? 1 : 0);
    text.remove_prefix(used);
    place_.offset += used;
    wanted = wanted && (!ends || end_line(take));
    if (!wanted) return false;
  }
  return true;
}

// ---- segments ----------------------------------------------------------------------------------------------------------------

void SegmentReader::start_at(Place place) {
  place_ = place;
  known_ = {};
  data_.reset();
  text_.clear();
  cut_ = 0;
  in_line_ = continues_ = drops_line_ = false;
  if (place.segment == 0) return;
  open(place.segment);
  index_.seek(place.offset);
}

Result<void> SegmentReader::start_near(std::int64_t realtime_ns) {
  start_at({});
  PERDURE_TRY(const std::vector<SegmentFile> files, list_segments(directory_.get()));
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    if (!file->has_data || !file->has_index) continue;
    const auto time = IndexCursor{open_to_read(directory_, file->number, index_suffix)}.last_before(realtime_ns);
    if (!time) continue;
    // A line may go on over the place where a record stands; what is before it belongs to a line that came earlier.
    start_at({.segment = file->number, .offset = time->offset - (time->offset > 0 ? 1 : 0)});
    drops_line_ = time->offset > 0;
    return {};
  }
  return {};
}

Result<std::optional<std::uint32_t>> SegmentReader::next_number() const {
  PERDURE_TRY(const std::vector<SegmentFile> files, list_segments(directory_.get()));
  const auto next = std::find_if(files.begin(), files.end(),
                                 [this](const SegmentFile& file) { return file.has_data && file.number > place_.segment; });
  return next == files.end() ? std::optional<std::uint32_t>{} : next->number;
}

void SegmentReader::open(std::uint32_t number) {
  data_ = open_to_read(directory_, number, data_suffix);
  index_ = IndexCursor{open_to_read(directory_, number, index_suffix)};
  known_.time.reset();
}

Result<bool> SegmentReader::read_segment(const LineTaker& take) {
  const auto chunk = make_chunk();
  for (;;) {
    const ssize_t got = os::sys::pread(data_.get(), chunk.get(), chunk_bytes, static_cast<off_t>(place_.offset));
    if (got < 0) return Error::from_errno(errno, "read the log file", segment_name(place_.segment, data_suffix));
    if (got == 0) {
      // Where somebody has cut the file and no other could be made, what comes stands behind the cut.
      PERDURE_TRY(const std::uint64_t size, size_of(data_, place_.segment));
      place_.offset = std::min(place_.offset, size);
      return true;
    }
    index_.refresh();  // a record is written before its bytes
    if (!digest({chunk.get(), static_cast<std::size_t>(got)}, take)) return false;
  }
}

Result<bool> SegmentReader::read(const LineTaker& take) {
  for (;;) {
    // Looked for first: once there is a next segment nothing comes to this one any more, so reading it then is reading it whole.
    PERDURE_TRY(const std::optional<std::uint32_t> next, next_number());
    if (data_) {
      PERDURE_TRY(const bool wanted, read_segment(take));
      if (!wanted) return false;
    }
    if (!next) return true;
    const bool gap = *next != place_.segment + 1;
    open(*next);
    place_ = {.segment = *next};
    if ((gap || !data_) && !end_line(take)) return false;
  }
}

bool SegmentReader::is_orphaned() const {
  struct stat status {};
  return os::sys::fstat(directory_.get(), &status) != 0 || status.st_nlink == 0;
}

Result<Place> SegmentReader::place_of_last(std::uint64_t lines, bool unended, std::optional<Place> end) {
  PERDURE_TRY(const std::vector<SegmentFile> files, list_segments(directory_.get()));
  std::uint64_t left = 0;  // newlines to be found; set at the end of the log
  bool at_end = true;
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    if (!file->has_data || (end && file->number > end->segment)) continue;
    const UniqueFd data = open_to_read(directory_, file->number, data_suffix);
    if (!data) continue;
    PERDURE_TRY(std::uint64_t size, size_of(data, file->number));
    if (end && file->number == end->segment) size = std::min(size, end->offset);
    if (size == 0) continue;
    if (std::exchange(at_end, false)) {
      char last = '\n';
      (void)os::sys::pread(data.get(), &last, 1, static_cast<off_t>(size - 1));
      // The newline of the last line is one more; a rest behind it is a line of its own, or none yet.
      const bool counts_rest = unended && last != '\n';
      if (counts_rest && lines == 0) return Place{.segment = file->number, .offset = size};
      left = counts_rest ? lines : lines + 1;
      if (left == 0) left = lines;  // lines was the largest number there is
    }
    PERDURE_TRY(const std::optional<std::uint64_t> found, find_backwards(data, size, left));
    if (found) return Place{.segment = file->number, .offset = *found};
  }
  return Place{};
}

}  // namespace perdure::logbook
