// CrashRecord: what a manager has in hand, in memory that outlives it, and what has been in hand when managers crashed.
//
// A unit's texts or a request that brings the manager down will do so again: services go on, but nobody could ask for anything any
// more. So what was in hand at crashes_max crashes within crashes_within is quarantined: refused, in one line, until it is another
// text. Taking something in hand and letting go of it are a few stores; the next manager counts. A unit's texts are hashed only
// once there is a suspicion: a crash without a hash counts for the texts of the next one.
// Left out: the memory (crash_file.hpp), what a crash is, and time, which is told.
// Thread safety: one thread. Fork safety: plain values. Signal safety: none is needed; a crash may come between any two stores.
//
//     take_in_hand(record, Input::Unit, "web.service", 0);   …   let_go(record, Input::Unit);
//     if (const Suspect* found = count_crash(record, now)) …                  // by the next manager
//     if (is_quarantined(record, Input::Unit, "web.service", hash_of(texts))) refuse();
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "base/time.hpp"

namespace perdure::supervisor {

/// What can be in hand, the outer first: a request may load a unit, and then it is the unit that is suspected.
enum class Input : std::uint32_t { Request, Unit, count_ };

inline constexpr std::size_t crashes_max = 3;
inline constexpr std::chrono::seconds crashes_within{10};
inline constexpr std::size_t suspects_max = 16;

/// Bounded; a longer one is cut.
struct InputName {
  std::uint32_t size = 0;
  char text[252]{};
  [[nodiscard]] std::string_view view() const noexcept { return {text, size}; }
};

struct InHand {
  std::uint32_t is_set = 0;  ///< written last when taking, first when letting go
  InputName name{};
  std::uint64_t hash = 0;  ///< 0: not known
};

struct Suspect {
  Input input = Input::count_;
  InputName name{};
  std::uint32_t is_quarantined = 0;
  std::uint64_t hash = 0;  ///< 0: not known
  std::uint64_t crashes = 0;
  std::int64_t crashed_ns[crashes_max]{};  ///< CLOCK_MONOTONIC; the last ones, the latest last
};

struct CrashRecord {
  static constexpr std::uint64_t right_magic = 0x3153414c43445250;
  std::uint64_t magic = right_magic;
  InHand in_hand[static_cast<std::size_t>(Input::count_)]{};
  Suspect suspects[suspects_max]{};
};
static_assert(std::is_trivially_copyable_v<CrashRecord>);

/// Whether it can be used: whoever left it was about to crash.
bool is_sound(const CrashRecord& record) noexcept;
/// `hash`: 0, where nobody suspects it (suspect_of()).
void take_in_hand(CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept;
void let_go(CrashRecord& record, Input input) noexcept;

/// A manager crashed at `now`, or just before: counts that against what it had in hand, which is let go. The suspect; nullptr: it
/// had nothing in hand.
const Suspect* count_crash(CrashRecord& record, base::Instant now) noexcept;
/// What was suspected or quarantined is so no more.
void forget_suspects(CrashRecord& record) noexcept;
/// A manager ended otherwise: nothing is to blame.
void forget_in_hand(CrashRecord& record) noexcept;

/// What has been in hand at a crash before: a unit by its name, a request by its hash. nullptr: nobody suspects it.
const Suspect* suspect_of(const CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept;
bool is_quarantined(const CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept;

}  // namespace perdure::supervisor
