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
inline constexpr std::uint32_t spec_version = 1;
inline constexpr std::uint32_t spec_size_max = 256 * 1024;
inline constexpr std::uint32_t spec_strings_max = 4096;  ///< arguments and assignments, each
inline constexpr std::uint32_t spec_groups_max = 1024;
inline constexpr std::uint32_t spec_limits = 16;
inline constexpr std::uint32_t spec_streams_max = 64;    ///< the child's descriptors that a standard stream can be

/// The steps between the keeper's clone and the service's first instruction, in their order.
enum class Step : std::uint32_t {
  None = 0,
  Clone,     ///< the keeper's: no process was made
  Executor,  ///< the executor itself could not be executed
  ReadSpec,
  EnterCgroup,
  Session,
  SignalMask,
  Nice,
  OomScore,
  Stdio,
  Limits,
  Groups,
  Group,
  User,
  VerifyIds,  ///< the rights read back are not those that were set
  NoNewPrivileges,
  UMask,
  WorkingDirectory,
  CloseDescriptors,
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
  spec_gate = 64,          ///< the child's last descriptor ends with "x": the program was executed; with "xf" or nothing: not
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
  std::uint32_t limits_set = 0;  ///< bit n: limit n is to be set
  std::uint32_t reserved = 0;
  struct Limit {
    std::uint64_t soft, hard;
  } limits[spec_limits]{};  ///< by RLIMIT_ number; a value above the hard limit in force is lowered to it
};
static_assert(sizeof(SpawnSpec) == 88 + 16 * spec_limits && std::is_trivially_copyable_v<SpawnSpec>);

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
  if ((spec.limits_set >> spec_limits) != 0) return false;
  const auto is_stream = [](std::uint32_t index) { return index < spec_streams_max; };
  if (!is_stream(spec.stdin_index) || !is_stream(spec.stdout_index) || !is_stream(spec.stderr_index)) return false;
  const auto texts = [bytes, &is_text](std::uint32_t offset, std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      std::uint32_t text = 0;
      for (unsigned b = 0; b < 4; ++b) {  // by bytes: the same in a constant expression and at run time
        text |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[offset + 4 * i + b])) << (8 * b);
      }
      if (!is_text(text)) return false;
    }
    return true;
  };
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
    case Step::Groups:
    case Step::Group: return 216;
    case Step::User:
    case Step::VerifyIds: return 217;
    case Step::EnterCgroup: return 219;
    case Step::Session: return 220;
    case Step::NoNewPrivileges: return 227;
    case Step::None:
    case Step::Clone:
    case Step::Executor:
    case Step::ReadSpec:
    case Step::UMask:
    case Step::count_: break;
  }
  return 1;
}

}  // namespace perdure::wire
