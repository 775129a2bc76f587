// The spawn spec: everything the executor needs to turn itself into a service, as one block of bytes without pointers.
//
// The manager compiles it once per unit and hands it over in a memfd; the executor checks every offset before it follows it, so
// that a damaged spec is refused (Step::ReadSpec) and never half obeyed. Users and groups are numbers, programs are paths, texts
// are offsets of NUL-terminated strings within the block, counted from its beginning; offset 0 means "none".
// Left out: what differs from run to run (INVOCATION_ID, the slot for a failure): the executor's command line.
// Freestanding. Thread, fork and signal safety: plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace perdure::wire {

inline constexpr std::uint32_t spec_magic = 0x43505350;  // "PSPC"
inline constexpr std::uint32_t spec_version = 2;
inline constexpr std::uint32_t spec_size_max = 256 * 1024;
inline constexpr std::uint32_t spec_strings_max = 4096;  ///< arguments and assignments, each
inline constexpr std::uint32_t spec_groups_max = 1024;
inline constexpr std::uint32_t spec_limits = 16;
inline constexpr std::uint32_t spec_streams_max = 64;  ///< the child's descriptors that a standard stream can be
inline constexpr std::uint32_t spec_mounts_max = 1024;
inline constexpr std::uint32_t spec_filters_max = 4;
inline constexpr std::uint32_t spec_filter_size_max = 4096;  ///< instructions of one filter: BPF_MAXINSNS

/// The steps between the keeper's clone and the service's first instruction, in their order. Why it is this one: executor.cpp.
enum class Step : std::uint32_t {
  None = 0,
  Clone,     ///< the keeper's: no process was made
  Executor,  ///< the executor itself could not be executed
  ReadSpec,
  EnterCgroup,
  Session,
  Nice,
  OomScore,
  CpuScheduling,
  IoScheduling,
  Stdio,
  Namespace,  ///< of mounts, with BindPaths= and BindReadOnlyPaths= in it
  RootDirectory,
  Limits,
  BoundingSet,
  Groups,
  Group,
  User,
  VerifyIds,  ///< the rights read back are not those that were set
  AmbientSet,
  UMask,
  WorkingDirectory,
  CloseDescriptors,
  SecureBits,
  NoNewPrivileges,
  SignalMask,
  SystemCallFilter,
  Exec,
  count_,
};

enum SpecFlags : std::uint32_t {
  spec_set_ids = 1,  ///< group, user and groups are to be set
  spec_no_new_privileges = 2,
  spec_ignore_sigpipe = 4,
  spec_has_nice = 8,
  spec_has_oom_score = 16,
  spec_cwd_may_fail = 32,  ///< WorkingDirectory=-…: then the root directory
  spec_gate = 64,  ///< the child's last descriptor ends with "x": the program was executed; with "xf" or nothing: not
  spec_has_cpu_scheduling = 128,
  spec_has_io_priority = 256,
  spec_has_bounding_set = 512,
  spec_has_ambient_set = 1024,
  spec_has_secure_bits = 2048,
  spec_watchdog_pid = 4096,      ///< WATCHDOG_PID= joins the environment
  spec_no_invocation_id = 8192,  ///< INVOCATION_ID= does not: the environment has its own, or must not have one
  spec_no_exec_pid = 16384,      ///< likewise SYSTEMD_EXEC_PID=
};
inline constexpr std::uint32_t spec_flags_known = 2 * spec_no_exec_pid - 1;

enum MountFlags : std::uint32_t {
  mount_read_only = 1,
  mount_recursive = 2,
  mount_may_be_missing = 4,  ///< its source
};
inline constexpr std::uint32_t mount_flags_known = 7;
/// One bind mount, as numbers of the spec's list.
struct SpecMount {
  std::uint32_t source, destination;  ///< offsets of paths; the destination is below the root directory
  std::uint32_t flags;
};
/// One filter of system calls: instructions of 8 bytes, as struct sock_filter.
struct SpecFilter {
  std::uint32_t instructions;  ///< their offset
  std::uint32_t count;
};

