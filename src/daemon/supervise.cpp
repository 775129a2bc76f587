#include "perdure/supervise.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "base/time.hpp"
#include "daemon/init_listener.hpp"
#include "daemon/supervised.hpp"
#include "os/random.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "policy/restart.hpp"
#include "process/child_signal.hpp"

// The parent has no handlers: every signal it cares about stays blocked and is taken by sigtimedwait(2), its only sleep.
// SIGCHLD is one of them and says no more than "look"; waitid(2) on the one known pid says what happened. The worker is
// signalled by process/child_signal.hpp: the child is ours and unreaped, so its number cannot have been given to anybody
// else, and no descriptor is held that a worker would inherit.
// With an init that listens there are three: its socket, the worker's, and a signalfd, which only says when to look for a signal.

namespace perdure {
namespace {

using base::Duration;
using base::Instant;

constexpr std::array forwarded{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
// Reports about the process itself: handlers for them are crash reporters and sanitizers, which a worker wants to keep.
constexpr std::array synchronous{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
/// More than any signal's number; POSIX has no name for it.
constexpr std::size_t signals_max = 256;
/// After a system call failed that normally cannot (descriptors or processes used up), it is tried again this much later.
constexpr std::chrono::milliseconds retry_pause{100};

Instant now() noexcept { return std::chrono::steady_clock::now(); }

timespec as_timespec(Duration duration) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = static_cast<time_t>(seconds.count()), .tv_nsec = static_cast<long>((duration - seconds).count())};
}

bool is_stop(int signal) noexcept { return signal == SIGTERM || signal == SIGINT; }

bool was_killed_by(const ExitStatus& status, int signal) noexcept {
  return status.kind() == ExitStatus::Kind::Killed && status.value() == signal;
}

bool ended_by_stop_signal(const ExitStatus& status) noexcept {
  return was_killed_by(status, SIGTERM) || was_killed_by(status, SIGINT);
}

ExitStatus status_of(const siginfo_t& info) noexcept {
  switch (info.si_code) {
    case CLD_EXITED: return ExitStatus::exited(info.si_status);
    case CLD_KILLED: return ExitStatus::killed(info.si_status);
    case CLD_DUMPED: return ExitStatus::killed(info.si_status, true);
    default: return {};
  }
}

policy::Ending ending_of(const ExitStatus& status) noexcept {
  if (status == ExitStatus::exited(0)) return policy::Ending::Clean;
  return status.kind() == ExitStatus::Kind::Killed ? policy::Ending::Killed : policy::Ending::Failed;
}

/// The parent's mask and SIGCHLD disposition while it supervises.
class ParentSignals {
 public:
  ParentSignals() noexcept {
    sigemptyset(&taken_);
    for (const int signal : forwarded) sigaddset(&taken_, signal);
    sigaddset(&taken_, SIGCHLD);
    (void)os::sys::sigprocmask(SIG_BLOCK, &taken_, &previous_mask_);
    // An ignored SIGCHLD (inherited, perhaps) would make the kernel reap the worker and forget how it ended (waitid(2)).
    struct sigaction by_default {};
    by_default.sa_handler = SIG_DFL;
    (void)os::sys::sigaction(SIGCHLD, &by_default, &previous_child_);
  }
  ~ParentSignals() {
    (void)os::sys::sigaction(SIGCHLD, &previous_child_, nullptr);
    (void)os::sys::sigprocmask(SIG_SETMASK, &previous_mask_, nullptr);
  }
  ParentSignals(const ParentSignals&) = delete;
  ParentSignals& operator=(const ParentSignals&) = delete;

  /// The next signal; 0 at the deadline.
  [[nodiscard]] int wait(const std::optional<Instant>& deadline) const noexcept {
    for (;;) {
      timespec left{};
      if (deadline) {
        left = as_timespec(*deadline <= now() ? Duration::zero() : *deadline - now());
      }
      const int signal = os::sys::sigtimedwait(&taken_, nullptr, deadline ? &left : nullptr);
      if (signal > 0) return signal;
      if (errno != EINTR) return 0;  // EINTR: stopped and continued
    }
  }

  [[nodiscard]] const sigset_t& taken() const noexcept { return taken_; }

