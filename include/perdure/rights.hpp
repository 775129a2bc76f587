// Rights: giving up what a daemon does not need, in the one order that works, and proving that it is gone.
//
// A daemon that starts as root to open a port or a log becomes somebody else before it reads the first byte of a stranger's:
// limits, namespaces, chroot, capabilities, groups, group, user; then it tries to get them back and refuses to go on when that
// succeeds; then no_new_privs, Landlock and a seccomp filter, which children inherit. `Options::rights` does it at the right
// moment of a start; RightsDrop is for programs without run().
// A sandbox is a list of what no daemon of its kind does (docs/reference/rights.md has it as a table), not of what it may do: such
// a list breaks with the next C library. A kernel that has no Landlock or no seccomp is told of, not refused: see RightsReport.
// Left out: SELinux and AppArmor (packaging/apparmor has a profile), cgroups (the init's), switching back.
// Thread safety: none; carry_out() requires that the process has one thread. Fork: a value. Signal safety: none.
//
//     auto drop = perdure::RightsDrop::prepare({.user = "www-data", .sandbox = perdure::Sandbox::NetworkServer});
//     if (!drop) { fmt::print(stderr, "{}\n", drop.error().message()); return drop.error().exit_code(); }
//     … bind port 80, open the log …
//     auto report = drop->carry_out({"/var/lib/site"});         // on failure: end the process, it is neither root nor safe
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

namespace rights {
struct Identity;
}

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

/// Why rights cannot be given up as wanted; known before anything was done.
class PERDURE_EXPORT RightsError : public Error {
 public:
  RightsError(Error error, int exit_code) : Error(std::move(error)), exit_code_(exit_code) {}
  /// 78: no such user or group; 77: this process may not. See exit_code.hpp.
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// What became of it.
struct RightsReport {
  /// "user nobody, no capabilities, NetworkServer (Landlock ABI 7, seccomp)".
  std::string summary{};
  /// What the kernel could not do, one sentence each.
  std::vector<std::string> reductions{};
};

class PERDURE_EXPORT RightsDrop {
 public:
  /// Looks up user and groups, and whether this process may do what is wanted. Changes nothing.
  static Result<RightsDrop, RightsError> prepare(const Rights& wanted);

  /// For a process that may start with rights already given up, as the successor in an upgrade does. One that is the wanted user
  /// and has a filter where a sandbox is wanted gives up nothing again (Landlock takes sixteen layers, an upgrade would add one):
  /// carry_out() only reports. Any other is prepare()d.
  static Result<RightsDrop, RightsError> prepare_successor(const Rights& wanted);

  /// False where nothing is asked for: carry_out() would do nothing.
  [[nodiscard]] bool is_asked_for() const noexcept;
  /// The user to become, where that is somebody else than now.
  [[nodiscard]] std::optional<uid_t> new_user() const noexcept;

  /// Makes `directory` (not its parents) for the user to become, mode 0755, if it is missing; true if it was.
  /// Without new_user(): does nothing.
  Result<bool> make_directory(const std::string& directory) const;
  /// Gives the file or socket that this process just made to the user to become. What is not ours, a link, or has a second name
  /// stays as it is. Without new_user(): does nothing.
  Result<void> give(const std::string& path) const;

  /// All of it, in order. `writable`: where a sandboxed process may write, besides Rights::writable and /dev/null and its kind.
  /// On failure: a part may have been done; the process must end.
  Result<RightsReport> carry_out(const std::vector<std::string>& writable) const;

 private:
  RightsDrop() = default;
  [[nodiscard]] bool reduces_capabilities() const noexcept;
  [[nodiscard]] std::uint64_t kept() const noexcept;

  Rights wanted_;
  bool is_inherited_ = false;
  std::shared_ptr<const rights::Identity> identity_;  ///< where a user or a group is named
};

}  // namespace perdure