/// Standard streams: the index of the child's descriptor it is copied from; 0: /dev/null.
/// (0 can stand for nothing because the child's first descriptor is the spec itself.)
struct SpawnSpec {
  std::uint32_t magic = spec_magic;
  std::uint32_t version = spec_version;
  std::uint32_t size = 0;  ///< of the whole block
  std::uint32_t flags = 0;
  std::uint32_t user = 0;
  std::uint32_t group = 0;
  std::uint32_t groups = 0;  ///< offset of `group_count` numbers of 32 bits
  std::uint32_t group_count = 0;
  std::uint32_t program = 0;    ///< path to execute
  std::uint32_t arguments = 0;  ///< offset of `argument_count` offsets, argv[0] first
  std::uint32_t argument_count = 0;
  std::uint32_t environment = 0;  ///< offset of `environment_count` offsets of NAME=VALUE
  std::uint32_t environment_count = 0;
  std::uint32_t working_directory = 0;  ///< 0: /
  std::uint32_t umask = 0022;
  std::int32_t nice = 0;
  std::int32_t oom_score_adjust = 0;
  std::uint32_t stdin_index = 0;
  std::uint32_t stdout_index = 0;
  std::uint32_t stderr_index = 0;
  std::uint32_t limits_set = 0;      ///< bit n: limit n is to be set
  std::uint32_t root_directory = 0;  ///< 0: none
  std::uint32_t mounts = 0;          ///< offset of `mount_count` SpecMounts
  std::uint32_t mount_count = 0;
  std::uint32_t filters = 0;  ///< offset of `filter_count` SpecFilters
  std::uint32_t filter_count = 0;
  std::int32_t io_priority = 0;  ///< as ioprio_set(2) takes it
  std::int32_t cpu_policy = 0;   ///< as sched_setscheduler(2) takes it, with SCHED_RESET_ON_FORK
  std::int32_t cpu_priority = 0;
  std::uint32_t secure_bits = 0;
  std::uint64_t bounding_set = 0;  ///< bit n: capability n is kept
  std::uint64_t ambient_set = 0;
  struct Limit {
    std::uint64_t soft, hard;
  } limits[spec_limits]{};  ///< by RLIMIT_ number; a value above the hard limit in force is lowered to it
};
static_assert(sizeof(SpawnSpec) == 136 + 16 * spec_limits && std::is_trivially_copyable_v<SpawnSpec>);

/// The number of the child's first descriptor in the executor; the others follow it without a gap.
inline constexpr int child_fd_first = 16;
/// The descriptor that the executor tells a failure through: {step, errno}, 8 bytes at 8 × slot.
inline constexpr int failure_fd = 8;

struct Failure {
  std::uint32_t step;
  std::int32_t error;
};