  /// In the worker: default dispositions, HUP and PIPE ignored, an empty mask.
  static void reset_in_worker() noexcept {
    struct sigaction wanted {};
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
      struct sigaction present {};
      // Refused for KILL, STOP and the C library's own: those have nothing to reset.
      if (os::sys::sigaction(signal, nullptr, &present) != 0) continue;
      const bool has_handler =
          (present.sa_flags & SA_SIGINFO) != 0 || (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN);
      const bool keeps = has_handler && std::find(synchronous.begin(), synchronous.end(), signal) != synchronous.end();
      if (keeps) continue;
      wanted.sa_handler = signal == SIGHUP || signal == SIGPIPE ? SIG_IGN : SIG_DFL;
      (void)os::sys::sigaction(signal, &wanted, nullptr);
    }
    sigset_t none;
    sigemptyset(&none);
    (void)os::sys::sigprocmask(SIG_SETMASK, &none, nullptr);
  }

 private:
  sigset_t taken_{};
  sigset_t previous_mask_{};
  struct sigaction previous_child_ {};
};

using Body = std::function<int(const WorkerStart&)>;

// A property of the process, as its parent is; written while it has one thread.
bool is_worker = false;

/// Leaves through exit(3), so that the worker's own atexit functions and static destructors run.
[[noreturn]] void be_the_worker(const Body& body, const WorkerStart& start) {
  is_worker = true;
  ParentSignals::reset_in_worker();
  int code = exit_failed;
  try {
    code = body(start);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "the worker failed: %s\n", error.what());
  } catch (...) {
    std::fputs("the worker failed with an exception that is no std::exception\n", stderr);
  }
  std::exit(code);
}

class Supervision {
 public:
  Supervision(const SuperviseOptions& options, const Body& body)
      : options_(options), body_(body), backoff_(options.restart), budget_(options.restart) {}

  Result<Supervised> run();

 private:
  using Kind = WorkerEvent::Kind;

  [[nodiscard]] bool start();
  /// The next signal; 0 at the deadline. Meanwhile the worker is relayed.
  int wait(const std::optional<Instant>& deadline);
  void wait_for_end();
  /// True when the worker has ended; result_.status is how.
  bool look() noexcept;
  void take(int signal);
  void send_unsent() noexcept;
  /// False when a stop was asked for meanwhile.
  bool pause(Duration length);
  void tell(Kind kind, std::chrono::milliseconds delay = {}) const noexcept;
  void tell_init(Kind kind, std::chrono::milliseconds delay) const;

  const SuperviseOptions& options_;
  const Body& body_;
  policy::Backoff backoff_;
  policy::StartBudget budget_;
  ParentSignals signals_;
  const std::chrono::system_clock::time_point entered_ = std::chrono::system_clock::now();

  std::unique_ptr<daemon::InitListener> init_;  ///< none: no init listens

  pid_t worker_ = 0;
  Instant worker_started_;
  std::bitset<signals_max> unsent_;  ///< signals the worker has yet to be sent
  std::optional<Instant> kill_at_;   ///< set by the first TERM or INT, until it has passed
  bool was_late_ = false;            ///< kill_at_ has passed
  bool look_again_ = false;          ///< waitid(2) failed; there may be an end that no SIGCHLD will announce again
  Supervised result_;
};

Result<Supervised> Supervision::run() {
  auto listener = daemon::InitListener::connect(signals_.taken(), options_.start_within);
  if (!listener) return std::move(listener).error().with_advice("nothing was started");
  init_ = std::move(*listener);
  (void)budget_.try_start(now());
  if (!start()) return Error::from_errno(errno, "fork", "the worker").with_advice("nothing was started");
  for (;;) {
    wait_for_end();
    tell(Kind::Exited);
    result_.stop_requested = result_.stop_requested || ended_by_stop_signal(result_.status);
    if (result_.stop_requested) return result_;

    if (!policy::wants_restart(options_.restart.when, ending_of(result_.status))) return result_;
    Duration delay = backoff_.next(now() - worker_started_, os::random_fraction());
    const bool counts = options_.count_kills || !was_killed_by(result_.status, SIGKILL);
    // Counted at the moment of the restart, as policy::Restarts does.
    if (counts && !budget_.try_start(now() + delay)) {
      result_.gave_up = true;
      tell(Kind::GaveUp);
      return result_;
    }
    ++result_.restarts;
    do {
      tell(Kind::Restarting, std::chrono::duration_cast<std::chrono::milliseconds>(delay));
      if (!pause(delay)) return result_;
      delay = retry_pause;
    } while (!start());
  }
}

bool Supervision::start() {
  const WorkerStart start{.parent = ::getpid(),
                          .parent_start = entered_,
                          .worker_start = std::chrono::system_clock::now(),
                          .restarts = result_.restarts};
  const pid_t pid = os::sys::fork();
  if (pid == 0) {
    if (init_) init_->become_worker();
    be_the_worker(body_, start);
  }
  if (pid < 0) return false;
  worker_ = pid;
  worker_started_ = now();
  if (init_) init_->worker_started(worker_, worker_started_);
  tell(Kind::Started);
  return true;
}

