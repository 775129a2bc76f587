// The journal: whatever stands in the file, loading it crashes nothing, and every entry that comes back is one that was written.
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "supervisor/journal.hpp"

namespace supervisor = perdure::supervisor;

namespace {

constexpr std::size_t record = supervisor::journal_record_bytes;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Loads `bytes` behind a head that is right.
void load(std::string_view bytes) {
  auto journal = supervisor::Journal::open("/nonexistent/perdure-fuzz", std::string(32, 'b'));
  require(journal.is_volatile());
  if (journal.fd() < 0 || ::write(journal.fd(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return;
  const auto entries = journal.load();
  require(entries.size() + journal.damaged() <= bytes.size() / record);
  require(journal.wants_rewrite(entries.size()) == (bytes.size() % record != 0));
  for (const supervisor::JournalEntry& entry : entries) {
    supervisor::JournalEntry again;
    require(supervisor::decode(supervisor::encode(entry), again) && again == entry);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), std::min(size, 64 * record)};
  load(bytes);
  // Every record with a checksum that is right, so that its values are looked at.
  std::string sealed{bytes};
  const auto good = supervisor::encode({});
  for (std::size_t at = 0; at + record <= sealed.size(); at += record) {
    std::memcpy(sealed.data() + at, good.data(), 8);
    const auto crc =
        static_cast<std::uint32_t>(::crc32(0, reinterpret_cast<const Bytef*>(sealed.data()) + at + 12, record - 12));
    for (unsigned i = 0; i < 4; ++i) sealed[at + 8 + i] = static_cast<char>(crc >> (8 * i) & 0xff);
  }
  load(sealed);
  return 0;
}
