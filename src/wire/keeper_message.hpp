// What manager and keeper say to each other, as fixed bytes on a SOCK_SEQPACKET socket pair.
//
// Every message carries the protocol's number; a keeper serves managers of at least three versions, so fields are only ever
// added where `reserved` stands. Numbers are the machine's own: both ends run on it. No text is parsed anywhere.
// Descriptors travel with a message in the order that its comment gives. The keeper's table is the truth: a message that was
// lost with its receiver is found again by List.
// Left out: sockets (keeper/, supervisor/keeper_channel.hpp).
// Freestanding: no library behind it. Thread, fork and signal safety: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace perdure::wire::keeper {

inline constexpr std::uint32_t magic = 0x4b445250;  // "PRDK"
inline constexpr std::uint16_t protocol = 1;

/// The descriptors that the keeper is started with, and that it hands its manager under the same numbers.
inline constexpr int keeper_program_fd = 3;
inline constexpr int executor_program_fd = 4;
inline constexpr int manager_program_fd = 5;
inline constexpr int instance_lock_fd = 6;
/// Further locks that the keeper may be started with: of the state directory, and of a log directory elsewhere. It parks them under
/// these labels: a keeper that takes another one's place must go on holding them.
inline constexpr int state_lock_fd = 7;
inline constexpr int log_lock_fd = 8;
inline constexpr const char* state_lock_label = "state-lock";
inline constexpr const char* log_lock_label = "log-lock";
/// The manager's end of the channel, in the manager.
inline constexpr int channel_fd = 7;

/// Descriptors of one message.
inline constexpr std::size_t fds_max = 96;
inline constexpr std::size_t label_size = 32;
inline constexpr std::size_t parked_max = 64;

struct Key {
  std::uint64_t run;
  std::uint32_t unit;
  std::uint32_t spawn;
  friend bool operator==(const Key&, const Key&) = default;
};

enum class Operation : std::uint16_t {
  List = 1,     ///< the entries from index `from` on; answered by Listed
  ListParked,   ///< the parked descriptors from index `from` on; answered by ListedParked
  Spawn,        ///< fds: specs, the child's `child_fds` - 1 others, then by flags: cgroup, log, gate. Answered by Spawned
  Track,        ///< fds: pidfd, then by flags: log. `number`: pid. A process that was not spawned under this key
  Acknowledge,  ///< forget the ended `key`; closes what is held for it
  Put,          ///< fds: one. Parks it under `label`, in place of what is there
  Delete,       ///< forgets what is parked under `label`
  ExecManager,  ///< fds: one. The program for the next manager; the present one is kept as a fallback
  ExecKeeper,   ///< fds: one. The keeper becomes this program, in place; only an error is answered
  Seen,         ///< what the keeper told was acted on; `from`: the sequence of the last Signalled; not answered
  Finish,       ///< the keeper exits with `number`; not answered
};

enum SpawnFlags : std::uint16_t {
  has_cgroup = 1,      ///< a directory to be born into
  has_log = 2,         ///< the read end of the log pipe, held until Acknowledge
  has_gate = 4,        ///< the read end of the pipe that closes when the program is executed, held likewise
  enter_by_procs = 8,  ///< the last of the child's descriptors is a cgroup.procs for the child to enter by itself
};

struct Request {
  std::uint32_t magic_number = magic;
  std::uint16_t version = protocol;
  Operation operation = Operation::List;
  std::uint64_t sequence = 0;  ///< comes back in the answer
  Key key{};
  std::uint32_t from = 0;
  std::int32_t number = 0;
  std::uint16_t flags = 0;
  std::uint16_t child_fds = 0;
  std::uint32_t spec_size = 0;
  std::uint64_t spec_offset = 0;  ///< where the spec stands in the first descriptor
  std::uint8_t invocation[16]{};
  char label[label_size]{};
  std::uint8_t reserved[24]{};
};
static_assert(sizeof(Request) == 128 && std::is_trivially_copyable_v<Request>);

enum class EntryState : std::uint16_t { Free = 0, Running = 1, Ended = 2 };

/// How an entry ended: the code of waitid(2)'s siginfo (CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3), or nobody saw it.
inline constexpr std::int32_t ended_unseen = 0;

enum EntryFlags : std::uint16_t {
  entry_has_log = 1,
  entry_has_gate = 2,
  entry_has_pidfd = 4,
  entry_tracked = 8,  ///< by Track: not started under this key
};

/// One process, as the keeper knows it.
struct Entry {
  Key key{};
  std::int32_t pid = 0;
  EntryState state = EntryState::Free;
  std::uint16_t flags = 0;
  std::int32_t end_code = 0;
  std::int32_t end_status = 0;    ///< exit code or signal
  std::uint32_t failed_step = 0;  ///< wire::Step at which the executor gave up; 0: it did not
  std::int32_t failed_error = 0;  ///< the errno of it
  std::int64_t started_ns = 0;    ///< CLOCK_MONOTONIC
  std::int64_t ended_ns = 0;      ///< CLOCK_MONOTONIC
  std::int64_t ended_realtime_ns = 0;
  std::uint64_t user_us = 0;
  std::uint64_t system_us = 0;
  std::uint64_t max_rss_kib = 0;
  std::uint8_t invocation[16]{};
};
static_assert(sizeof(Entry) == 104 && std::is_trivially_copyable_v<Entry>);

