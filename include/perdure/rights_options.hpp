// Rights: what a daemon gives up, and shuts itself in with, as values. rights.hpp says in which order it is done, and proves it.
//
// A sandbox is a list of what no daemon of its kind does (docs/reference/rights.md has it as a table), not of what it may do: such
// a list breaks with the next C library.
// A header of its own because Options has a Rights, and RightsDrop needs <memory>, which would be a seventh of what run.hpp costs.
// Thread, fork and signal safety: plain values.
//
//     perdure::Options options{.name = "site", .rights = {.user = "www-data", .sandbox = perdure::Sandbox::NetworkServer}};
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/export.hpp"

namespace perdure {

/// A part of root's rights; the numbers are the kernel's. Source: capabilities(7).
enum class Capability : std::uint8_t {
  Chown,
  DacOverride,
  DacReadSearch,
  Fowner,
  Fsetid,
  Kill,
  Setgid,
  Setuid,
  Setpcap,
  LinuxImmutable,
  NetBindService,
  NetBroadcast,
  NetAdmin,
  NetRaw,
  IpcLock,
  IpcOwner,
  SysModule,
  SysRawio,
  SysChroot,
  SysPtrace,
  SysPacct,
  SysAdmin,
  SysBoot,
  SysNice,
  SysResource,
  SysTime,
  SysTtyConfig,
  Mknod,
  Lease,
  AuditWrite,
  AuditControl,
  Setfcap,
  MacOverride,
  MacAdmin,
  Syslog,
  WakeAlarm,
  BlockSuspend,
  AuditRead,
  Perfmon,
  Bpf,
  CheckpointRestore,
};

/// "CAP_NET_BIND_SERVICE".
PERDURE_EXPORT std::string_view capability_name(Capability capability) noexcept;
/// In any case, with or without CAP_; nothing else.
PERDURE_EXPORT std::optional<Capability> parse_capability(std::string_view name) noexcept;

/// What the process and all that it starts can no longer do, whoever they are.
enum class Sandbox : std::uint8_t {
  None,
  /// No kernel modules, mounts, namespaces, tracing, raw sockets, clocks, key rings; writing only where it keeps its files.
  /// Resolving names, threads, starting programs work.
  NetworkServer,
  /// The same, and it starts no programs: execve(2) is refused.
  SelfContained,
};
/// "NetworkServer".
PERDURE_EXPORT std::string_view sandbox_name(Sandbox sandbox) noexcept;

/// What a system call gets that the sandbox forbids.
enum class ForbiddenCall : std::uint8_t {
  Refused,  ///< it fails with EPERM
  Kills,    ///< the process ends with SIGSYS
};

/// What the process gets a copy of its own of. Source: namespaces(7).
struct Namespaces {
  bool mount = false;      ///< mounts made later are seen by nobody else; those of others still arrive
  bool network = false;    ///< no interface at all: sockets opened before go on working
  bool ipc = false;        ///< System V IPC and POSIX message queues
  bool host_name = false;  ///< UTS
};

/// For soft and hard limit, so that they cannot be raised again. Source: getrlimit(2).
struct ProcessLimits {
  std::optional<std::uint64_t> open_files{};           ///< RLIMIT_NOFILE
  std::optional<std::uint64_t> core_bytes{};           ///< RLIMIT_CORE
  std::optional<std::uint64_t> address_space_bytes{};  ///< RLIMIT_AS
  std::optional<std::uint64_t> processes{};            ///< RLIMIT_NPROC: of the user, not of this daemon; not for root
};

struct Rights {
  /// Name or number. "": stays who it is.
  std::string user{};
  /// Name or number. "": the user's own.
  std::string group{};
  /// An absolute path that becomes "/". Paths of log and PID file lie outside then, and can no longer be reopened or removed.
  std::string chroot{};
  /// Capabilities that stay. All others go, from the bounding set too, as soon as this, `user` or `sandbox` is set.
  std::vector<Capability> keep_caps{};
  /// Those that programs it starts have as well. They are kept, too.
  std::vector<Capability> ambient_caps{};
  /// execve(2) never gives more rights (set-user-ID, file capabilities). Implied by user, keep_caps and sandbox.
  bool no_new_privs = false;
  Sandbox sandbox = Sandbox::None;
  ForbiddenCall forbidden_calls = ForbiddenCall::Refused;
  /// Files and directories that a sandboxed daemon may write besides those it has anyway. What does not exist is left out.
  std::vector<std::string> writable{};
  ProcessLimits limits{};
  Namespaces namespaces{};
};

}  // namespace perdure