/// Whether the block can be followed: sizes, offsets, terminators. The executor's check, and the fuzzer's target.
/// Requires: `bytes` aligned for a SpawnSpec. Ensures: every offset reached through it lies within `size` and every text ends
/// there.
constexpr bool is_sound(const SpawnSpec& spec, const char* bytes, std::size_t size) noexcept {
  if (size < sizeof(SpawnSpec) || size > spec_size_max) return false;
  if (spec.magic != spec_magic || spec.version != spec_version || spec.size != size) return false;
  if (bytes[size - 1] != '\0') return false;  // so every text ends within the block
  const auto is_text = [size](std::uint32_t offset) { return offset >= sizeof(SpawnSpec) && offset < size; };
  const auto is_list = [size](std::uint32_t offset, std::uint32_t count) {
    return count == 0 || (offset >= sizeof(SpawnSpec) && offset % 4 == 0 && offset <= size && count <= (size - offset) / 4);
  };
  if (spec.argument_count == 0 || spec.argument_count > spec_strings_max) return false;
  if (spec.environment_count > spec_strings_max || spec.group_count > spec_groups_max) return false;
  if (!is_list(spec.arguments, spec.argument_count) || !is_list(spec.environment, spec.environment_count)) return false;
  if (!is_list(spec.groups, spec.group_count)) return false;
  if (!is_text(spec.program) || (spec.working_directory != 0 && !is_text(spec.working_directory))) return false;
  if (spec.root_directory != 0 && !is_text(spec.root_directory)) return false;
  if ((spec.limits_set >> spec_limits) != 0 || (spec.flags & ~spec_flags_known) != 0) return false;
  if (spec.mount_count > spec_mounts_max || !is_list(spec.mounts, spec.mount_count * 3)) return false;
  if (spec.filter_count > spec_filters_max || !is_list(spec.filters, spec.filter_count * 2)) return false;
  const auto is_stream = [](std::uint32_t index) { return index < spec_streams_max; };
  if (!is_stream(spec.stdin_index) || !is_stream(spec.stdout_index) || !is_stream(spec.stderr_index)) return false;
  const auto number = [bytes](std::uint32_t list, std::uint32_t index) {
    std::uint32_t value = 0;
    for (unsigned b = 0; b < 4; ++b) {  // by bytes: the same in a constant expression and at run time
      value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[list + 4 * index + b])) << (8 * b);
    }
    return value;
  };
  const auto texts = [&number, &is_text](std::uint32_t list, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      if (!is_text(number(list, i))) return false;
    }
    return true;
  };
  for (std::uint32_t i = 0; i < spec.mount_count; ++i) {
    if (!is_text(number(spec.mounts, 3 * i)) || !is_text(number(spec.mounts, 3 * i + 1))) return false;
    if ((number(spec.mounts, 3 * i + 2) & ~mount_flags_known) != 0) return false;
  }
  for (std::uint32_t i = 0; i < spec.filter_count; ++i) {
    const std::uint32_t count = number(spec.filters, 2 * i + 1);
    if (count == 0 || count > spec_filter_size_max || !is_list(number(spec.filters, 2 * i), 2 * count)) return false;
  }
  return texts(spec.arguments, spec.argument_count) && texts(spec.environment, spec.environment_count);
}

/// "the working directory", …: what the step is about, in words; for every step (a static_assert sees to it).
const char* step_words(Step step) noexcept;
/// The exit code of systemd.exec(5) for a set-up that failed at `step`: 203 for Exec, 217 for User, …
constexpr int step_exit_code(Step step) noexcept {
  switch (step) {
    case Step::WorkingDirectory: return 200;
    case Step::Nice: return 201;
    case Step::CloseDescriptors: return 202;
    case Step::Exec: return 203;
    case Step::Limits: return 205;
    case Step::OomScore: return 206;
    case Step::SignalMask: return 207;
    case Step::Stdio: return 208;
    case Step::RootDirectory: return 210;
    case Step::IoScheduling: return 211;
    case Step::SecureBits: return 213;
    case Step::CpuScheduling: return 214;
    case Step::Groups:
    case Step::Group: return 216;
    case Step::User:
    case Step::VerifyIds: return 217;
    case Step::BoundingSet:
    case Step::AmbientSet: return 218;
    case Step::EnterCgroup: return 219;
    case Step::Session: return 220;
    case Step::Namespace: return 226;
    case Step::NoNewPrivileges: return 227;
    case Step::SystemCallFilter: return 228;
    case Step::None:
    case Step::Clone:
    case Step::Executor:
    case Step::ReadSpec:
    case Step::UMask:
    case Step::count_: break;
  }
  return 1;
}

/// Whether the step walks paths, which may be on a file system that never answers: then SIGALRM ends the executor after ten
/// seconds, and the slot holds the step with an error of 0.
constexpr bool can_time_out(Step step) noexcept {
  return step == Step::Namespace || step == Step::RootDirectory || step == Step::WorkingDirectory;
}

}  // namespace perdure::wire