enum class Kind : std::uint16_t {
  Answer = 1,    ///< `error` of the request `sequence`; to Track: with the entry
  Spawned,       ///< one entry; fds: pidfd, where the kernel gave one. Or `error`, and there is no process
  Exited,        ///< one entry; comes again until it is acknowledged, after a change of managers
  Listed,        ///< entries; per entry by its flags: log, gate, pidfd. `next`: where to go on; 0: that was all
  ListedParked,  ///< ParkedLabel entries; fds: one each. `next` as above
  Signalled,     ///< the keeper received `signals` (bit n: signal n); the next manager hears it again unless it was Seen
};

struct Header {
  std::uint32_t magic_number = magic;
  std::uint16_t version = protocol;
  Kind kind = Kind::Answer;
  std::uint64_t sequence = 0;
  std::int32_t error = 0;
  std::uint32_t count = 0;  ///< entries that follow
  std::uint32_t next = 0;
  std::uint32_t facts = 0;  ///< KeeperFacts
  std::uint64_t signals = 0;
  // Of every message:
  std::uint32_t manager_starts = 0;   ///< the present manager's number, from 1
  std::uint32_t orphans_reaped = 0;   ///< ended descendants that nobody tracked
  std::uint32_t capacity = 0;         ///< entries there is room for
  std::uint32_t entries = 0;          ///< entries in use
  std::uint64_t nofile_at_start = 0;  ///< soft RLIMIT_NOFILE before the keeper raised it
  std::int32_t oom_score_error = 0;   ///< errno of the attempt to lower its oom_score_adj to -1000; 0: it is there
  /// How the manager before this one ended, as of an entry; 0: there was none, or nobody saw it.
  std::int16_t manager_end_code = 0;
  std::int16_t manager_end_status = 0;
  std::int64_t manager_ended_realtime_ns = 0;
  std::uint8_t reserved[8]{};
};
static_assert(sizeof(Header) == 88 && std::is_trivially_copyable_v<Header>);

enum KeeperFacts : std::uint32_t {
  fact_locked = 1,     ///< its memory is locked
  fact_subreaper = 2,  ///< orphans come to it
  fact_adopted = 4,    ///< it took over from a keeper that was lost
};

struct ParkedLabel {
  char label[label_size];
};

inline constexpr std::size_t entries_max = 32;  ///< of one message
struct Message {
  Header header{};
  Entry entries[entries_max]{};
};
static_assert(entries_max * 3 <= fds_max);
static_assert(entries_max * sizeof(ParkedLabel) <= entries_max * sizeof(Entry));

// The keeper's table, in a memfd of its own: what survives ExecKeeper, and what a manager writes down when it becomes the
// keeper because the keeper is gone.

inline constexpr std::uint32_t table_magic = 0x544b4450;  // "PDKT"
inline constexpr std::uint32_t table_version = 2;

struct Slot {
  Entry entry{};
  std::int32_t log_fd = -1;
  std::int32_t gate_fd = -1;
  std::int32_t pidfd = -1;         ///< only where the process is not a child of the keeper
  std::uint32_t told = 0;          ///< Exited has been sent to the present manager
  std::uint32_t next_of_pid = 0;   ///< chains of the keeper's index; slot number + 1
  std::uint32_t next_of_unit = 0;  ///< of free slots: the next free one
};
static_assert(sizeof(Slot) == 128);

struct Parked {
  char label[label_size];
  std::int32_t fd;  ///< -1: free
};

struct Table {
  std::uint32_t magic_number = table_magic;
  std::uint32_t version = table_version;
  std::uint32_t slot_size = sizeof(Slot);
  std::uint32_t capacity = 0;
  std::uint32_t used = 0;  ///< slots below this were in use at some time
  std::uint32_t manager_starts = 0;
  std::uint32_t orphans_reaped = 0;
  std::uint32_t facts = 0;
  std::uint64_t nofile_at_start = 0;
  /// The text of /proc/self/oom_score_adj before the keeper lowered it; empty: it has not.
  char oom_score_adj_at_start[8]{};
  Parked parked[parked_max]{};
  // `capacity` slots follow.
};
static_assert(sizeof(Table) % 8 == 0);

/// Most entries of a table; RLIMIT_NOFILE usually allows fewer.
inline constexpr std::uint32_t capacity_max = 65536;
/// Descriptors that one entry may need.
inline constexpr std::uint32_t fds_per_entry = 3;

}  // namespace perdure::wire::keeper
