// Daemon: the shell around Lifecycle. The control thread waits, collects what happened, steps the machine and carries out its
// actions; the body's thread and the callback thread only tell it what happened.
//
// What belongs to whom: `life_`, the timers, the control server and everything said to the init belong to the control thread;
// `body_` to the body's thread; what is shared is atomic or under `mutex_`. The control thread runs no code of the program's.
// Descriptors while idle: 0–2, the lock, the wake-up, the stop event, the control server's two (epoll and listener), and one
// each for a log file or syslog and the notify socket. See docs/reference/descriptors.md.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "daemon/callback_thread.hpp"
#include "daemon/configuration.hpp"
#include "daemon/lifecycle.hpp"
#include "daemon/places.hpp"
#include "daemon/report.hpp"
#include "daemon/signals.hpp"
#include "loop/timers.hpp"
#include "perdure/control.hpp"
#include "perdure/detach.hpp"
#include "perdure/health_file.hpp"
#include "perdure/heartbeat.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/log.hpp"
#include "perdure/notify.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/resources.hpp"
#include "perdure/run.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::detail {

class Daemon {
 public:
  Daemon(const Options& options, daemon::CommandLine line, daemon::Places places, daemon::Signals signals);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // ── The start sequence's steps, while there is one thread ──
  /// `lock` may have been taken by the process that detached us: from here on it is ours to give up.
  void hold(PidFile lock) {
    lock_.emplace(std::move(lock));
    lock_->adopt();
  }
  void report_to(StartReport report) { report_ = std::move(report); }
  [[nodiscard]] StartReport& report() noexcept { return report_; }
  void use(ListenFds sockets) { listen_fds_ = std::move(sockets); }
  Result<void> open_log();
  Result<void> open_control();
  Result<void> connect_init();
  Result<void> prepare_stop_event();
  [[nodiscard]] PidFile& lock() { return *lock_; }

  /// After a step that failed: gives up what the steps before it made, a log file that is new and still empty too.
  void withdraw() noexcept;
  /// Gives up the control socket, the health file and the lock, once. For the control thread, or when there is none.
  void release_places() noexcept;

  // ── Steps 8 to 10, and the end ──
  /// Starts the control thread. The calling thread is the body's from now on.
  Result<void> start(bool ready_at_entry);
  /// The body has returned or thrown: runs the stop hooks, ends the threads, gives up files and lock. Returns the exit code.
  int finish(int body_code, const std::string& exception);
  /// From exit(3) in the middle of the body: ends the control thread and gives up files and lock.
  void leave_by_exit() noexcept;

  // ── What the Context asks for ──
  void body_is_ready();
  void request_stop(StopReason reason) noexcept;
  /// Also between a signal's handler and the control thread: the kernel prefers the main thread for signals, whose wait the
  /// handler interrupts, so the body need not be woken by way of another thread.
  [[nodiscard]] bool stopping() const noexcept {
    return stopping_.load(std::memory_order_acquire) || daemon::Signals::stop_signal() != 0;
  }
  [[nodiscard]] StopReason stop_reason() const noexcept {
    const StopReason reason = stop_reason_.load(std::memory_order_acquire);
    if (reason != StopReason::None || daemon::Signals::stop_signal() == 0) return reason;
    return daemon::Signals::stop_signal() == SIGINT ? StopReason::Int : StopReason::Term;
  }
  [[nodiscard]] int stop_fd() const noexcept { return stop_event_.get(); }
  std::stop_token stop_token() noexcept;
  [[nodiscard]] Heartbeat* heartbeat() noexcept { return heartbeat_ ? &*heartbeat_ : nullptr; }
  [[nodiscard]] Log& log() noexcept { return log_; }
  [[nodiscard]] const daemon::CommandLine& line() const noexcept { return line_; }
  [[nodiscard]] const daemon::Places& places() const noexcept { return places_; }
  [[nodiscard]] ListenFds& listen_fds() noexcept { return listen_fds_; }
  std::vector<pollfd>& poll_set() noexcept { return body_.poll_set; }

