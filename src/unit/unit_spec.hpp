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
inline constexpr std::size_t list_entries_max = 1024;  // of other lists: directories, bind mounts, environment files

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

/// NotifyAccess=: whose messages to $NOTIFY_SOCKET are heard.
enum class NotifyAccess : std::uint8_t { None, Main, Exec, All };

/// EnvironmentFile=: read right before each command.
struct EnvironmentFile {
  std::string path{};            ///< absolute; may be a pattern of glob(7)
  bool ignores_missing = false;  ///< "-"
  friend bool operator==(const EnvironmentFile&, const EnvironmentFile&) = default;
};

/// RuntimeDirectory= and its relatives: made before the start, below the place for their kind, given to User=.
enum class DirectoryKind : std::uint8_t { Runtime, State, Cache, Logs, Configuration };
inline constexpr std::size_t directory_kind_count = 5;
struct DirectoryLink {
  std::string path{};       ///< of the symbolic link, relative to the place for the kind
  std::string directory{};  ///< one of the names
  friend bool operator==(const DirectoryLink&, const DirectoryLink&) = default;
};
struct ManagedDirectories {
  std::vector<std::string> names{};  ///< relative, without "." and ".." parts, each once
  std::uint32_t mode = 0755;
  std::vector<DirectoryLink> links{};  ///< "NAME:LINK"; none of Configuration
};
/// RuntimeDirectoryPreserve=
enum class Preserve : std::uint8_t { No, Restart, Yes };

/// BindPaths= and BindReadOnlyPaths=.
struct BindMount {
  std::string source{};
  std::string destination{};
  bool is_read_only = false;
  bool is_recursive = true;      ///< ":rbind", the default; false: ":norbind"
  bool ignores_missing = false;  ///< "-"
  friend bool operator==(const BindMount&, const BindMount&) = default;
};

/// SystemCallFilter=. In an allow list, a rule with an error is a system call that is refused with it, and the others pass.
struct SystemCallRule {
  std::string name{};    ///< of a system call; groups are resolved
  int error = -1;        ///< -1: none of its own; else the errno to answer, 0: kill
  bool is_named = true;  ///< by the unit; else only a group of systemd's has it
  friend bool operator==(const SystemCallRule&, const SystemCallRule&) = default;
};
struct SystemCallFilter {
  bool is_allow_list = false;           ///< only these pass, @default among them; else all but these
  std::vector<SystemCallRule> rules{};  ///< sorted by name, each once
  int error = 0;                        ///< SystemCallErrorNumber=; 0: kill
  /// SystemCallArchitectures=: "native", "x86-64", …; empty: not set
  std::vector<std::string> architectures{};
};

/// IOSchedulingClass= and IOSchedulingPriority=, as ioprio_set(2) counts them.
struct IoScheduling {
  int io_class = 2;  ///< 0 none, 1 realtime, 2 best effort, 3 idle
  int priority = 4;  ///< 0 … 7
};
/// CPUSchedulingPolicy= and its relatives, as sched_setscheduler(2) counts them.
struct CpuScheduling {
  int policy = 0;  ///< SCHED_OTHER 0, FIFO 1, RR 2, BATCH 3, IDLE 5
  int priority = 0;
  bool resets_on_fork = false;
};

/// StartLimitAction= and its relatives: what happens to the instance.
enum class EmergencyAction : std::uint8_t { None, Exit, ExitForce };

struct ServiceSpec {
  ServiceType type = ServiceType::Simple;
  std::vector<ExecCommand> exec_condition{};
  std::vector<ExecCommand> exec_start_pre{};
  std::vector<ExecCommand> exec_start{};  ///< exactly one, but for oneshot: any number
  std::vector<ExecCommand> exec_start_post{};
  std::vector<ExecCommand> exec_reload{};
  std::vector<ExecCommand> exec_stop{};
  std::vector<ExecCommand> exec_stop_post{};
  bool remain_after_exit = false;
  bool guess_main_pid = true;
  std::string pid_file{};  ///< absolute; empty: not set
  NotifyAccess notify_access = NotifyAccess::None;
  std::optional<base::Duration> watchdog{};  ///< WatchdogSec=; none: off
  int watchdog_signal = 6;
  std::optional<int> restart_kill_signal{};
  bool send_sighup = false;
  int final_kill_signal = 9;
  std::optional<base::Duration> timeout_abort{};  ///< TimeoutAbortSec= where has_timeout_abort; nullopt: infinity
  bool has_timeout_abort = false;                 ///< false: as timeout_stop
  std::optional<base::Duration> runtime_max{};    ///< nullopt: infinity
  EmergencyAction start_limit_action = EmergencyAction::None;

