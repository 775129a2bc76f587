#include "app/crew.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perdure::app {

/// What happens to one worker: the columns of the table.
enum class Crew::Happening : std::uint8_t {
  Allowed,  ///< the crew has begun, and whoever it comes after has been ready
  Due,      ///< its pause is over; or its time for stopping
  SaidReady,
  Ended,
  Dismissed,  ///< the crew stops, and nobody needs it any more
};

/// A fact's circumstances, on their way through the functions below.
struct Crew::Moment {
  Instant now;
  double fraction;
  policy::Ending how;
  std::vector<Order>& orders;
};

namespace {

constexpr std::size_t states = 8;
constexpr std::size_t happenings = 5;

/// What one cell of the table says.
enum class Move : std::uint8_t {
  Nothing,  ///< with the reason beside it
  Begin,    ///< start it; a job: wait for its first run
  Start,
  Serve,  ///< ready
  Judge,  ///< the policy decides
  Tell,   ///< to stop, and until when
  CallLate,
  Finish,
};

// Rows: states, in the order of enum WorkerState. Columns: happenings, in the order of enum Happening.
// clang-format off
constexpr auto _ = Move::Nothing;
constexpr std::array<std::array<Move, happenings>, states> table{{
    //               Allowed       Due             SaidReady     Ended         Dismissed
    /* Waiting  */ {{ Move::Begin, _,              _,            _,            Move::Finish }},
    /* Starting */ {{ _,           _,              Move::Serve,  Move::Judge,  Move::Tell   }},
    /* Ready    */ {{ _,           _,              _,            Move::Judge,  Move::Tell   }},
    /* Pausing  */ {{ _,           Move::Start,    _,            _,            Move::Finish }},
    /* Stopping */ {{ _,           Move::CallLate, _,            Move::Finish, _            }},  // ready too late
    /* Late     */ {{ _,           _,              _,            Move::Finish, _            }},
    /* Done     */ {{ _,           _,              _,            _,            _            }},  // over is over
    /* Failed   */ {{ _,           _,              _,            _,            _            }},
}};
// clang-format on

std::string fault_of(const Member& member) {
  if (!is_valid_name(member.name))
    return "is no name for a worker, job or check: a word of lower-case letters, digits, - and _ is wanted";
  if (member.stop_within < Duration{0}) return "has a negative stop_within";
  if (const auto& every = member.every) {
    if (every->period <= Duration{0}) return "has a period that is not positive";
    if (!(every->jitter >= 0.0 && every->jitter <= 1.0)) return "has a jitter that is not from 0 to 1";
    return {};
  }
  const RestartPolicy& policy = member.restart;
  if (!(policy.jitter >= 0.0 && policy.jitter <= 1.0)) return "has a jitter that is not from 0 to 1";
  for (const auto duration : {policy.delay, policy.delay_max, policy.within, policy.healthy_after})
    if (duration.count() < 0) return "has a negative duration in its restart policy";
  return {};
}

/// The workers of a circle, in order; empty where there is none. Depth first, `path` being the way to `worker`.
std::vector<WorkerId> circle_through(WorkerId worker, const std::vector<Member>& members, std::vector<char>& seen,
                                     std::vector<WorkerId>& path) {
  if (const auto before = std::find(path.begin(), path.end(), worker); before != path.end()) return {before, path.end()};
  if (std::exchange(seen[worker], 1) != 0) return {};
  path.push_back(worker);
  for (const WorkerId other : members[worker].after)
    if (auto circle = circle_through(other, members, seen, path); !circle.empty()) return circle;
  path.pop_back();
  return {};
}

}  // namespace

bool is_valid_name(std::string_view name) noexcept {
  const auto is_word = [](char c) { return base::is_lower(c) || base::is_digit(c) || c == '_' || c == '-'; };
  return !name.empty() && base::is_lower(name.front()) && std::all_of(name.begin(), name.end(), is_word);
}

Result<std::vector<Member>> check_plan(std::vector<Member> members) {
  if (members.size() > workers_max)
    return Error{fmt::format("{} workers and jobs are more than {}", members.size(), workers_max)};
  for (std::size_t i = 0; i < members.size(); ++i) {
    const std::string shown = base::escape(members[i].name);
    if (const std::string fault = fault_of(members[i]); !fault.empty()) return Error{fmt::format("\"{}\" {}", shown, fault)};
    for (std::size_t k = 0; k < i; ++k)
      if (members[k].name == members[i].name) return Error{fmt::format("two workers or jobs are called \"{}\"", shown)};
    for (const WorkerId other : members[i].after)
      PERDURE_ASSERT(other < members.size(), "a worker comes after one of the same App");
  }
  std::vector<char> seen(members.size(), 0);
  for (WorkerId worker = 0; worker < members.size(); ++worker) {
    std::vector<WorkerId> path;
    const auto circle = circle_through(worker, members, seen, path);
    if (circle.empty()) continue;
    std::string names;
    for (const WorkerId at : circle) names += members[at].name + " after ";
    return Error{"workers wait for each other: " + names + members[circle.front()].name};
  }
  return members;
}