 private:
  /// What other threads have to tell; swapped out by the control thread.
  struct Mail {
    bool body_ready = false;
    bool body_returned = false;
    bool finished = false;
    StopReason stop = StopReason::None;
    std::optional<daemon::ReloadOutcome> reloaded{};
    std::vector<std::pair<std::uint64_t, Reply>> replies{};
  };
  /// A command of the program's that is being answered.
  struct Pending {
    std::chrono::milliseconds within;
    base::Instant deadline;
  };
  struct Body {
    pid_t thread = 0;
    bool said_ready = false;
    std::vector<pollfd> poll_set{};
  };
  enum class Timer : std::uint64_t {
    Start,
    Stop,
    ExtendStop,
    Watchdog,
    Announce,
    Heartbeat,
    HealthFile,
    Resources,
    Commands
  };

  void control_loop();
  void take_signals(const daemon::Arrived& arrived);
  void take_mail(Mail& mail);
  void take_requests(std::vector<Request>& requests);
  void take_due(base::Instant now);
  [[nodiscard]] std::optional<base::Instant> next_deadline() const;
  void refuse_what_waits();
  void wait(std::optional<base::Instant> deadline);

  void step(daemon::Event event);
  void perform(daemon::Action action);
  void start_reload();
  void reloaded(const daemon::ReloadOutcome& outcome);
  [[noreturn]] void force_end();
  void tell_body_to_stop() noexcept;

  void answer(Request& request);
  void answer_by_program(const ControlCommand& command, Request& request);
  [[nodiscard]] daemon::Condition condition() const;
  Reply answer_health() const;
  Reply answer_log_level(const std::string& text);

  void look_at_heartbeat(base::Instant now);
  void kick_health_file();
  void look_at_resources();
  /// Tells the init of a new state: now, or once its full queue has room.
  void announce(std::function<Result<void>()> send);
  void make_announcements();
  void extend_stop(base::Instant now);
  void tell_init(const Result<void>& sent);
  void post_task(std::function<void()> task);

  template <class Change>
  void tell(Change change) {
    {
      std::lock_guard lock{mutex_};
      change(mail_);
    }
    signals_.wake();
  }
  void arm(Timer timer, base::Instant at) { timers_.arm(static_cast<std::uint64_t>(timer), at); }
  void disarm(Timer timer) { timers_.disarm(static_cast<std::uint64_t>(timer)); }

  const Options& options_;
  const daemon::CommandLine line_;
  const daemon::Places places_;
  daemon::Signals signals_;
  Log log_;
  bool made_log_file_ = false;
  std::optional<PidFile> lock_;
  StartReport report_;
  ListenFds listen_fds_;
  Notify notify_;
  UniqueFd stop_event_;
  Body body_;

  std::mutex mutex_;
  Mail mail_;
  std::atomic<bool> stopping_{false};
  std::atomic<StopReason> stop_reason_{StopReason::None};
  std::mutex token_mutex_;
  std::optional<std::stop_source> stop_source_;
  std::optional<Heartbeat> heartbeat_;
  std::atomic<bool> released_{false};

  daemon::CallbackThread callbacks_;
  std::thread control_thread_;

  // The control thread's own.
  daemon::Lifecycle life_;
  daemon::Event cause_{};  ///< the event whose actions are being carried out
  std::vector<daemon::Action> actions_;
  loop::Timers timers_;
  std::optional<ControlServer> server_;
  std::map<std::uint64_t, Pending> pending_;
  std::vector<std::uint64_t> reload_waiters_, next_reload_waiters_;
  bool next_reload_by_signal_ = false;
  daemon::ReloadOutcome last_reload_;
  std::uint64_t reloads_ = 0, reloads_refused_ = 0;
  std::optional<ResourceWatch> resource_watch_;
  std::optional<HealthFile> health_file_;
  bool health_file_failed_ = false;
  std::deque<std::function<Result<void>()>> unannounced_;
  bool init_failed_ = false;
  bool stuck_ = false;
  bool finished_ = false;
  int end_signal_ = 0;         ///< the last signal that asked to stop
  std::string start_failure_;  ///< what was missing when the time for the start was over
  std::chrono::system_clock::time_point started_at_;
  base::Instant started_;
};

}  // namespace perdure::detail
