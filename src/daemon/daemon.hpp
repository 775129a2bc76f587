// Daemon: the shell around Lifecycle. The control thread waits, collects what happened, steps the machine and carries out its
// actions; the body's thread and the callback thread only tell it what happened.
//
// What belongs to whom: `life_`, the timers, the control server and everything said to the init belong to the control thread;
// `body_` to the body's thread; what is shared is atomic, under `mutex_` (for the control thread) or under
// `published_mutex_` (what it tells the threads of components). Listeners are opened while there is one thread, and only looked up
// after that. The control thread runs no code of the program's.
// Descriptors: docs/reference/descriptors.md.
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
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "daemon/callback_thread.hpp"
#include "daemon/configuration.hpp"
#include "daemon/lifecycle.hpp"
#include "daemon/listeners.hpp"
#include "daemon/members.hpp"
#include "daemon/places.hpp"
#include "daemon/predecessor.hpp"
#include "daemon/report.hpp"
#include "daemon/running.hpp"
#include "daemon/signals.hpp"
#include "daemon/successor.hpp"
#include "daemon/upgrade.hpp"
#include "loop/file_watch.hpp"
#include "loop/timers.hpp"
#include "perdure/component.hpp"
#include "perdure/control.hpp"
#include "perdure/detach.hpp"
#include "perdure/health_file.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/log.hpp"
#include "perdure/notify.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/resources.hpp"
#include "perdure/rights.hpp"
#include "perdure/run.hpp"

namespace perdure::detail {

class Daemon {
 public:
  /// What it stands in: a process and the machine's time, or a host (hosted.hpp).
  struct Surroundings {
    os::Clock& clock = os::machine_clock();
    /// In a host: hears the code of a forced end, where a process would end at once. Control thread.
    std::function<void(int code)> ended_by_force{};
    [[nodiscard]] bool is_hosted() const noexcept { return static_cast<bool>(ended_by_force); }
  };
  /// `members`: what the body consists of, where it is more than one thread.
  Daemon(const Options& options, daemon::CommandLine line, daemon::Places places, daemon::Signals signals,
         daemon::Members* members, Surroundings surroundings);
  ~Daemon();
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // ── The start sequence's steps, while there is one thread ──
  /// For an upgrade: how this process was started, and whether it detached. upgrading.cpp
  void remember(daemon::Invocation invocation, bool is_detached);
  /// This process is a successor: until it is in charge, it owns no file and speaks to nobody. Before hold(). upgrading.cpp
  void succeed(daemon::Predecessor predecessor);
  /// `lock` may have been taken by the process that detached us: from here on it is ours to give up. A successor's is not, yet.
  void hold(PidFile lock) {
    lock_.emplace(std::move(lock));
    if (!predecessor_) lock_->adopt();
  }
  [[nodiscard]] bool is_successor() const noexcept { return predecessor_.has_value(); }
  void report_to(StartReport report) { report_ = std::move(report); }
  [[nodiscard]] StartReport& report() noexcept { return report_; }
  void use(ListenFds sockets) { listen_fds_ = std::move(sockets); }
  /// A successor's standard error goes where the predecessor's goes: from here on failures reach that one by report().
  Result<void> restore_error_output() { return predecessor_ ? predecessor_->restore_error_output() : Result<void>{}; }
  Result<void> open_listeners();
  Result<void> open_log();
  Result<void> open_control();
  Result<void> connect_init();
  /// Instead of the environment's.
  void connect_init(Notify notify) { notify_ = std::move(notify); }
  Result<void> prepare_stop_event();
  /// Runs the program's before_drop, and gives the files that were made here to the user to become.
  Result<void> open_what_needs_rights(const RightsDrop& rights);
  /// Step 7. On failure: the process must end.
  Result<void> give_up(const RightsDrop& rights);
  /// Publishes our pid. A successor says instead that it has taken everything, and is published by its predecessor.
  Result<void> publish_pid();
  Result<void> prepare_components();

  /// After a step that failed: gives up what the steps before it made, a log file that is new and still empty too.
  void withdraw() noexcept;
  /// Threads of the program that may be using listeners: then these stay open until the process ends.
  enum class Others : std::uint8_t { HaveEnded, MayRun };
  /// Gives up the control socket, listeners, the health file and the lock, once. For the control thread, or when there is none.
  void release_places(Others others = Others::HaveEnded) noexcept;

  // ── Steps 8 to 10, and the end ──
  /// Starts the control thread. The calling thread is the body's from now on.
  Result<void> start(bool ready_at_entry);
  /// Runs the body, then finish(). Returns the exit code.
  int run(const Callback<int(Context&)>& body);
  /// The body has returned or thrown: runs the stop hooks, ends the threads, gives up files and lock. Returns the exit code.
  int finish(int body_code, const std::string& exception);
  /// From exit(3) in the middle of the body: ends the control thread and gives up files and lock.
  void leave_by_exit() noexcept;

