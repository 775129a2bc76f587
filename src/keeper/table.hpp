// ProcessTable: the keeper's memory of processes, as an index over the fixed bytes of wire::keeper::Table.
//
// Finds by pid and by unit in a few steps, whatever the number of entries; allocates nothing; holds no state that a successor could
// not build again from the bytes (rebuild()). Descriptors in the slots are numbers to it: it closes none.
// Left out: system calls (keeper.cpp). Freestanding.
// Thread, fork and signal safety: one thread.
//
//     ProcessTable table{bytes};
//     if (Slot* slot = table.add(key)) slot->entry.pid = pid, table.bind_pid(*slot);
#pragma once

#include <cstdint>

#include "wire/keeper_message.hpp"

namespace perdure::keeper {

namespace message = wire::keeper;
using message::EntryState;
using message::Key;
using message::Slot;

class ProcessTable {
 public:
  static constexpr std::uint32_t buckets = 16384;  // a power of two

  /// Takes the table as it is: finds what is in use and chains it.
  void rebuild(message::Table& table) noexcept {
    table_ = &table;
    slots_ = reinterpret_cast<Slot*>(&table + 1);
    free_ = 0;
    used_entries_ = 0;
    for (std::uint32_t i = 0; i < buckets; ++i) {  // only what is not 0 already: a page that is not written costs no memory
      if (by_pid_[i] != 0) by_pid_[i] = 0;
      if (by_unit_[i] != 0) by_unit_[i] = 0;
    }
    if (table.used > table.capacity) table.used = table.capacity;
    for (std::uint32_t i = table.used; i > 0; --i) {
      Slot& slot = slots_[i - 1];
      slot.next_of_pid = 0;
      if (slot.entry.state == EntryState::Free) {
        slot.next_of_unit = free_;
        free_ = i;
        continue;
      }
      ++used_entries_;
      chain_unit(i);
      if (slot.entry.state == EntryState::Running) bind_pid(slot);
    }
  }

  /// A free slot for `key`, chained under its unit; nullptr: the table is full. Requires: find(key) found none.
  Slot* add(const Key& key) noexcept {
    std::uint32_t place = free_;
    if (place != 0) {
      free_ = slots_[place - 1].next_of_unit;
    } else if (table_->used < table_->capacity) {
      place = ++table_->used;
    } else {
      return nullptr;
    }
    Slot& slot = slots_[place - 1];
    slot = Slot{};
    slot.entry.key = key;
    chain_unit(place);
    ++used_entries_;
    return &slot;
  }

  /// Requires: its pid is unbound (unbind_pid()). The slot's descriptors are the caller's to close before.
  void remove(Slot& slot) noexcept {
    const std::uint32_t place = place_of(slot);
    std::uint32_t* link = &by_unit_[unit_bucket(slot.entry.key.unit)];
    while (*link != 0 && *link != place) link = &slots_[*link - 1].next_of_unit;
    if (*link == place) *link = slot.next_of_unit;
    slot = Slot{};
    slot.next_of_unit = free_;
    free_ = place;
    --used_entries_;
  }

  Slot* find(const Key& key) noexcept {
    for (std::uint32_t place = by_unit_[unit_bucket(key.unit)]; place != 0; place = slots_[place - 1].next_of_unit) {
      if (slots_[place - 1].entry.key == key) return &slots_[place - 1];
    }
    return nullptr;
  }

  /// The running entry of `pid`.
  Slot* find_pid(std::int32_t pid) noexcept {
    for (std::uint32_t place = by_pid_[pid_bucket(pid)]; place != 0; place = slots_[place - 1].next_of_pid) {
      if (slots_[place - 1].entry.pid == pid) return &slots_[place - 1];
    }
    return nullptr;
  }

  void bind_pid(Slot& slot) noexcept {
    std::uint32_t& head = by_pid_[pid_bucket(slot.entry.pid)];
    slot.next_of_pid = head;
    head = place_of(slot);
  }

  /// From when its process has been reaped, the number may belong to somebody else.
  void unbind_pid(Slot& slot) noexcept {
    const std::uint32_t place = place_of(slot);
    std::uint32_t* link = &by_pid_[pid_bucket(slot.entry.pid)];
    while (*link != 0 && *link != place) link = &slots_[*link - 1].next_of_pid;
    if (*link == place) *link = slot.next_of_pid;
    slot.next_of_pid = 0;
  }

  /// The slots below used(), free ones among them.
  [[nodiscard]] std::uint32_t used() const noexcept { return table_->used; }
  [[nodiscard]] std::uint32_t entries() const noexcept { return used_entries_; }
  Slot& at(std::uint32_t index) noexcept { return slots_[index]; }
  [[nodiscard]] std::uint32_t index_of(const Slot& slot) const noexcept { return place_of(slot) - 1; }
  message::Table& bytes() noexcept { return *table_; }

 private:
  static std::uint32_t pid_bucket(std::int32_t pid) noexcept { return static_cast<std::uint32_t>(pid) & (buckets - 1); }
  static std::uint32_t unit_bucket(std::uint32_t unit) noexcept { return unit & (buckets - 1); }
  [[nodiscard]] std::uint32_t place_of(const Slot& slot) const noexcept {
    return static_cast<std::uint32_t>(&slot - slots_) + 1;
  }
  void chain_unit(std::uint32_t place) noexcept {
    std::uint32_t& head = by_unit_[unit_bucket(slots_[place - 1].entry.key.unit)];
    slots_[place - 1].next_of_unit = head;
    head = place;
  }

  message::Table* table_ = nullptr;
  Slot* slots_ = nullptr;
  std::uint32_t free_ = 0;  ///< places count from 1; 0: none
  std::uint32_t used_entries_ = 0;
  std::uint32_t by_pid_[buckets]{};
  std::uint32_t by_unit_[buckets]{};
};

}  // namespace perdure::keeper
