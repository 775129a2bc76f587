// UnitSpec: everything a unit's files say, as values; load_unit() makes it out of their texts.
//
// The texts come in the order in which they count: the unit's own file first, then its drop-ins. An empty assignment takes back
// what earlier ones gave, where systemd 252 does so. Every fault is a diagnostic with file and line; where one makes it unsafe or
// wrong to start the unit, is_startable is false. What the unit asks for and this version does not do is in `directives` and
// said as a warning (support.hpp).
// Left out: finding files (supervisor/unit_files.hpp), users and paths (the shell asks the machine), $VAR (command_line.hpp).
// Durations are at most span_max, so that adding one to an instant cannot overflow; "infinity" is std::nullopt where it can
// be said, else span_max.
// Thread and fork safety: plain values, pure functions. Signal safety: none.
//
//     const config::Parsed<UnitSpec> web = load_unit(name, sources, machine);
//     for (const Diagnostic& d : web.diagnostics) say(d.text());
//     if (!web.value.is_startable) return;
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "config/parsed.hpp"
#include "unit/command_line.hpp"
#include "unit/specifiers.hpp"
#include "unit/support.hpp"
#include "unit/unit_name.hpp"

namespace perdure::unit {

inline constexpr base::Duration span_max = std::chrono::hours{24 * 36'525};  // 100 years
inline constexpr std::size_t dependencies_max = 4096;                        // of one kind
inline constexpr std::size_t environment_bytes_max = std::size_t{1} << 20;

/// One text: a fragment or a drop-in.
struct UnitSource {
  std::string path{};
  std::string text{};
};

/// Type=, Restart=, KillMode=: the words of systemd.service(5) and systemd.kill(5).
enum class ServiceType : std::uint8_t { Simple, Exec, Forking, Oneshot, Dbus, Notify, Idle };
enum class RestartWhen : std::uint8_t { No, OnSuccess, OnFailure, OnAbnormal, OnWatchdog, OnAbort, Always };
enum class KillMode : std::uint8_t { ControlGroup, Mixed, Process, None };
/// As written in unit files: "simple", "on-failure", "control-group".
std::string_view word_of(ServiceType type) noexcept;
std::string_view word_of(RestartWhen when) noexcept;
std::string_view word_of(KillMode mode) noexcept;

struct StatusSet {
  std::vector<std::uint8_t> codes{};  ///< exit codes, ascending, each once
  std::vector<int> signals{};         ///< numbers of signals, ascending, each once
};

/// In the order of Linux's RLIMIT_ numbers (RLIMIT_CPU is 0): the executor has a static_assert of it.
enum class Limit : std::uint8_t {
  Cpu,
  FileSize,
  Data,
  Stack,
  Core,
  Rss,
  Processes,
  OpenFiles,
  LockedMemory,
  AddressSpace,
  Locks,
  PendingSignals,
  MessageQueues,
  Nice,
  RealTimePriority,
  RealTimeTime,
};
inline constexpr std::size_t limit_count = 16;
inline constexpr std::uint64_t limit_infinity = std::numeric_limits<std::uint64_t>::max();  // as RLIM_INFINITY
struct LimitValue {
  std::uint64_t soft = limit_infinity;
  std::uint64_t hard = limit_infinity;
  friend bool operator==(const LimitValue&, const LimitValue&) = default;
};

enum class InputKind : std::uint8_t { Null, File };
struct Input {
  InputKind kind = InputKind::Null;
  std::string path{};  ///< of File
  friend bool operator==(const Input&, const Input&) = default;
};
enum class OutputKind : std::uint8_t {
  Inherit,  ///< stdout: stdin's file, or the log where stdin is null; stderr: stdout's file
  Null,
  Journal,   ///< the unit's log
  File,      ///< file:PATH, opened at its beginning, kept as long as it is
  Append,    ///< append:PATH
  Truncate,  ///< truncate:PATH
};
struct Output {
  OutputKind kind = OutputKind::Journal;
  std::string path{};  ///< of File, Append and Truncate
  friend bool operator==(const Output&, const Output&) = default;
};

struct WorkingDirectory {
  std::string path{};            ///< empty: "/", for a user's manager the home directory
  bool is_home = false;          ///< "~": the home directory of User=
  bool ignores_missing = false;  ///< "-"
};

struct ServiceSpec {
  ServiceType type = ServiceType::Simple;
  std::vector<ExecCommand> exec_start{};  ///< exactly one where is_startable and the unit is a service

  RestartWhen restart = RestartWhen::No;
  base::Duration restart_sec = std::chrono::milliseconds{100};
  std::optional<base::Duration> timeout_start = std::chrono::seconds{90};  ///< nullopt: infinity
  std::optional<base::Duration> timeout_stop = std::chrono::seconds{90};   ///< nullopt: infinity
  /// An interval or a burst of 0 switches the limit off.
  base::Duration start_limit_interval = std::chrono::seconds{10};
  std::uint32_t start_limit_burst = 5;
  KillMode kill_mode = KillMode::ControlGroup;
  int kill_signal = 15;
  bool send_sigkill = true;
  StatusSet success_status{};
  StatusSet restart_prevent_status{};
  StatusSet restart_force_status{};

  std::string user{};   ///< a name or a uid; empty: not set
  std::string group{};  ///< a name or a gid; empty: not set
  std::vector<std::string> supplementary_groups{};
  bool no_new_privileges = false;
  WorkingDirectory working_directory{};
  std::vector<std::string> environment{};  ///< NAME=VALUE, each name once, the last assignment of it
  std::uint32_t umask = 0022;
  std::optional<int> nice{};
  std::optional<int> oom_score_adjust{};
  std::array<std::optional<LimitValue>, limit_count> limits{};  ///< indexed by Limit
  Input standard_input{};
  Output standard_output{};
  Output standard_error{.kind = OutputKind::Inherit};
  bool ignore_sigpipe = true;
};

/// What became of one directive that the unit sets: the last place of it that counts.
struct DirectiveUse {
  std::string section{};
  std::string name{};
  Outcome outcome = Outcome::Enforced;
  std::string note{};
  std::string source{};
  int line = 0;
};

struct UnitSpec {
  UnitName name;
  std::string source_path{};  ///< of the first source; empty where there is none
  std::string description{};  ///< empty: not set
  std::vector<std::string> documentation{};
  /// Names of units, each once, in the order of the files.
  std::vector<UnitName> wants{};  ///< then those of requires_: in this version they are wanted, no more
  std::vector<UnitName> requires_{};
  std::vector<UnitName> after{};
  std::vector<UnitName> before{};
  bool has_install_section = false;
  ServiceSpec service{};  ///< meaningful for services only
  std::vector<DirectiveUse> directives{};
  /// No diagnostic is an error. A unit that is not is kept for `status` and `verify`.
  bool is_startable = false;
};

/// What becomes of a unit whose sandboxing is not complete: --isolation=, Isolation= in [X-Perdure] (which wins).
enum class Isolation : std::uint8_t { AsSystemd, Strict };

/// Ensures: a value, whatever the texts are; its is_startable is false exactly where a diagnostic is an error.
config::Parsed<UnitSpec> load_unit(const UnitName& name, std::span<const UnitSource> sources, const Specifiers& machine,
                                   Isolation isolation = Isolation::AsSystemd);

}  // namespace perdure::unit