  // ── For whoever runs on top of it ──
  /// The body, as its Context sees it.
  [[nodiscard]] Running& body() noexcept { return body_; }
  [[nodiscard]] int listener(std::string_view name);
  void request_stop(StopReason reason) noexcept;
  /// Runs `task` on the callback thread; what it throws is logged. Once finish() has begun it may be dropped.
  void post_task(std::function<void()> task);
  /// Every wait of the daemon's is measured by it.
  [[nodiscard]] os::Clock& clock() const noexcept { return surroundings_.clock; }

  // ── For a host ──
  [[nodiscard]] Log& log() noexcept { return log_; }
  /// Any thread: as if the signal had arrived. Requires: Signals::silent().
  void arrive(int signal) noexcept { signals_.arrive(signal); }
  /// Any thread. The control thread answers, or the callback thread where the program does; never, once the daemon has ended.
  void ask(Request request, std::function<void(Reply)> answer);
  [[nodiscard]] const DaemonView& view() const noexcept { return view_; }
  /// -1: the options name none so.
  [[nodiscard]] int find_listener(std::string_view name) const { return listeners_.find(name); }

 private:
  /// The body of run(), or the part of an App that runs on the main thread.
  class Body final : public RunningThread {
   public:
    explicit Body(Daemon& daemon) noexcept : RunningThread(daemon.clock()), daemon_(daemon) {}
    /// Also between a signal's handler and the control thread: the kernel prefers the main thread for signals, whose wait the
    /// handler interrupts, so the body need not be woken by way of another thread.
    [[nodiscard]] bool stopping() const noexcept override {
      return RunningThread::stopping() || daemon_.signals_.stop_signal() != 0;
    }
    [[nodiscard]] StopReason stop_reason() const noexcept override { return daemon_.stop_reason(); }
    void request_stop() noexcept override { daemon_.request_stop(StopReason::Requested); }
    Log& log() noexcept override { return daemon_.log_; }
    [[nodiscard]] const std::vector<std::string>& args() const noexcept override { return daemon_.line_.arguments; }
    [[nodiscard]] int listener(std::string_view name) override { return daemon_.listener(name); }
    ListenFds& listen_fds() noexcept override { return daemon_.listen_fds_; }
    [[nodiscard]] const std::string& pid_file() const noexcept override { return daemon_.places_.pid_file; }

   private:
    void became_ready() override;
    Daemon& daemon_;
  };
  /// What components see: of the control thread's own as much as it published, the rest as it is.
  class View final : public DaemonView {
   public:
    explicit View(Daemon& daemon) noexcept : daemon_(daemon) {}
    [[nodiscard]] std::string why_not_alive() const override;
    [[nodiscard]] std::string why_not_ready() const override;
    [[nodiscard]] std::string metrics() const override;
    [[nodiscard]] Log& log() const noexcept override { return daemon_.log_; }

   private:
    Daemon& daemon_;
  };
  /// What of the condition is the control thread's own.
  struct Told {
    daemon::State state{};
    std::string stuck{};  ///< who has not made progress in time; "" for nobody
    std::uint64_t reloads = 0, reloads_refused = 0;
    std::string last_refusal{};
  };
  /// Whose heartbeat is looked at.
  struct Watch {
    daemon::Watched watched;
    bool late = false;
  };
  /// What other threads have to tell; swapped out by the control thread.
  struct Mail {
    bool body_ready = false;
    bool body_returned = false;
    bool finished = false;
    StopReason stop = StopReason::None;
    std::optional<daemon::ReloadOutcome> reloaded{};
    std::vector<std::pair<std::uint64_t, Reply>> replies{};
    std::vector<std::pair<Request, std::function<void(Reply)>>> asked{};
  };
  /// A command of the program's that is being answered.
  struct Pending {
    std::chrono::milliseconds within;
    base::Instant deadline;
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
    Commands,
    Upgrade
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
  void force_end();
  void tell_body_to_stop() noexcept;

  void answer(Request& request);
  /// To whoever asked, by the control socket or ask().
  void reply(std::uint64_t id, const Reply& reply);
  void answer_by_program(const ControlCommand& command, Request& request);
  [[nodiscard]] Told told() const;
  /// Puts told() where components see it.
  void publish();
  [[nodiscard]] Told published() const;
  /// Any thread.
  [[nodiscard]] daemon::Condition condition(const Told& told) const;
  Reply answer_health() const;
  Reply answer_log_level(const std::string& text);

