#include "supervisor/crash_record.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iterator>

namespace perdure::supervisor {
namespace {

InHand& in_hand(CrashRecord& record, Input input) noexcept { return record.in_hand[static_cast<std::size_t>(input)]; }

void assign(InputName& name, std::string_view text) noexcept {
  name.size = static_cast<std::uint32_t>(std::min(text.size(), sizeof name.text));
  std::memcpy(name.text, text.data(), name.size);
}

bool is_same(const Suspect& known, Input input, std::string_view name, std::uint64_t hash) noexcept {
  if (known.input != input) return false;
  return input == Input::Unit ? known.name.view() == name.substr(0, sizeof known.name.text) : known.hash == hash;
}

/// A place for another one: free, or of the one whose last crash is longest ago; of a quarantined one only where all are.
Suspect& place_for_another(CrashRecord& record) noexcept {
  return *std::min_element(std::begin(record.suspects), std::end(record.suspects), [](const Suspect& a, const Suspect& b) {
    const auto rank = [](const Suspect& s) { return s.input == Input::count_ ? 0 : s.is_quarantined == 0 ? 1 : 2; };
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return a.crashed_ns[crashes_max - 1] < b.crashed_ns[crashes_max - 1];
  });
}

}  // namespace

bool is_sound(const CrashRecord& record) noexcept {
  const auto is_name = [](const InputName& name) { return name.size <= sizeof name.text; };
  return record.magic == CrashRecord::right_magic &&
         std::all_of(std::begin(record.in_hand), std::end(record.in_hand),
                     [&](const InHand& held) { return is_name(held.name); }) &&
         std::all_of(std::begin(record.suspects), std::end(record.suspects),
                     [&](const Suspect& s) { return s.input <= Input::count_ && is_name(s.name); });
}

void take_in_hand(CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept {
  InHand& held = in_hand(record, input);
  assign(held.name, name);
  held.hash = hash;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // whoever looks at a crash looks at a machine that has stopped
  *const_cast<volatile std::uint32_t*>(&held.is_set) = 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

void let_go(CrashRecord& record, Input input) noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *const_cast<volatile std::uint32_t*>(&in_hand(record, input).is_set) = 0;
}

void forget_in_hand(CrashRecord& record) noexcept {
  for (InHand& held : record.in_hand) held.is_set = 0;
}

void forget_suspects(CrashRecord& record) noexcept {
  for (Suspect& suspect : record.suspects) suspect = Suspect{};
}

const Suspect* count_crash(CrashRecord& record, base::Instant now) noexcept {
  Input input = Input::Unit;
  if (in_hand(record, input).is_set == 0) input = Input::Request;
  const InHand held = in_hand(record, input);
  forget_in_hand(record);
  if (held.is_set == 0) return nullptr;
  auto* suspect = const_cast<Suspect*>(suspect_of(record, input, held.name.view(), held.hash));
  if (suspect == nullptr) {
    suspect = &place_for_another(record);
    *suspect = Suspect{.input = input, .name = held.name, .hash = held.hash};
  }
  if (held.hash != 0) {
    if (suspect->hash != 0 && suspect->hash != held.hash)
      *suspect = Suspect{.input = input, .name = held.name};  // other texts
    suspect->hash = held.hash;
  }
  std::move(std::begin(suspect->crashed_ns) + 1, std::end(suspect->crashed_ns), std::begin(suspect->crashed_ns));
  suspect->crashed_ns[crashes_max - 1] = now.time_since_epoch().count();
  ++suspect->crashes;
  const base::Duration took{suspect->crashed_ns[crashes_max - 1] - suspect->crashed_ns[0]};
  // Without a hash nobody could say what is refused: one more crash will tell it.
  if (suspect->crashes >= crashes_max && took <= crashes_within && suspect->hash != 0) suspect->is_quarantined = 1;
  return suspect;
}

const Suspect* suspect_of(const CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept {
  const auto* const found = std::find_if(std::begin(record.suspects), std::end(record.suspects),
                                         [&](const Suspect& known) { return is_same(known, input, name, hash); });
  return found == std::end(record.suspects) ? nullptr : found;
}

bool is_quarantined(const CrashRecord& record, Input input, std::string_view name, std::uint64_t hash) noexcept {
  const Suspect* const found = suspect_of(record, input, name, hash);
  return found != nullptr && found->is_quarantined != 0 && found->hash == hash;
}

}  // namespace perdure::supervisor
