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
#include <utility>
#include <vector>

#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/rights_options.hpp"  // IWYU pragma: export

namespace perdure {

namespace rights {
struct Identity;
}

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