  [[nodiscard]] StopReason stop_reason() const noexcept {
    const StopReason reason = stop_reason_.load(std::memory_order_acquire);
    if (reason != StopReason::None || signals_.stop_signal() == 0) return reason;
    return signals_.stop_signal() == SIGINT ? StopReason::Int : StopReason::Term;
  }
  /// Who is late with a heartbeat, in words; "" for nobody.
  [[nodiscard]] std::string stuck() const;
  /// Why it is not healthy, in words; "": everybody makes progress. `stuck`: as stuck() said.
  [[nodiscard]] std::string unhealthy(std::string stuck) const;
  [[nodiscard]] std::string unhealthy() const { return unhealthy(stuck()); }
  /// Why it is not ready yet, in words.
  [[nodiscard]] std::string what_is_missing() const;
  void look_at_heartbeats(base::Instant now);
  void watch_config();
  void tell_of_watch();
  // upgrading.cpp, the predecessor's side …
  Result<void> keep_sockets_of_init();
  void answer_upgrade(const Request& request);
  void step_upgrade(daemon::UpgradeEvent event);
  void perform(daemon::UpgradeAction action);
  void start_successor();
  void attend_successor();
  void hand_over();
  void report_failed_upgrade();
  void supersede();
  void leave_to_successor();
  // … and the successor's.
  void attend_predecessor();
  bool name_ourselves();
  void take_charge();
  /// Requests are taken: not by a successor that is not in charge.
  [[nodiscard]] bool serves_control() const noexcept { return server_ && !(predecessor_ && !in_charge_); }
  void kick_health_file();
  void look_at_resources();
  /// Tells the init of a new state: now, or once its full queue has room.
  void announce(std::function<Result<void>()> send);
  void make_announcements();
  void extend_stop(base::Instant now);
  void tell_init(const Result<void>& sent);

  Result<void> start_components();
  /// In reverse order; once.
  void stop_components() noexcept;

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

  const Surroundings surroundings_;
  os::Clock& clock_{surroundings_.clock};
  const Options& options_;
  const daemon::CommandLine line_;
  const daemon::Places places_;
  daemon::Signals signals_;
  Log log_;
  std::string log_path_;  ///< where a log file is, or would be
  bool made_log_file_ = false;
  RightsReport rights_;
  std::optional<PidFile> lock_;
  StartReport report_;
  ListenFds listen_fds_;
  daemon::Listeners listeners_;
  daemon::Invocation invocation_;
  bool is_detached_ = false;
  bool is_under_init_ = false;
  std::vector<std::pair<std::string, UniqueFd>> sockets_of_init_;  ///< copies of those that no listener took
  std::optional<control::SocketFile> control_file_;          ///< of the predecessor's control socket, where we have that
  std::vector<daemon::InheritedListener> former_listeners_;  ///< the predecessor's that we do not have
  Notify notify_;
  daemon::Members* const members_;
  Body body_{*this};

  std::mutex mutex_;
  Mail mail_;
  std::atomic<StopReason> stop_reason_{StopReason::None};
  std::atomic<bool> released_{false};
  View view_{*this};
  std::atomic<std::size_t> prepared_{0};  ///< components that are to be stopped
  mutable std::mutex published_mutex_;
  Told published_;

  daemon::CallbackThread callbacks_{clock_};
  std::thread control_thread_;

  // The control thread's own.
  daemon::Lifecycle life_;
  bool in_charge_ = true;       ///< the instance's files are ours
  bool speaks_to_init_ = true;  ///< it takes us for the main process
  std::optional<daemon::Predecessor> predecessor_;
  daemon::Upgrade upgrade_;
  std::optional<daemon::Successor> successor_;
  std::optional<std::uint64_t> upgrade_waiter_;
  std::string upgrade_fault_;
  bool reloaded_meanwhile_ = false;  ///< since the successor may have read the configuration
  daemon::Event cause_{};            ///< the event whose actions are being carried out
  loop::Timers timers_;
  std::optional<ControlServer> server_;
  std::map<std::uint64_t, std::function<void(Reply)>> askers_;  ///< of ask(), by the id that their request has
  std::uint64_t asked_ = 0;
  std::optional<loop::FileWatch> config_watch_;
  std::string watch_failure_;  ///< why not all of it is watched, as last said
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
  std::vector<Watch> watches_;
  bool finished_ = false;
  std::atomic<bool> ended_by_force_{false};  ///< in a host: nothing is done any more
  int end_signal_ = 0;                       ///< the last signal that asked to stop
  std::string start_failure_;                ///< what was missing when the time for the start was over
  std::chrono::system_clock::time_point started_at_;
  base::Instant started_;
};

}  // namespace perdure::detail
