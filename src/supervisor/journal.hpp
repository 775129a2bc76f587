// Journal: what the manager must find again after its death, as fixed records with a CRC, appended.
//
// One record holds all that is known of one unit (core::UnitRecord, and the identity of its main process); the last one of a unit
// counts. Appending is one write(2); a torn record at the end and a damaged one anywhere are skipped, never guessed at. When
// the file has grown it is written anew beside itself and renamed. A state directory that cannot be written is replaced by
// memory: the descriptor is parked in the keeper either way, so that a death of the manager costs nothing; is_volatile() says so.
// Left out: fsync (the promise is about processes that die; after a power loss all services are gone too).
// Thread safety: one thread. Fork: a child leaves it alone. Signal safety: none.
//
//     Journal journal = Journal::open(state_dir, boot_id, notes);
//     journal.append(entries);  for (const JournalEntry& entry : journal.load()) …
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/unit_record.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

/// What the shell adds to the core's record: whom the record is about, should the keeper be gone too.
struct ProcessMark {
  std::int32_t pid = 0;  ///< 0: none known
  std::array<std::uint8_t, 16> invocation{};
  std::uint64_t log_pipe = 0;  ///< the inode of the pipe that it was given to write to; 0: none
  friend bool operator==(const ProcessMark&, const ProcessMark&) = default;
};

struct JournalEntry {
  core::UnitRecord record{};
  ProcessMark process{};
  friend bool operator==(const JournalEntry&, const JournalEntry&) = default;
};

inline constexpr std::size_t journal_record_bytes = 256;
using JournalBytes = std::array<unsigned char, journal_record_bytes>;
JournalBytes encode(const JournalEntry& entry) noexcept;
/// False: these bytes are no record.
bool decode(std::span<const unsigned char, journal_record_bytes> bytes, JournalEntry& entry) noexcept;

class Journal {
 public:
  /// The journal in `state_dir`, which begins empty unless it is of this boot. `boot_id`: 32 hexadecimal digits.
  static Journal open(const std::string& state_dir, const std::string& boot_id);
  /// The one that a former manager parked.
  static Journal adopt(UniqueFd file, const std::string& state_dir, const std::string& boot_id);

  /// The last entry of every unit, by number. Damaged records are counted in damaged().
  std::vector<JournalEntry> load();
  /// On failure: the entries are in memory() still, and the caller switches with rewrite().
  Result<void> append(std::span<const JournalEntry> entries);
  /// The file has grown, or ends in the middle of a record.
  [[nodiscard]] bool wants_rewrite(std::size_t units) const noexcept;
  /// Writes `entries` into a fresh file and goes on there: in the state directory, or in memory where that fails.
  void rewrite(std::span<const JournalEntry> entries);

  [[nodiscard]] int fd() const noexcept { return file_.get(); }
  [[nodiscard]] bool is_volatile() const noexcept { return volatile_; }
  /// Why it is volatile, one line.
  [[nodiscard]] const std::string& note() const noexcept { return note_; }
  [[nodiscard]] std::uint64_t damaged() const noexcept { return damaged_; }

 private:
  Journal(std::string state_dir, std::string boot_id) : state_dir_(std::move(state_dir)), boot_id_(std::move(boot_id)) {}
  [[nodiscard]] bool has_header() const;
  void begin_in_memory(const std::string& why);

  std::string state_dir_;
  std::string boot_id_;
  UniqueFd file_{};
  std::uint64_t records_ = 0;
  std::uint64_t damaged_ = 0;
  bool volatile_ = false;
  bool torn_ = false;  ///< the file does not end with a whole record
  std::string note_{};
  std::vector<unsigned char> buffer_{};
};

}  // namespace perdure::supervisor
