// Captain: the shell around an App's crew. On the main thread it waits, collects what happened, steps the crew and the checks, and
// carries out what they order; workers and the callback thread only tell it what happened.
//
// It runs no code of the program's: each run of a worker has a thread, which is gone when the run is over; checks, events and
// stop tokens are the callback thread's. It stands in the place of run()'s body, and answers the daemon's questions about it.
// What belongs to whom: the threads belong to the main thread; `crew_`, `checks_` and what is told of them stand under `mutex_`,
// because the control thread and those of components ask; facts on their way are under `mail_mutex_`.
// Left out: deciding (crew.hpp, checks.hpp), the process (daemon.hpp).
// Thread safety: run() on the main thread; the const Members part from any thread. Signal safety: none.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "app/checks.hpp"
#include "app/crew.hpp"
#include "daemon/members.hpp"
#include "daemon/running.hpp"
#include "loop/wake_up.hpp"
#include "os/clock.hpp"
#include "perdure/app.hpp"
#include "perdure/run.hpp"

namespace perdure::app {

/// What the program says of a worker beside its place in the crew.
struct Body {
  detail::WorkerBody body{};
  std::chrono::nanoseconds heartbeat{0};  ///< 0: the daemon's, for a worker; none, for a job
};

/// A whole App, described and checked; `bodies` stand beside `members`. A stop_within of 0 is for begin() to settle.
struct Plan {
  std::vector<Member> members{};
  std::vector<Body> bodies{};
  std::vector<Check> checks{};
  std::vector<Callback<Health()>> questions{};  ///< beside `checks`
  Callback<void(const AppEvent&)> listener{};
};

class Captain final : public daemon::Members {
 public:
  explicit Captain(Plan plan);
  ~Captain() override;

  /// The body of the daemon: returns when nobody runs any more. 0, or ExitCodes::failed. Want of memory ends the process: threads
  /// that nobody leads would outlive an exception.
  int run(Context& context) noexcept;
  /// Callback thread: how a reload ended.
  void reloaded(const Reloaded& how);

  Result<void> begin(detail::Daemon& daemon, const Options& options, std::chrono::nanoseconds beat_within,
                     base::Instant now) override;
  std::vector<daemon::Watched> watched() override;
  void lateness_changed(std::size_t watched, bool is_late) override;
  void describe(daemon::Condition& condition) const override;
  [[nodiscard]] std::string unhealthy() const override;
  [[nodiscard]] std::string missing() const override;
  [[nodiscard]] std::string unfinished() const override;
  [[nodiscard]] std::string failure() const override;

 private:
  class Hand;
  // Facts from other threads.
  struct WorkerEnded {
    WorkerId worker;
    RunId run;
    std::string failure;  ///< "": it returned 0
  };
  struct CheckBegun {
    std::size_t check;
  };
  struct CheckAnswered {
    std::size_t check;
    Health health;
  };
  struct EventsDelivered {};
  using Letter = std::variant<SaidReady, WorkerEnded, CheckBegun, CheckAnswered, EventsDelivered>;

  void tell(Letter letter);
  bool wait(Context& context);
  void read(const Letter& letter);
  void step(const Fact& fact);
  void carry_out(const Order& order);
  void start(const StartWorker& order);
  void look_at_checks(base::Instant now);
  void ask(std::size_t check);
  void note(const Checks::Change& change);
  void say_ready_if_so(Context& context);
  void deliver_events(Context& context);
  void emit(AppEvent event);
  void emit(AppEvent::Kind kind, WorkerId worker, std::string why = {}, Duration delay = {});
  [[nodiscard]] double fraction();
  [[nodiscard]] os::Clock& clock() const noexcept;

  Plan plan_;  ///< as it is from begin() on
  int failed_code_ = exit_failed;
  std::unique_ptr<loop::WakeUp> wake_up_;
  detail::Daemon* daemon_ = nullptr;
  std::vector<std::unique_ptr<Hand>> hands_;  ///< by WorkerId
  std::vector<WorkerId> watched_;             ///< by place in watched()

  std::mutex mail_mutex_;
  std::vector<Letter> mail_;

  mutable std::mutex mutex_;
  Crew crew_;
  Checks checks_;
  std::vector<std::string> last_failures_;  ///< by WorkerId; "" for none
  std::string failure_;

  // The main thread's own.
  std::minstd_rand chance_{std::random_device{}()};
  Log* log_ = nullptr;
  Context* context_ = nullptr;
  std::vector<Order> orders_;
  bool stop_seen_ = false;
  bool crew_ready_ = false;
  bool said_ready_ = false;
  bool over_ = false;
  bool events_delivered_ = false;
};

}  // namespace perdure::app
