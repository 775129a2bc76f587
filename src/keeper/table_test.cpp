#include "keeper/table.hpp"

#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

namespace perdure::keeper {
namespace {

/// A table in ordinary memory, and an index over it. The index is large: never on the stack.
class Memory {
 public:
  explicit Memory(std::uint32_t capacity)
      : bytes_((sizeof(message::Table) + capacity * sizeof(Slot)) / sizeof(std::uint64_t)) {
    auto* table = new (bytes_.data()) message::Table{};
    table->capacity = capacity;
    index->rebuild(*table);
  }
  /// What a successor knows: the bytes alone.
  void forget_the_index() {
    message::Table& table = index->bytes();
    index = std::make_unique<ProcessTable>();
    index->rebuild(table);
  }
  ProcessTable& operator*() { return *index; }
  ProcessTable* operator->() { return index.get(); }

 private:
  std::vector<std::uint64_t> bytes_;

 public:
  std::unique_ptr<ProcessTable> index = std::make_unique<ProcessTable>();
};

Slot& start(ProcessTable& table, const Key& key, std::int32_t pid) {
  Slot& slot = *table.add(key);
  slot.entry.state = EntryState::Running;
  slot.entry.pid = pid;
  table.bind_pid(slot);
  return slot;
}

TEST(ProcessTable, AnEntryIsFoundByKeyAndByPid) {
  Memory table{8};
  Slot& slot = start(*table, {1, 7, 3}, 4711);
  EXPECT_EQ(table->find({1, 7, 3}), &slot);
  EXPECT_EQ(table->find_pid(4711), &slot);
  EXPECT_EQ(table->entries(), 1U);
}

TEST(ProcessTable, EveryPartOfAKeyCounts) {
  Memory table{8};
  start(*table, {1, 7, 3}, 4711);
  EXPECT_EQ(table->find({2, 7, 3}), nullptr);
  EXPECT_EQ(table->find({1, 8, 3}), nullptr);
  EXPECT_EQ(table->find({1, 7, 4}), nullptr);
}

TEST(ProcessTable, KeysAndPidsThatShareABucketAreToldApart) {
  Memory table{8};
  constexpr std::uint32_t far = ProcessTable::buckets;
  Slot& first = start(*table, {1, 5, 0}, 100);
  Slot& second = start(*table, {1, 5 + far, 0}, 100 + static_cast<std::int32_t>(far));
  EXPECT_EQ(table->find({1, 5, 0}), &first);
  EXPECT_EQ(table->find({1, 5 + far, 0}), &second);
  EXPECT_EQ(table->find_pid(100), &first);
  EXPECT_EQ(table->find_pid(100 + static_cast<std::int32_t>(far)), &second);
}

TEST(ProcessTable, AnUnboundPidIsNobodys) {
  Memory table{8};
  Slot& slot = start(*table, {1, 7, 3}, 4711);
  table->unbind_pid(slot);
  EXPECT_EQ(table->find_pid(4711), nullptr);
  EXPECT_EQ(table->find({1, 7, 3}), &slot);
}

TEST(ProcessTable, AFullTableTakesNoMoreAndLosesNothing) {
  Memory table{3};
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_NE(table->add({i, i, 0}), nullptr);
  EXPECT_EQ(table->add({9, 9, 9}), nullptr);
  for (std::uint32_t i = 0; i < 3; ++i) EXPECT_NE(table->find({i, i, 0}), nullptr);
  table->remove(*table->find({1, 1, 0}));
  EXPECT_NE(table->add({9, 9, 9}), nullptr);
}

TEST(ProcessTable, AFreedSlotRemembersNothing) {
  Memory table{1};
  Slot& slot = start(*table, {1, 7, 3}, 4711);
  slot.told = 1;
  slot.log_fd = 130;
  table->unbind_pid(slot);
  table->remove(slot);
  Slot& again = *table->add({2, 7, 3});
  EXPECT_EQ(again.told, 0U);
  EXPECT_EQ(again.log_fd, -1);
  EXPECT_EQ(again.entry.pid, 0);
}

TEST(ProcessTable, ASuccessorFindsTheSameInTheBytes) {
  Memory table{16};
  start(*table, {1, 1, 0}, 100);
  Slot& ended = start(*table, {2, 1, 0}, 101);
  table->unbind_pid(ended);
  ended.entry.state = EntryState::Ended;
  Slot& gone = start(*table, {3, 1, 0}, 102);
  table->unbind_pid(gone);
  table->remove(gone);
  table.forget_the_index();
  EXPECT_EQ(table->entries(), 2U);
  EXPECT_NE(table->find_pid(100), nullptr);
  EXPECT_EQ(table->find_pid(101), nullptr) << "its number may be somebody else's by now";
  EXPECT_NE(table->find({2, 1, 0}), nullptr);
  EXPECT_EQ(table->find({3, 1, 0}), nullptr);
  EXPECT_EQ(table->add({4, 1, 0}), &gone) << "a free slot is used before a fresh one";
}

TEST(ProcessTable, ACountBeyondTheCapacityIsNotBelieved) {
  Memory table{4};
  table->bytes().used = 1'000'000;
  table.forget_the_index();
  EXPECT_EQ(table->used(), 4U);
}

/// 10^5 random operations beside std::map, with the index thrown away and built again in between.
TEST(ProcessTable, AgreesWithAMap) {
  constexpr std::uint32_t capacity = 500;
  using Word = std::tuple<std::uint64_t, std::uint32_t, std::uint32_t>;
  struct Known {
    std::int32_t pid;
    bool is_running;
  };
  std::map<Word, Known> model;
  std::map<std::int32_t, Word> running;
  Memory table{capacity};
  std::mt19937 random{20260101};
  const auto below = [&random](std::uint32_t bound) { return random() % bound; };
  const auto key_of = [](const Word& word) { return Key{std::get<0>(word), std::get<1>(word), std::get<2>(word)}; };
  for (int step = 0; step < 100'000; ++step) {
    const Word word{below(4), below(3) * ProcessTable::buckets + below(100), below(2)};
    const Key key = key_of(word);
    const auto known = model.find(word);
    Slot* const slot = table->find(key);
    ASSERT_EQ(slot != nullptr, known != model.end()) << "step " << step;
    switch (below(4)) {
      case 0:
      case 1: {
        if (slot != nullptr) break;
        Slot* const added = table->add(key);
        ASSERT_EQ(added != nullptr, model.size() < capacity) << "step " << step;
        if (added == nullptr) break;
        std::int32_t pid = 0;
        do pid = static_cast<std::int32_t>(2 + below(5 * ProcessTable::buckets));
        while (running.contains(pid));
        added->entry.state = EntryState::Running;
        added->entry.pid = pid;
        table->bind_pid(*added);
        model[word] = {pid, true};
        running[pid] = word;
        break;
      }
      case 2:
        if (slot == nullptr) break;
        ASSERT_EQ(slot->entry.pid, known->second.pid);
        if (known->second.is_running) {
          ASSERT_EQ(table->find_pid(slot->entry.pid), slot);
          table->unbind_pid(*slot);
          slot->entry.state = EntryState::Ended;
          running.erase(known->second.pid);
          known->second.is_running = false;
        } else {
          table->remove(*slot);
          model.erase(known);
        }
        break;
      default:
        if (below(1000) == 0) table.forget_the_index();
        if (!running.empty()) {
          auto some = running.lower_bound(static_cast<std::int32_t>(below(5 * ProcessTable::buckets)));
          if (some == running.end()) some = running.begin();
          Slot* const by_pid = table->find_pid(some->first);
          ASSERT_NE(by_pid, nullptr);
          EXPECT_EQ(by_pid->entry.key, key_of(some->second));
        }
    }
    ASSERT_EQ(table->entries(), model.size());
  }
  for (const auto& [word, known] : model) {
    Slot* const slot = table->find(key_of(word));
    ASSERT_NE(slot, nullptr);
    EXPECT_EQ(slot->entry.pid, known.pid);
    EXPECT_EQ(slot->entry.state, known.is_running ? EntryState::Running : EntryState::Ended);
    EXPECT_EQ(&table->at(table->index_of(*slot)), slot);
  }
}

}  // namespace
}  // namespace perdure::keeper
