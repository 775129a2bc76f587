#include "logbook/log_lines.hpp"

#include <algorithm>
#include <utility>

namespace perdure::logbook {
namespace {

constexpr std::int64_t ns_per_us = 1'000;

/// Adds a piece to the line that it belongs to. The text is kept whole: who merges must not tear a line.
void keep(std::deque<KeptLine>& lines, const LinePiece& piece, int priority) {
  if (piece.begins) {
    lines.push_back({.origin = piece.origin, .text = std::string{piece.text}, .cut = piece.cut, .priority = priority});
  } else if (!lines.empty()) {
    lines.back().text += piece.text;
    lines.back().cut += piece.cut;
  }
}

}  // namespace

LineJudge::LineJudge(const ShowOptions& options, LineSettings settings)
    : options_(options),
      settings_(std::move(settings)),
      choosy_(options.since_us || options.until_us || options.priority_from > 0 || options.priority_to < priority_last) {}

bool LineJudge::wants_unit(std::string_view identifier) const {
  const auto& wanted = options_.identifiers;
  const std::string_view own = settings_.identifier.empty() ? identifier : std::string_view{settings_.identifier};
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), own) != wanted.end();
}

bool LineJudge::is_too_old(const LineOrigin& origin) const {
  return options_.since_us && origin.time && origin.time->realtime_ns < *options_.since_us * ns_per_us;
}

std::optional<int> LineJudge::judge(LinePiece& piece) {
  if (!piece.begins) return line_;
  int priority = settings_.priority;
  if (settings_.has_level_prefix) priority = take_level(piece.text).value_or(priority);
  const auto& time = piece.origin.time;
  const bool is_in_time =
      (!options_.since_us && !options_.until_us) ||
      (time && !is_too_old(piece.origin) && (!options_.until_us || time->realtime_ns <= *options_.until_us * ns_per_us));
  const bool is_wanted = is_in_time && priority >= options_.priority_from && priority <= options_.priority_to;
  line_ = is_wanted ? std::optional{priority} : std::nullopt;
  return line_;
}

Result<const KeptLine*> ForwardLines::front() {
  while (ready_.empty() && !at_end_) {
    std::size_t bytes = 0;
    const LineTaker take = [&](const LinePiece& given) {
      LinePiece piece = given;
      bytes += piece.text.size() + sizeof(KeptLine);
      if (const auto priority = judge_.judge(piece)) keep(ready_, piece, *priority);
      if (piece.ends && !ready_.empty()) {
        KeptLine& line = ready_.back();
        if (line.origin.time) order_ns_ = line.origin.time->realtime_ns;
        line.order_ns = order_ns_;
      }
      return !piece.ends || bytes < bytes_ahead_;
    };
    PERDURE_TRY(at_end_, reader_.read(take));
    if (at_end_ && rest_) reader_.finish(take);
  }
  return ready_.empty() ? nullptr : &ready_.front();
}

Result<void> BackwardLines::read_before() {
  const bool is_first = !end_;
  PERDURE_TRY(const Place begin, reader_.place_of_last(lines_ahead_, is_first, end_));
  const LineTaker take = [&](const LinePiece& given) {
    if (end_ && given.origin.place >= *end_) return false;
    LinePiece piece = given;
    if (const auto priority = judge_.judge(piece)) keep(ready_, piece, *priority);
    at_beginning_ = at_beginning_ || judge_.is_too_old(piece.origin);
    return true;
  };
  reader_.start_at(begin);
  PERDURE_TRY(const bool at_end, reader_.read(take));
  if (at_end && is_first) reader_.finish(take);
  at_beginning_ = at_beginning_ || begin.segment == 0;
  end_ = begin;
  for (auto line = ready_.rbegin(); line != ready_.rend(); ++line) {
    if (line->origin.time) order_ns_ = line->origin.time->realtime_ns;
    line->order_ns = order_ns_;
  }
  return {};
}

Result<const KeptLine*> BackwardLines::front() {
  while (ready_.empty() && !at_beginning_) PERDURE_CHECK(read_before());
  return ready_.empty() ? nullptr : &ready_.back();
}

}  // namespace perdure::logbook
