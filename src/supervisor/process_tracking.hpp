// ProcessTracking: which processes belong to a run, and how to reach all of them.
//
// With a writable cgroup v2 every run has a leaf of its own, entered at birth, so that no process can leave it; where root can
// mount one, a named cgroup v1 hierarchy of ours serves instead (no kill in one stroke, no notice when it is empty). Else it is
// best effort: descendants, sessions and INVOCATION_ID; `status` says so, and a process that matches no run is never signalled.
// The instance's directory is below the cgroup of whoever started it, or at the given root, named after the runtime directory,
// so that a successor finds it. Keeper and manager have a leaf of their own there: nothing that stops a service reaches them.
// Left out: deciding whom to signal (core), pids of main processes (the keeper's table).
// Thread safety: one thread. Fork: a child leaves it alone. Signal safety: none.
//
//     PERDURE_TRY(ProcessTracking tracking, ProcessTracking::open({.instance = "perdure-1a2b", .keeper = keeper_pid}));
//     PERDURE_TRY(Birthplace place, tracking.prepare(run));           // hand place.fd to the keeper
//     if (tracking.is_empty(run)) tracking.remove(run);
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

enum class TrackingKind : std::uint8_t { CgroupV2, CgroupV1, BestEffort };
/// "cgroup v2", "cgroup v1", "best effort"
std::string_view word_of(TrackingKind kind) noexcept;

struct TrackingOptions {
  std::string cgroup_root{};  ///< absolute; empty: below our own cgroup
  std::string instance{};     ///< a directory name
  std::string runtime_dir{};  ///< where a cgroup v1 hierarchy may be mounted
  pid_t keeper = 0;
};

/// How many processes the kernel has ended for want of memory since the machine was started. Nothing before Linux 4.13.
std::optional<std::uint64_t> machine_oom_kills();

/// Whether the process is writing its core: it has been killed, and has not ended (Linux 4.15).
bool is_dumping_core(pid_t pid);

/// What names a run's processes.
struct RunProcesses {
  std::string_view leaf{};  ///< leaf_name()
  pid_t main = 0;           ///< 0: none known. Best effort only
  std::array<std::uint8_t, 16> invocation{};
  int main_pidfd = -1;  ///< of main; -1: none
};

struct NamedProcess {
  pid_t pid = 0;
  std::string name{};  ///< comm of proc_pid_comm(5), escaped
};

/// Where a process of a run is to be born.
struct Birthplace {
  UniqueFd fd{};                  ///< none: nowhere special
  bool enters_by_itself = false;  ///< `fd` is a cgroup.procs for the child to write to, else a directory for clone3
};

class ProcessTracking {
 public:
  /// Finds what there is, makes the instance's directory, and moves keeper and manager into their leaf. Never fails: in the
  /// worst case it is best effort, and notes() says why.
  static ProcessTracking open(const TrackingOptions& options);

  [[nodiscard]] TrackingKind kind() const noexcept { return kind_; }
  /// What an administrator should know, one line each.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
  /// Below the cgroup root ("/user.slice/perdure-1a2b"); empty where there is none.
  [[nodiscard]] const std::string& path() const noexcept { return shown_path_; }

  /// "web.service#12": of one run among all that are alive at the same time.
  static std::string leaf_name(std::string_view unit, std::uint64_t run);
  /// Whether clone3(CLONE_INTO_CGROUP) has been found not to work here: children enter by themselves from now on.
  void enter_by_procs() noexcept { birth_by_procs_ = true; }
  [[nodiscard]] bool enters_by_procs() const noexcept { return birth_by_procs_ || kind_ == TrackingKind::CgroupV1; }