int Supervision::wait(const std::optional<Instant>& deadline) {
  if (!init_) return signals_.wait(deadline);
  for (;;) {
    if (const int signal = signals_.wait(Instant::min()); signal != 0) return signal;
    init_->wait(deadline);
    if (deadline && now() >= *deadline) return signals_.wait(Instant::min());
  }
}

void Supervision::wait_for_end() {
  while (!look()) {
    std::optional<Instant> wake;
    if (kill_at_) wake = kill_at_;
    if (look_again_ || unsent_.any()) wake = std::min(wake.value_or(Instant::max()), now() + retry_pause);
    take(wait(wake));
    if (kill_at_ && now() >= *kill_at_) {
      kill_at_.reset();
      was_late_ = true;
      unsent_.set(SIGKILL);
    }
    send_unsent();
  }
  kill_at_.reset();
  unsent_.reset();
  if (init_) init_->worker_ended(now());
  if (was_late_ && was_killed_by(result_.status, SIGKILL)) tell(Kind::KilledAtStop);
}

bool Supervision::look() noexcept {
  siginfo_t info{};
  look_again_ = false;
  if (os::sys::waitid(P_PID, static_cast<id_t>(worker_), &info, WEXITED | WNOHANG) != 0) {
    look_again_ = errno != ECHILD;
    result_.status = {};  // ECHILD: reaped by somebody else, so nobody here knows how it ended
    return !look_again_;
  }
  if (info.si_pid == 0) return false;
  result_.status = status_of(info);
  return true;
}

void Supervision::take(int signal) {
  if (signal == 0 || signal == SIGCHLD) return;
  unsent_.set(static_cast<std::size_t>(signal));
  if (!is_stop(signal) || result_.stop_requested) return;
  result_.stop_requested = true;
  kill_at_ = now() + options_.stop_within;
  if (init_) init_->stopping();
}

void Supervision::send_unsent() noexcept {
  if (unsent_.none()) return;
  for (std::size_t signal = 1; signal < unsent_.size(); ++signal) {
    // ESRCH: it has ended meanwhile, which the next look() sees. Others, as when no descriptor is left: tried again after
    // retry_pause.
    if (unsent_[signal] && (process::signal_child(worker_, static_cast<int>(signal)) || errno == ESRCH))
      unsent_.reset(signal);
  }
}

bool Supervision::pause(Duration length) {
  const Instant end = now() + length;
  do {
    // HUP, USR1 and USR2 have nobody to go to: the next worker starts afresh anyway.
    if (is_stop(wait(end))) {
      result_.stop_requested = result_.stopped_in_pause = true;
      if (init_) init_->stopping();
      return false;
    }
  } while (now() < end);
  return true;
}

void Supervision::tell_init(Kind kind, std::chrono::milliseconds delay) const {
  if (kind == Kind::Restarting) {
    init_->status(fmt::format("worker {} {}; starting it again in {} ms (restart {})", worker_, result_.status.text(),
                              delay.count(), result_.restarts));
  } else if (kind == Kind::GaveUp) {
    init_->status(fmt::format("worker {} {}; given up after {} restarts", worker_, result_.status.text(), result_.restarts));
  } else if (kind == Kind::Started && result_.restarts > 0) {
    init_->status(fmt::format("worker {} runs (restart {})", worker_, result_.restarts));
  }
}

void Supervision::tell(Kind kind, std::chrono::milliseconds delay) const noexcept {
  if (init_) tell_init(kind, delay);
  if (options_.on_event)
    options_.on_event(
        {.kind = kind, .worker = worker_, .status = result_.status, .restarts = result_.restarts, .delay = delay});
}

}  // namespace

int Supervised::exit_code() const noexcept {
  if (stopped_in_pause || ended_by_stop_signal(status)) return exit_ok;
  if (status.kind() == ExitStatus::Kind::Exited) return status.value();
  if (gave_up || status.kind() == ExitStatus::Kind::Unknown) return exit_failed;
  return status.shell_code();
}

Result<Supervised> supervise(const SuperviseOptions& options, const std::function<int(const WorkerStart&)>& worker) {
  if (!worker) return Error{"cannot supervise an empty function; nothing was started"};
  return Supervision{options, worker}.run();
}

bool daemon::is_supervised_worker() noexcept { return is_worker; }

}  // namespace perdure
