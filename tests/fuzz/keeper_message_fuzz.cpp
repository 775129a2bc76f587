// What keeper and manager take from each other: a message that is accepted is whole and within its bounds, and a table out of any
// bytes can be searched, emptied and filled again.
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "keeper/table.hpp"
#include "supervisor/keeper_channel.hpp"

namespace keeper = perdure::wire::keeper;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void receive(const std::uint8_t* data, std::size_t size) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return;
  const perdure::UniqueFd other{ends[1]};
  perdure::supervisor::KeeperChannel channel{perdure::UniqueFd{ends[0]}};
  if (::send(other.get(), data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return;
  const auto received = channel.receive();
  require(received.has_value() || channel.dropped() == 1);
  if (!received) return;
  const keeper::Header& head = received->message.header;
  require(head.magic_number == keeper::magic && head.version == keeper::protocol && head.count <= keeper::entries_max);
  require(received->labels().size() == head.count);
}

void rebuild(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint32_t capacity = 32;
  static const auto table = std::make_unique<perdure::keeper::ProcessTable>();
  std::vector<std::uint64_t> bytes((sizeof(keeper::Table) + capacity * sizeof(keeper::Slot)) / sizeof(std::uint64_t));
  auto* const head = new (bytes.data()) keeper::Table{};
  auto* const slots = reinterpret_cast<keeper::Slot*>(head + 1);
  std::memcpy(static_cast<void*>(slots), data, std::min(size, capacity * sizeof(keeper::Slot)));
  head->capacity = capacity;
  head->used = size > 0 ? data[size - 1] : 0;
  table->rebuild(*head);
  require(table->used() <= capacity && table->entries() <= table->used());
  for (std::uint32_t i = 0; i < table->used(); ++i) {
    keeper::Slot& slot = table->at(i);
    if (slot.entry.state == keeper::EntryState::Free) continue;
    keeper::Slot* const found = table->find(slot.entry.key);
    require(found != nullptr && found->entry.key == slot.entry.key);
    if (slot.entry.state == keeper::EntryState::Running) require(table->find_pid(slot.entry.pid) != nullptr);
  }
  for (std::uint32_t i = 0; i < table->used(); ++i) {
    if (table->at(i).entry.state == keeper::EntryState::Free) continue;
    table->unbind_pid(table->at(i));
    table->remove(table->at(i));
  }
  require(table->entries() == 0);
  for (std::uint32_t i = 0; i < capacity; ++i) require(table->add({i, i, i}) != nullptr);
  require(table->add({99, 99, 99}) == nullptr);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  receive(data, size);
  rebuild(data, size);
  return 0;
}
