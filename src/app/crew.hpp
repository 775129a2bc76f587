// Crew: the workers and periodic jobs of an App, decided without a clock, a thread or chance.
//
// A state × event table for each of them, and three rules that look at all together: who may start (whoever it comes after
// is ready or done), who is told to stop (whoever nobody needs any more), and when the whole crew is ready, or over. A worker
// that fails is started again as its policy says; one that has failed for good stops the crew. A job is a worker that is
// started again and again, on a grid of instants that begins when it may first run: it cannot drift, and what it misses while
// it runs is left out.
// The random number is a parameter. Facts about a run that is over are dropped, by its number.
// Left out: threads, heartbeats, checks (captain.hpp).
// Thread safety: none, one owner. Pure.
//
//     Crew crew{*plan};
//     crew.step(now, Begun{}, 0.5, orders);                        // StartWorker{0, 1}
//     crew.step(now, SaidReady{0, 1}, 0.5, orders);                // …, CrewIsReady
//     if (auto next = crew.next_deadline()) …                      // step(*next, DeadlinePassed{}, …) when it has come
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "perdure/restart.hpp"
#include "perdure/result.hpp"
#include "policy/restart.hpp"

namespace perdure::app {

using base::Duration;
using base::Instant;

/// The place of a worker or job in the plan.
using WorkerId = std::size_t;
/// Which start of a worker something is about: 1 for the first.
using RunId = std::uint64_t;

inline constexpr std::size_t workers_max = 1024;

/// How often a job runs.
struct Schedule {
  Duration period{};     ///< positive
  double jitter = 0.0;   ///< each run is moved by up to this fraction of the period, either way. Range: 0 to 1
  bool run_now = false;  ///< the first run comes at once, not a period later
};

/// One worker or job, as the program described it.
struct Member {
  std::string name{};               ///< [a-z][a-z0-9_-]*
  std::vector<WorkerId> after{};    ///< started once these are ready or done; stopped before them
  RestartPolicy restart{};          ///< of a worker
  Duration stop_within{};           ///< after this, those it comes after are told to stop as well
  std::optional<Schedule> every{};  ///< of a job
};

/// Of a worker, job or check: [a-z][a-z0-9_-]*.
[[nodiscard]] bool is_valid_name(std::string_view name) noexcept;

/// A plan that can be carried out.
/// On failure: a name that is none or is there twice, a policy or schedule out of range, workers that wait for each other.
Result<std::vector<Member>> check_plan(std::vector<Member> members);

enum class WorkerState : std::uint8_t {
  Waiting,   ///< for those it comes after
  Starting,  ///< runs, not ready yet
  Ready,     ///< runs
  Pausing,   ///< does not run: until its next start
  Stopping,  ///< runs, told to stop
  Late,      ///< runs, and its time for stopping is over
  Done,      ///< over: it returned, or was stopped
  Failed,    ///< over: it failed for good
};

// Facts.
struct Begun {};
struct SaidReady {
  WorkerId worker;
  RunId run;
};
struct Ended {
  WorkerId worker;
  RunId run;
  policy::Ending how;
};
struct DeadlinePassed {};
struct StopRequested {};
using Fact = std::variant<Begun, SaidReady, Ended, DeadlinePassed, StopRequested>;

// Orders, to be carried out in their order.
/// On a thread of its own.
struct StartWorker {
  WorkerId worker;
  RunId run;
  friend bool operator==(const StartWorker&, const StartWorker&) = default;
};
/// Its waits return from now on.
struct TellToStop {
  WorkerId worker;
  friend bool operator==(const TellToStop&, const TellToStop&) = default;
};
/// Say that it will be started again, and when.
struct TellOfRestart {
  WorkerId worker;
  Duration pause;
  friend bool operator==(const TellOfRestart&, const TellOfRestart&) = default;
};
/// Say that it has failed for good. The crew is being stopped for it.
struct TellOfGivingUp {
  WorkerId worker;
  bool budget_spent;  ///< it would have been started again, but not so often
  friend bool operator==(const TellOfGivingUp&, const TellOfGivingUp&) = default;
};
/// Say that it has not stopped in its own time; the next are told to stop all the same.
struct NameLate {
  WorkerId worker;
  friend bool operator==(const NameLate&, const NameLate&) = default;
};
/// Every worker has been ready once.
struct CrewIsReady {
  friend bool operator==(CrewIsReady, CrewIsReady) = default;
};
/// A worker failed for good, or all are done: the daemon is to stop.
struct RequestStop {
  friend bool operator==(RequestStop, RequestStop) = default;
};
/// Nobody runs any more, and nobody will.
struct CrewIsOver {
  friend bool operator==(CrewIsOver, CrewIsOver) = default;
};
using Order =
    std::variant<StartWorker, TellToStop, TellOfRestart, TellOfGivingUp, NameLate, CrewIsReady, RequestStop, CrewIsOver>;

[[nodiscard]] std::string_view name(WorkerState state) noexcept;

class Crew {
 public:
  /// Requires: the plan was checked.
  explicit Crew(std::vector<Member> plan);

  /// Total: every fact is answered in every state. `fraction` is a random number, 0 ≤ fraction < 1. Appends to `orders`.
  void step(Instant now, const Fact& fact, double fraction, std::vector<Order>& orders);
  /// When DeadlinePassed is due.
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  [[nodiscard]] std::size_t size() const noexcept { return workers_.size(); }
  [[nodiscard]] const Member& member(WorkerId worker) const { return workers_.at(worker).member; }
  [[nodiscard]] WorkerState state(WorkerId worker) const { return workers_.at(worker).state; }
  /// Starts after the first, for a worker; of a job none is a restart.
  [[nodiscard]] std::uint64_t restarts(WorkerId worker) const;
  /// It has been ready once, or was done before. A job always is.
  [[nodiscard]] bool was_ready(WorkerId worker) const { return workers_.at(worker).was_ready; }
  /// Somebody failed for good.
  [[nodiscard]] bool has_failed() const noexcept { return failed_; }
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_; }

 private:
  struct Worker {
    explicit Worker(Member described);
    Member member;
    policy::Restarts restarts;
    WorkerState state = WorkerState::Waiting;
    RunId run = 0;
    bool was_ready = false;
    Instant due{};                   ///< of Pausing: the next start; of Stopping: when it is late
    Instant grid{};                  ///< of a job: the instant that its next run belongs to, before jitter
    std::vector<WorkerId> before{};  ///< those that come after it
  };
  enum class Happening : std::uint8_t;
  struct Moment;

  void happen(Happening what, WorkerId worker, const Moment& moment);
  void start(WorkerId worker, const Moment& moment);
  void judge(WorkerId worker, const Moment& moment);
  void schedule(Worker& job, Instant not_before, const Moment& moment);
  void settle(const Moment& moment);
  [[nodiscard]] bool is_over(WorkerId worker) const;

  std::vector<Worker> workers_;
  bool begun_ = false;
  bool ready_ = false;
  bool stopping_ = false;
  bool stop_asked_ = false;
  bool failed_ = false;
  bool over_ = false;
};

}  // namespace perdure::app
