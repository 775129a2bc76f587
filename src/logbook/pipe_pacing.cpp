#include "logbook/pipe_pacing.hpp"

#include <algorithm>
#include <utility>

namespace perdure::logbook {
namespace {

constexpr std::uint32_t growing_step = 4;

}  // namespace

PipePacing::Next PipePacing::after_look(base::Instant now, std::uint64_t moved) noexcept {
  const base::Duration since = now - std::exchange(looked_, now);
  if (moved == 0 || (!busy_ && since >= busy_gap)) {
    busy_ = false;
    return {};
  }
  // The pause in which the wanted part comes, at the rate of the pause that has passed. Less than half, because a wake-up is often
  // late. A pipe found full says only that the pause was too long; one found nearly empty, that it may be longer, but not how much.
  constexpr double wanted_part = 0.375, full_part = 0.875, shrinking = 0.5, growing_max = 2.0;
  const double capacity = capacity_;
  const double found = static_cast<double>(moved) / capacity;
  const bool was_full = found >= full_part;
  const double factor = was_full ? shrinking : std::min(wanted_part / found, growing_max);
  const base::Duration wanted{static_cast<base::Duration::rep>(static_cast<double>(since.count()) * factor)};
  pause_ = std::clamp(wanted, pause_min, pause_max);
  const bool grows = busy_ && capacity_ < pipe_bytes_max && !resize_refused_ &&
                     (was_full || (factor < growing_max && wanted < worthwhile_pause));
  busy_ = true;
  return {.how = How::Look, .at = now + pause_, .resize = grows ? std::min(capacity_ * growing_step, pipe_bytes_max) : 0};
}

PipePacing::Next PipePacing::after_block(base::Instant now) noexcept {
  looked_ = now;
  pause_ = std::clamp(pause_ * 2, block_pause_min, block_pause_max);
  busy_ = true;
  const bool grows = capacity_ < pipe_bytes_max && !resize_refused_;
  return {.how = How::Look, .at = now + pause_, .resize = grows ? pipe_bytes_max : 0};
}

void PipePacing::resized(std::uint32_t capacity) noexcept {
  if (capacity == 0) resize_refused_ = true;
  else capacity_ = capacity;
}

}  // namespace perdure::logbook
