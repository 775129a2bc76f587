// SegmentReader: a unit's segments as lines, each with when it came and which run wrote it; read while somebody else writes them.
//
// A line ends at a newline, where another run begins, and before a gap in the numbers; it may go on from one segment into the next.
// It has the time and the run of its first byte. No more than shown_bytes_max of a line are held, so memory does not grow.
// What is not there (index, middle segments, the whole directory) is left out, not failed at; torn records are skipped.
// Left out: waiting (show_log.cpp), what a line looks like (line_view.hpp).
// Thread safety: one thread. Fork: descriptors are shared. Signal safety: none.
//
//     SegmentReader reader{directory, Pieces::Cut};
//     reader.start_at(place);
//     PERDURE_TRY(bool wanted, reader.read([](const LinePiece& piece) { …; return true; }));  // as far as there is something
//     reader.finish(…);                                                                     // and a rest without newline
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "logbook/segment_index.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {

/// A byte of the log: before any other where `segment` is 0.
struct Place {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0;
  friend auto operator<=>(const Place&, const Place&) = default;
};

/// Where a line stands and what the index says about its first byte.
struct LineOrigin {
  Place place{};
  std::optional<TimeRecord> time{};  ///< none: lost
  std::uint64_t run = 0;             ///< 0: not known
  std::uint32_t main_pid = 0;        ///< 0: not known
  InvocationId invocation{};         ///< zeros: not known
};

struct LinePiece {
  const LineOrigin& origin;
  std::string_view text{};  ///< without the newline
  std::uint64_t cut = 0;    ///< how many bytes of the line are not in it
  bool ends = true;         ///< false: more of the same line follows
  bool begins = true;       ///< false: the line has begun in an earlier piece
};
/// Whether more is wanted.
using LineTaker = std::function<bool(const LinePiece&)>;

/// A line longer than shown_bytes_max comes cut, or in several pieces.
enum class Pieces : std::uint8_t { Cut, All };

/// The records of one index, in order, as somebody appends to them.
class IndexCursor {
 public:
  IndexCursor() = default;
  explicit IndexCursor(UniqueFd index) : fd_(std::move(index)) {}

  /// The next one; nothing at the end. Valid until pop().
  const Record* next();
  void pop() noexcept { next_.reset(); }
  /// Looks at the end again.
  void refresh() noexcept { at_end_ = false; }
  /// Goes to a record from which on everything that is true at `offset` is said.
  void seek(std::uint64_t offset);
  /// The last record of a time before `realtime_ns`, if there is one.
  std::optional<TimeRecord> last_before(std::int64_t realtime_ns);

 private:
  std::optional<Record> read(std::uint64_t number);
  std::optional<TimeRecord> time_from(std::uint64_t number);
  [[nodiscard]] std::uint64_t count() const;

  UniqueFd fd_;
  std::vector<RecordBytes> buffer_;
  std::size_t in_buffer_ = 0;
  std::uint64_t position_ = 0;  ///< of the first byte that is not in the buffer
  std::optional<Record> next_;
  bool at_end_ = false;
};

class SegmentReader {
 public:
  /// `directory` is a unit's, open.
  SegmentReader(UniqueFd directory, Pieces pieces) : directory_(std::move(directory)), pieces_(pieces) {}

  /// Where the last `lines` lines begin, or a little before: a line that only the end of a run ends is not counted. `unended`:
  /// whether a rest without a newline is a line. With `end`: the last ones before it; requires: a line begins there.
  Result<Place> place_of_last(std::uint64_t lines, bool unended, std::optional<Place> end = {});
  /// The next read() begins there.
  void start_at(Place place);
  /// The next read() begins with a line that came before `realtime_ns`, as late as the index can tell, or at the beginning. Where
  /// the clock was set back, what came between may be left out.
  Result<void> start_near(std::int64_t realtime_ns);
  /// Hands out what is there and complete. Returns whether all was wanted.
  Result<bool> read(const LineTaker& take);
  /// Hands out the rest of a line that has not ended.
  bool finish(const LineTaker& take) { return end_line(take); }
  /// Somebody has removed the directory: nothing comes any more.
  [[nodiscard]] bool is_orphaned() const;

 private:
  Result<std::optional<std::uint32_t>> next_number() const;
  void open(std::uint32_t number);
  Result<bool> read_segment(const LineTaker& take);
  bool digest(std::string_view text, const LineTaker& take);
  bool apply(const Record& record, const LineTaker& take);
  bool append(std::string_view text, const LineTaker& take);
  bool end_line(const LineTaker& take);

  UniqueFd directory_;
  Pieces pieces_;
  UniqueFd data_;
  IndexCursor index_;
  Place place_{};          ///< of the next byte
  LineOrigin known_{};     ///< what the index says about the next byte
  LineOrigin line_{};      ///< of the line in the making
  std::string text_;       ///< of it
  std::uint64_t cut_ = 0;  ///< of it
  bool in_line_ = false;
  bool continues_ = false;   ///< a piece of it was handed out
  bool drops_line_ = false;  ///< it began before the place that was asked for
};

}  // namespace perdure::logbook