std::string_view name(WorkerState state) noexcept {
  constexpr std::string_view names[] = {"waiting", "starting", "ready", "pausing", "stopping", "late", "done", "failed"};
  static_assert(std::size(names) == states);
  return names[static_cast<std::size_t>(state)];
}

Crew::Worker::Worker(Member described) : member(std::move(described)), restarts(member.restart) {}

Crew::Crew(std::vector<Member> plan) {
  for (Member& member : plan) workers_.emplace_back(std::move(member));
  for (WorkerId worker = 0; worker < workers_.size(); ++worker)
    for (const WorkerId other : workers_[worker].member.after) workers_[other].before.push_back(worker);
}

std::uint64_t Crew::restarts(WorkerId worker) const {
  const Worker& w = workers_.at(worker);
  return w.member.every ? 0 : w.restarts.count();
}

void Crew::step(Instant now, const Fact& fact, double fraction, std::vector<Order>& orders) {
  Moment moment{now, fraction, policy::Ending::Clean, orders};
  if (std::holds_alternative<Begun>(fact)) begun_ = true;
  if (std::holds_alternative<StopRequested>(fact)) stopping_ = true;
  if (std::holds_alternative<DeadlinePassed>(fact)) {
    for (WorkerId worker = 0; worker < workers_.size(); ++worker) {
      const Worker& w = workers_[worker];
      const bool has_deadline = w.state == WorkerState::Pausing || w.state == WorkerState::Stopping;
      if (has_deadline && w.due <= now) happen(Happening::Due, worker, moment);
    }
  }
  if (const auto* ready = std::get_if<SaidReady>(&fact); ready != nullptr && ready->run == workers_.at(ready->worker).run)
    happen(Happening::SaidReady, ready->worker, moment);
  if (const auto* ended = std::get_if<Ended>(&fact); ended != nullptr && ended->run == workers_.at(ended->worker).run) {
    moment.how = stopping_ ? policy::Ending::StopRequested : ended->how;
    happen(Happening::Ended, ended->worker, moment);
  }
  settle(moment);
}

void Crew::happen(Happening what, WorkerId worker, const Moment& moment) {
  Worker& w = workers_[worker];
  switch (table.at(static_cast<std::size_t>(w.state)).at(static_cast<std::size_t>(what))) {
    case Move::Nothing: break;
    case Move::Begin:
      if (!w.member.every) return start(worker, moment);
      w.was_ready = true;  // nobody waits for a job
      w.grid = moment.now + (w.member.every->run_now ? Duration{0} : w.member.every->period);
      if (w.member.every->run_now) return start(worker, moment);  // now is not moved
      schedule(w, moment.now, moment);
      break;
    case Move::Start: start(worker, moment); break;
    case Move::Serve:
      w.state = WorkerState::Ready;
      w.was_ready = true;
      break;
    case Move::Judge: judge(worker, moment); break;
    case Move::Tell:
      w.state = WorkerState::Stopping;
      w.due = moment.now + w.member.stop_within;
      moment.orders.emplace_back(TellToStop{worker});
      break;
    case Move::CallLate:
      w.state = WorkerState::Late;
      moment.orders.emplace_back(NameLate{worker});
      break;
    case Move::Finish: w.state = WorkerState::Done; break;
  }
}

void Crew::start(WorkerId worker, const Moment& moment) {
  Worker& w = workers_[worker];
  ++w.run;
  w.state = w.member.every ? WorkerState::Ready : WorkerState::Starting;
  w.restarts.started(moment.now);
  moment.orders.emplace_back(StartWorker{worker, w.run});
}