  /// Makes the leaf. A leaf that is there already (from before a recovery) is used.
  Result<Birthplace> prepare(std::string_view leaf);
  /// Whether no process of the run is left. Cheap for cgroup v2, a look through /proc for best effort.
  [[nodiscard]] bool is_empty(const RunProcesses& run) const;
  /// Best effort: what was found in /proc is found anew. Call once per round of the loop.
  void look_again() const;
  /// The same where something has changed since: who ends may have left others, just before.
  void look_again_after(base::Instant change) const;
  /// Signals every process of the run, those included that appear meanwhile. Returns how many were signalled.
  std::size_t signal_all(const RunProcesses& run, int signal) const;
  /// SIGKILL to all at once.
  std::size_t kill_all(const RunProcesses& run) const;
  /// The run's processes as a person knows them, `most` at most.
  [[nodiscard]] std::vector<NamedProcess> named(const RunProcesses& run, std::size_t most) const;
  /// Whether the process is one of the run's.
  [[nodiscard]] bool contains(const RunProcesses& run, pid_t pid) const;
  /// The process of the run that leads a session, as every main process does at first, or is about to; 0: none.
  [[nodiscard]] pid_t leader(const RunProcesses& run) const;
  /// The one process of the run whose parent is `parent`; 0: there is none, or there are several.
  [[nodiscard]] pid_t only_child_of(const RunProcesses& run, pid_t parent) const;
  /// The leaf that a process is in; empty: none of ours. Nothing where nobody can tell (best effort): ask contains().
  /// `pidfd`, where there is one, tells it also of a process that has ended (cgroup v2, Linux 6.15), and never of another with its
  /// number.
  [[nodiscard]] std::optional<std::string> leaf_of(pid_t pid, int pidfd = -1) const;
  /// Whether there was ever a process in the leaf. False also where nobody can tell (all but cgroup v2).
  [[nodiscard]] bool was_used(std::string_view leaf) const;
  /// How many processes of the leaf the kernel has ended for want of memory. Nothing where nobody counts (only cgroup v2 with the
  /// controller `memory`, Linux 4.13).
  [[nodiscard]] std::optional<std::uint64_t> oom_kills(std::string_view leaf) const;
  /// Removes an empty leaf. False: it is not possible yet; try again later.
  bool remove(std::string_view leaf) const;
  /// Leaves of the instance that exist: after a recovery, to find those nobody wants any more.
  [[nodiscard]] std::vector<std::string> leaves() const;
  /// Removes the instance's directory, after everything has stopped.
  void close_down();
  /// Somebody may have frozen the leaf: who is born into it holds up the keeper until it is thawed.
  void thaw(std::string_view leaf) const;

  // Being told that a leaf has become empty: an inotify descriptor; for kinds without it, fd() is -1 and is_empty() is asked again.
  [[nodiscard]] int fd() const noexcept { return inotify_.get(); }
  /// A number for the leaf that events() gives back; -1: it cannot be watched, ask again.
  int watch(std::string_view leaf);
  void unwatch(int watch);
  /// The leaves that something happened to.
  [[nodiscard]] std::vector<int> events() const;

 private:
  ProcessTracking() = default;
  bool open_cgroup2(const TrackingOptions& options);
  bool open_cgroup1(const TrackingOptions& options);
  bool use_directory(const std::string& base, const TrackingOptions& options);
  struct Snapshot;
  [[nodiscard]] const Snapshot& snapshot() const;
  [[nodiscard]] std::vector<pid_t> members(const RunProcesses& run) const;
  void drop_hierarchy();
  [[nodiscard]] std::optional<std::string> leaf_with_id(std::uint64_t id) const;
  [[nodiscard]] bool still_belongs(const RunProcesses& run, pid_t pid) const;

  std::string instance_{};  ///< of cgroup v1: the name of the hierarchy
  TrackingKind kind_ = TrackingKind::BestEffort;
  std::string path_{};  ///< of the instance's directory in the file system
  std::string shown_path_{};
  std::string own_leaf_{};
  mutable std::shared_ptr<Snapshot> snapshot_{};
  mutable std::map<pid_t, base::Instant> nameless_{};  ///< in the middle of an exec, and since when they were seen so
  mutable bool has_nameless_ = false;
  UniqueFd directory_{};
  UniqueFd inotify_{};
  pid_t keeper_ = 0;
  bool birth_by_procs_ = false;
  std::vector<std::string> notes_{};
};

}  // namespace perdure::supervisor
