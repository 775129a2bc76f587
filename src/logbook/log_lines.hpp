// Lines of one unit, asked for one after the other: oldest first, or newest first; and which of them are wanted.
//
// What merges several units needs to see the next line of each before it takes one, so lines are read ahead: a bounded number of
// bytes forwards, a bounded number of lines backwards. Left out: waiting, merging, printing (show_log.cpp).
// Thread safety: one thread. Fork: descriptors are shared. Signal safety: none.
//
//     ForwardLines lines{reader, judge, 64 << 10};
//     PERDURE_TRY(const LogLine* line, lines.front());       // nullptr: no more for now
//     lines.pop();
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "logbook/line_view.hpp"
#include "logbook/segment_reader.hpp"
#include "logbook/show_log.hpp"

namespace perdure::logbook {

/// Says of each piece of a unit's lines whether it is wanted, with its priority.
class LineJudge {
 public:
  LineJudge(const ShowOptions& options, LineSettings settings);

  /// The priority of a line that is wanted; takes the prefix off its text. A piece that goes on is judged as its line was.
  std::optional<int> judge(LinePiece& piece);
  /// Whether some lines are not.
  [[nodiscard]] bool is_choosy() const noexcept { return choosy_; }
  /// Whether what came before this line is not wanted because of its time.
  [[nodiscard]] bool is_too_old(const LineOrigin& origin) const;
  /// False where no line of the unit is wanted.
  [[nodiscard]] bool wants_unit(std::string_view identifier) const;

 private:
  const ShowOptions& options_;
  LineSettings settings_;
  bool choosy_;
  std::optional<int> line_{};  ///< what was said of the line that goes on
};

struct KeptLine {
  LineOrigin origin{};
  std::string text{};
  std::uint64_t cut = 0;
  int priority = priority_default;
  std::int64_t order_ns = 0;  ///< its time, or that of the line before it in the order in which they are read

  [[nodiscard]] LinePiece piece() const { return {.origin = origin, .text = text, .cut = cut}; }
};

class ForwardLines {
 public:
  /// Goes on where `reader` is. `rest`: a line without an end counts when there is nothing more.
  ForwardLines(SegmentReader& reader, LineJudge& judge, std::size_t bytes_ahead, bool rest)
      : reader_(reader), judge_(judge), bytes_ahead_(bytes_ahead), rest_(rest) {}
  Result<const KeptLine*> front();
  void pop() { ready_.pop_front(); }

 private:
  SegmentReader& reader_;
  LineJudge& judge_;
  std::size_t bytes_ahead_;
  bool rest_, at_end_ = false;
  std::deque<KeptLine> ready_{};
  std::int64_t order_ns_ = 0;
};

class BackwardLines {
 public:
  /// From `end`, or from the end of all, back to the beginning.
  BackwardLines(SegmentReader& reader, LineJudge& judge, std::uint64_t lines_ahead, std::optional<Place> end)
      : reader_(reader), judge_(judge), lines_ahead_(lines_ahead), end_(end) {}
  Result<const KeptLine*> front();
  void pop() { ready_.pop_back(); }

 private:
  Result<void> read_before();

  SegmentReader& reader_;
  LineJudge& judge_;
  std::uint64_t lines_ahead_;
  std::optional<Place> end_;
  bool at_beginning_ = false;
  std::deque<KeptLine> ready_{};  ///< oldest first
  std::int64_t order_ns_ = INT64_MAX;
};

}  // namespace perdure::logbook
