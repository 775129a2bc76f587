// supervise(): a worker process that is started again when it fails, with this process as its parent.
//
// The parent forks the worker (no exec: the body is a function), waits for it, forwards TERM, INT, HUP, USR1 and USR2 to it,
// restarts it as the policy says, and kills it when it outlives the stop budget. The parent needs no descriptor of its own
// and sleeps in one system call while nothing happens.
// Under an init that listens (NOTIFY_SOCKET) it needs three, and speaks for the worker: that gets a notify socket and the
// watchdog's variables of its own, and of its messages READY=1, RELOADING=1, STATUS, WATCHDOG=1 and EXTEND_TIMEOUT_USEC go on to
// the init; MAINPID, descriptors and all others do not. STOPPING=1 is the parent's, when it is asked to stop; between two workers
// it says so in STATUS. The init's watchdog hears the worker's own pings only, once it has said READY=1 or WATCHDOG=1.
// Requires one thread. Call it after detach(). Not thread-safe, not signal-safe; the parent's mask and dispositions are
// changed while it runs and put back when it returns.
//
//     int code = perdure::supervise({.restart = {.delay = 1s, .give_up_after = 5, .within = 60s}},
//                                   [](const perdure::WorkerStart&) { return run_worker(); }).exit_code();
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>

#include "perdure/exit_status.hpp"
#include "perdure/export.hpp"
#include "perdure/restart.hpp"
#include "perdure/result.hpp"

namespace perdure {

/// What the worker is told about itself. Times are of the system clock.
struct WorkerStart {
  pid_t parent = 0;                                    ///< the supervising parent
  std::chrono::system_clock::time_point parent_start;  ///< when supervise() was entered
  std::chrono::system_clock::time_point worker_start;  ///< when this worker was forked
  unsigned restarts = 0;                               ///< how many workers there were before this one
};

/// What happened, told to `on_event` in the parent.
struct WorkerEvent {
  enum class Kind { Started, Exited, Restarting, GaveUp, KilledAtStop } kind;
  pid_t worker = 0;
  ExitStatus status;  ///< of Exited, GaveUp and KilledAtStop
  unsigned restarts = 0;
  std::chrono::milliseconds delay{0};  ///< of Restarting: the pause before the next start
};

struct SuperviseOptions {
  RestartPolicy restart{};
  /// Whether ends by SIGKILL count towards restart.give_up_after. SIGKILL is somebody else's decision (an operator, the OOM
  /// killer), so a program that is shot again and again is not thereby shown to be broken.
  bool count_kills = true;
  /// From the first TERM or INT to SIGKILL for the worker.
  std::chrono::milliseconds stop_within{5000};
  /// Under an init with a watchdog: for how long the parent pings for a worker that has said neither READY=1 nor WATCHDOG=1 yet.
  std::chrono::milliseconds start_within{90'000};
  /// Called in the parent, between system calls, never in a signal handler. May be empty. An exception ends the process
  /// (std::terminate).
  std::function<void(const WorkerEvent&)> on_event{};
};

struct Supervised {
  ExitStatus status;            ///< of the last worker
  bool stop_requested = false;  ///< TERM or INT had arrived, here or at the worker that ended by it
  bool gave_up = false;         ///< the policy's budget was spent
  unsigned restarts = 0;
  bool stopped_in_pause = false;  ///< the stop arrived between two workers
  /// 0 where the worker ended by TERM or INT, or where none ran when the stop arrived; 70 where the policy gave up on
  /// signals; else the worker's own code, or 128 + signal.
  [[nodiscard]] PERDURE_EXPORT int exit_code() const noexcept;
};

/// Runs `worker` in forked processes until one ends for good. In the worker: default dispositions (HUP and PIPE ignored), an
/// empty mask; it leaves through std::exit() with the function's result, or with 70 after an exception (printed on stderr).
/// Returns in the parent only. On failure: no worker could be forked at all (Error with errno; nothing was started).
PERDURE_EXPORT Result<Supervised> supervise(const SuperviseOptions& options,
                                            const std::function<int(const WorkerStart&)>& worker);

}  // namespace perdure