  RestartWhen restart = RestartWhen::No;
  base::Duration restart_sec = std::chrono::milliseconds{100};
  bool has_restart_sec = false;  ///< RestartSec= is set: the pause is constant; else it grows from restart_sec
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
  std::string root_directory{};            ///< absolute; empty: not set
  std::vector<std::string> environment{};  ///< NAME=VALUE, each name once, the last assignment of it
  std::vector<EnvironmentFile> environment_files{};
  std::vector<std::string> pass_environment{};   ///< names
  std::vector<std::string> unset_environment{};  ///< names or NAME=VALUE
  std::uint32_t umask = 0022;
  std::optional<int> nice{};
  std::optional<int> oom_score_adjust{};
  std::array<std::optional<LimitValue>, limit_count> limits{};  ///< indexed by Limit
  Input standard_input{};
  Output standard_output{};
  Output standard_error{.kind = OutputKind::Inherit};
  bool ignore_sigpipe = true;
  std::string syslog_identifier{};  ///< empty: the name of the program
  bool syslog_level_prefix = true;
  std::optional<IoScheduling> io_scheduling{};
  std::optional<CpuScheduling> cpu_scheduling{};
  std::array<ManagedDirectories, directory_kind_count> directories{};  ///< indexed by DirectoryKind
  Preserve runtime_directory_preserve = Preserve::No;
  std::optional<std::uint64_t> capability_bounding_set{};  ///< bit n: capability n is kept
  std::uint64_t ambient_capabilities = 0;
  std::uint32_t secure_bits = 0;  ///< as PR_SET_SECUREBITS takes them
  std::optional<SystemCallFilter> system_call_filter{};
  std::vector<BindMount> bind_mounts{};
};

/// Condition…= and Assert…=: a question about the machine, asked right before each start.
struct Condition {
  std::string kind{};      ///< "PathExists", "User": the name of the directive without its first word
  std::string argument{};  ///< specifiers resolved, without "|" and "!"
  bool is_negated = false;
  bool is_trigger = false;  ///< "|": one of these has to hold, if there are any
  bool is_assert = false;   ///< its failure is one of the unit; a condition's only keeps it from starting
  friend bool operator==(const Condition&, const Condition&) = default;
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
  std::string description{};  ///< empty: not set; a special target has one of its own
  std::vector<std::string> documentation{};
  /// Names of units, each once, in the order of the files.
  std::vector<UnitName> wants{};
  std::vector<UnitName> requires_{};
  std::vector<UnitName> requisite{};
  std::vector<UnitName> binds_to{};
  std::vector<UnitName> part_of{};
  std::vector<UnitName> upholds{};
  std::vector<UnitName> conflicts{};
  std::vector<UnitName> after{};
  std::vector<UnitName> before{};
  /// Those of a target's `after` that no file names: it comes after what it pulls in. See settle_default_order().
  std::vector<UnitName> default_after{};
  std::vector<UnitName> on_failure{};
  std::vector<UnitName> on_success{};
  std::vector<UnitName> propagates_reload_to{};
  std::vector<UnitName> reload_propagated_from{};
  bool default_dependencies = true;  ///< the dependencies that follow from it are in the lists above
  bool refuses_manual_start = false;
  bool refuses_manual_stop = false;
  bool is_essential = false;  ///< Essential= in [X-Perdure]: its end ends the instance
  std::vector<Condition> conditions{};
  bool has_install_section = false;
  std::vector<UnitName> wanted_by{};  ///< [Install], as the four below
  std::vector<UnitName> required_by{};
  std::vector<UnitName> also{};
  std::vector<UnitName> aliases{};
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

/// A target is after each unit that it pulls in, unless that one has DefaultDependencies=no or is itself after the target: this
/// takes such an order back. Requires: `member` is loaded. For every pair of a target and a unit in its default_after.
void settle_default_order(UnitSpec& target, const UnitSpec& member);

}  // namespace perdure::unit