void Crew::judge(WorkerId worker, const Moment& moment) {
  Worker& w = workers_[worker];
  if (w.member.every) {  // whatever it ended with: the next run is a new chance
    // What came due while it ran is left out; the grid stays where it is.
    const Duration period = w.member.every->period;
    w.grid += period * (std::max(moment.now - w.grid, Duration{0}) / period + 1);
    return schedule(w, moment.now, moment);
  }
  const auto decision = w.restarts.ended(moment.how, moment.now, moment.fraction);
  if (decision.verdict == policy::Verdict::Restart) {
    w.state = WorkerState::Pausing;
    w.due = moment.now + decision.pause;
    moment.orders.emplace_back(TellOfRestart{worker, decision.pause});
    return;
  }
  const bool is_well = moment.how == policy::Ending::Clean || moment.how == policy::Ending::StopRequested;
  if (decision.verdict == policy::Verdict::Finish && is_well) {
    w.state = WorkerState::Done;
    w.was_ready = true;  // whoever comes after it wanted it to have done its work
    return;
  }
  w.state = WorkerState::Failed;
  failed_ = true;
  moment.orders.emplace_back(TellOfGivingUp{worker, decision.verdict == policy::Verdict::GiveUp});
}

void Crew::schedule(Worker& job, Instant not_before, const Moment& moment) {
  // One random number serves jobs that are scheduled at the same moment: each takes its own part of the circle.
  constexpr double golden = 0.6180339887498949;
  const auto index = static_cast<double>(&job - workers_.data());
  double fraction = moment.fraction + golden * index;
  fraction -= static_cast<double>(static_cast<std::uint64_t>(fraction));
  const double moved =
      static_cast<double>(job.member.every->period.count()) * job.member.every->jitter * (2.0 * fraction - 1.0);
  job.due = std::max(job.grid + Duration{static_cast<Duration::rep>(moved)}, not_before);
  job.state = WorkerState::Pausing;
  if (job.due <= moment.now) start(static_cast<WorkerId>(&job - workers_.data()), moment);
}

bool Crew::is_over(WorkerId worker) const {
  const WorkerState state = workers_[worker].state;
  return state == WorkerState::Done || state == WorkerState::Failed;
}

/// The rules that look at all of them together.
void Crew::settle(const Moment& moment) {
  const auto was_ready_once = [this](WorkerId other) { return workers_[other].was_ready; };
  const auto lets_go = [this](WorkerId other) { return is_over(other) || workers_[other].state == WorkerState::Late; };

  if (stopping_) {
    // Whoever does not run is over at once, needed or not: nobody is started any more. Whoever ends lets the next go, so a round
    // may make another one possible.
    for (bool changed = true; std::exchange(changed, false);) {
      for (WorkerId worker = 0; worker < workers_.size(); ++worker) {
        const Worker& w = workers_[worker];
        const WorkerState before = w.state;
        const bool runs = before != WorkerState::Waiting && before != WorkerState::Pausing;
        if (!runs || std::all_of(w.before.begin(), w.before.end(), lets_go)) happen(Happening::Dismissed, worker, moment);
        changed = changed || w.state != before;
      }
    }
  } else if (begun_ && !failed_) {
    for (bool changed = true; std::exchange(changed, false);) {
      for (WorkerId worker = 0; worker < workers_.size(); ++worker) {
        const Worker& w = workers_[worker];
        if (w.state != WorkerState::Waiting) continue;
        if (!std::all_of(w.member.after.begin(), w.member.after.end(), was_ready_once)) continue;
        happen(Happening::Allowed, worker, moment);
        changed = true;  // a job is ready at once
      }
    }
    if (!ready_ && std::all_of(workers_.begin(), workers_.end(), [](const Worker& w) { return w.was_ready; })) {
      ready_ = true;
      moment.orders.emplace_back(CrewIsReady{});
    }
  }

  const auto has_end = [](const Worker& w) { return !w.member.every; };
  const bool all_done = std::any_of(workers_.begin(), workers_.end(), has_end) &&
                        std::all_of(workers_.begin(), workers_.end(), [&](const Worker& w) {
                          return !has_end(w) || w.state == WorkerState::Done || w.state == WorkerState::Failed;
                        });
  if (begun_ && !stopping_ && (failed_ || all_done) && !std::exchange(stop_asked_, true))
    moment.orders.emplace_back(RequestStop{});

  bool nobody_runs = stopping_;
  for (WorkerId worker = 0; worker < workers_.size(); ++worker) nobody_runs = nobody_runs && is_over(worker);
  if (nobody_runs && !std::exchange(over_, true)) moment.orders.emplace_back(CrewIsOver{});
}

std::optional<Instant> Crew::next_deadline() const {
  std::optional<Instant> next;
  for (const Worker& w : workers_) {
    if (w.state != WorkerState::Pausing && w.state != WorkerState::Stopping) continue;
    if (!next || w.due < *next) next = w.due;
  }
  return next;
}

}  // namespace perdure::app
