// ManagerKiller: a keeper's managers, each killed at a chosen instant of its life: at its n-th stop at a system call, or after a time.
//
// It traces the keeper (ptrace(2)) and so meets every child before its first instruction: a manager is led to its end, an
// executor is let go at once. The pause that a keeper makes after many deaths is not waited for: while there is no manager, the
// keeper sees its clock jump over it. Everything else is as without a tracer.
// While it lives, the keeper waits for us at times: ask the manager nothing then.
// Left out: who is the keeper. Thread safety: one thread, always the same. Blocks SIGCHLD in it. Fork and signal safety: none.
//
//     ManagerKiller killer{instance.keeper(), manager_pid};
//     killer.kill_at_stop(17);
//     killer.kill_after(3ms);
//     killer.let_live();
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <set>

namespace supervisor_test {

class ManagerKiller {
 public:
  using Clock = std::chrono::steady_clock;

  /// Begins to trace the keeper. `manager` is the one that lives now. Throws std::system_error where tracing is not allowed.
  ManagerKiller(pid_t keeper, pid_t manager);
  /// Lets everything go on as it is.
  ~ManagerKiller();
  ManagerKiller(const ManagerKiller&) = delete;
  ManagerKiller& operator=(const ManagerKiller&) = delete;

  /// Waits for the next manager and kills it at its n-th stop: odd ones before a system call, even ones after it. 0: as it is born.
  void kill_at_stop(unsigned n);
  /// Waits for the next manager and kills it when it has lived for so long.
  void kill_after(Clock::duration life);
  /// Waits for the next manager and lets it go, and the keeper.
  void let_live();
  /// Stops of the longest life so far.
  [[nodiscard]] unsigned stops_max() const { return stops_max_; }
  /// Managers that ended otherwise than by our SIGKILL.
  [[nodiscard]] unsigned own_ends() const { return own_ends_; }

 private:
  /// Until `condition` holds; throws at the hang limit, returns false where `end` comes first.
  bool pump(const std::function<bool()>& condition, Clock::time_point end = Clock::time_point::max());
  void take(pid_t pid, int status);
  void take_keeper(int status);
  void take_child(pid_t pid, int status);
  void born(pid_t pid);
  void jump_over_pauses();
  void bear();
  void kill_present();
  void resume(pid_t pid, int request, int signal = 0);
  void interrupt_keeper();

  enum class Present {
    None,       ///< dead, and the keeper knows
    Untraced,   ///< it was there before us
    Born,       ///< stopped at its first instruction
    Running,    ///< traced, without stops
    Stepping,   ///< traced, with stops
    StoppedAt,  ///< at the stop that was asked for
  };

  pid_t keeper_;
  pid_t manager_;
  Present present_ = Present::Untraced;
  bool keeper_traced_ = false;
  bool keeper_is_to_stop_ = false;
  bool keeper_jumps_ = false;  ///< its clock, while there is no manager
  std::int64_t jumped_ns_ = 0;
  std::uint64_t entered_call_ = 0;  ///< the system call that the keeper is in, while it jumps
  std::uint64_t entered_arguments_[3]{};
  unsigned stops_ = 0;
  unsigned stops_wanted_ = 0;
  unsigned stops_max_ = 0;
  unsigned own_ends_ = 0;
  std::set<pid_t> unborn_{};  ///< children that have not executed their program yet
  std::set<pid_t> early_{};   ///< born, and the keeper's stop for having made them is not taken yet
  sigset_t before_{};
};

}  // namespace supervisor_test
