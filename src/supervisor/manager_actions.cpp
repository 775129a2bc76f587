// What the manager does when the core orders it.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/errno_name.hpp"
#include "core/print.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr base::Duration emptiness_pause = std::chrono::milliseconds{50};
constexpr base::Duration leaves_pause = std::chrono::milliseconds{100};
/// A keeper that is silent for so long after an order may sit in a frozen cgroup.
constexpr base::Duration keeper_answer_within = std::chrono::seconds{1};

/// 16 random bytes, out of a block so that a start costs no system call for them.
std::array<std::uint8_t, 16> new_invocation() {
  static std::array<std::uint8_t, 4096> block;
  static std::size_t at = block.size();
  if (at + 16 > block.size()) {
    if (sys::getrandom(block.data(), block.size(), 0) != static_cast<ssize_t>(block.size())) return {};
    at = 0;
  }
  std::array<std::uint8_t, 16> id{};
  std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(at), 16, id.begin());
  at += 16;
  return id;
}

bool is_for_want_of_resources(int error) {
  return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE || error == ENOSPC || error == EINTR ||
         error == EBUSY;
}

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

}  // namespace

void Manager::carry_out(const core::Action& action) {
  std::visit(Overloaded{
                 [](const core::RecordUnit&) {},  // written before anything is carried out: record()
                 [this](const core::SpawnProcess& order) { spawn(order.key); },
                 [this](const core::SendSignal& order) { send_signal(order); },
                 [this](const core::KillRun& order) { kill_run(order.run); },
                 [this](const core::WatchRun& order) { watch(order.run); },
                 [this](const core::ReleaseRun& order) { release(order.run); },
                 [this](const core::FinishJob& end) { verbs_.job_finished(end.job, end.result, answers_); },
                 [this](const core::AnnounceState& change) { announce(change); },
                 [](const core::AnnounceIgnored&) {},  // counted by the core
                 [this](const core::AnnounceAllStopped&) { finished_ = true; },
             },
             action);
}

/// Intent before effect: one write for all that the round decided.
void Manager::record(const core::ActionList& actions) {
  entries_.clear();
  for (const core::Action& action : actions) {
    const auto* const order = std::get_if<core::RecordUnit>(&action);
    if (order == nullptr) continue;
    JournalEntry entry{order->record, {}};
    const SupervisedUnit* const unit = find(order->record.unit);
    const Run* const run = unit == nullptr ? nullptr : unit->find_run(order->record.run);
    if (run != nullptr) entry.process = {run->pid, run->invocation};
    entries_.push_back(entry);
  }
  if (entries_.empty()) return;
  const Result<void> written = journal_->append(entries_);
  if (written && !journal_->wants_rewrite(units_.size())) return;
  // The core's records are at least as new as what was to be appended.
  std::vector<JournalEntry> all;
  for (const core::UnitRecord& known : engine_.snapshot()) {
    JournalEntry entry{known, {}};
    const SupervisedUnit* const unit = find(known.unit);
    if (const Run* const run = unit == nullptr ? nullptr : unit->find_run(known.run))
      entry.process = {run->pid, run->invocation};
    all.push_back(entry);
  }
  const bool was_volatile = journal_->is_volatile();
  journal_->rewrite(all);
  park(journal_label, journal_->fd());
  if (journal_->is_volatile() && !was_volatile) {
    notes_.push_back(journal_->note());
    say(journal_->note());
  }
}

// ---- starting

void Manager::spawn(const core::SpawnKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  if (unit == nullptr) return;
  Run* run = unit->find_run(key.run);
  if (run != nullptr && run->pid != 0) {
    events_.emplace_back(core::ProcessStarted{key});  // ordered before a recovery, and it is there
    if (run->exit) events_.emplace_back(core::ProcessExited{key, *run->exit, run->setup_failed});
    if (run->told_empty) events_.emplace_back(core::RunEmptied{key.run_key()});
    return;
  }
  if (run == nullptr) {
    unit->runs.push_back(std::make_unique<Run>());
    run = unit->runs.back().get();
    run->number = key.run;
    run->invocation = new_invocation();
  }
  run->spawn = key.spawn;
  order_spawn(*unit, *run, key);
}

void Manager::order_spawn(SupervisedUnit& unit, Run& run, const core::SpawnKey& key) {
  const Launch& launch = unit.launch;
  const auto fail = [&](const Error& error, core::SpawnProblem problem) {
    unit.last_failure = error.message();
    say(unit.name + ": " + error.message() + (problem == core::SpawnProblem::Resource ? "; tried again" : "; not started"));
    events_.emplace_back(core::SpawnFailed{key, problem});
  };
  const auto problem_of = [](const Error& error) {
    return is_for_want_of_resources(error.code()) ? core::SpawnProblem::Resource : core::SpawnProblem::Permanent;
  };
  keeper::Request request;
  request.operation = keeper::Operation::Spawn;
  request.key = {key.run, key.unit, key.spawn};
  request.spec_offset = launch.place.offset;
  request.spec_size = launch.place.size;
  std::copy(run.invocation.begin(), run.invocation.end(), std::begin(request.invocation));

  std::vector<UniqueFd> files;
  for (const StreamFile& file : launch.files) {
    files.emplace_back(sys::open(file.path.c_str(), file.flags | O_CLOEXEC | O_NONBLOCK, 0644));
    if (!files.back()) {
      const Error error = Error::from_errno(errno, "open", file.path);
      return fail(error, problem_of(error));
    }
    sys::fcntl(files.back().get(), F_SETFL, file.flags & O_APPEND);  // O_NONBLOCK was for a FIFO without a reader
  }
  UniqueFd log_end;
  UniqueFd gate_end;
  const auto make_pipe = [](UniqueFd& read_end, UniqueFd& write_end) {
    int ends[2] = {-1, -1};
    if (sys::pipe2(ends, O_CLOEXEC) != 0) return false;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    return true;
  };
  if (launch.has_log) {
    forget_log(run);
    if (!make_pipe(run.log, log_end))
      return fail(Error::from_errno(errno, "make", "the log pipe"), core::SpawnProblem::Resource);
    // Open for both: a service whose manager and keeper are gone still has a reader, itself, and is not killed by SIGPIPE.
    log_end.reset(sys::open(("/proc/self/fd/" + std::to_string(log_end.get())).c_str(), O_RDWR | O_CLOEXEC));
    if (!log_end) return fail(Error::from_errno(errno, "open", "the log pipe"), core::SpawnProblem::Resource);
    if (launch.log_owner != surroundings_.our_uid) sys::fchown(log_end.get(), launch.log_owner, launch.log_group);
  }
  if (launch.has_gate && !make_pipe(run.gate, gate_end)) {
    return fail(Error::from_errno(errno, "make", "a pipe"), core::SpawnProblem::Resource);
  }
  Result<Birthplace> place = tracking_.prepare(ProcessTracking::leaf_name(unit.name, key.run));
  if (!place) return fail(place.error(), problem_of(place.error()));

  std::vector<int> fds{specs_->fd()};
  for (std::uint32_t i = 0; i < launch.files_before_log; ++i) fds.push_back(files[i].get());
  if (launch.has_log) fds.push_back(log_end.get());
  for (std::size_t i = launch.files_before_log; i < files.size(); ++i) fds.push_back(files[i].get());
  if (launch.has_gate) fds.push_back(gate_end.get());
  if (place->fd && place->enters_by_itself) {
    request.flags |= keeper::enter_by_procs;
    fds.push_back(place->fd.get());
  }
  request.child_fds = static_cast<std::uint16_t>(fds.size());
  if (place->fd && !place->enters_by_itself) {
    request.flags |= keeper::has_cgroup;
    fds.push_back(place->fd.get());
  }
  if (run.log) {
    request.flags |= keeper::has_log;
    fds.push_back(run.log.get());
  }
  if (run.gate) {
    request.flags |= keeper::has_gate;
    fds.push_back(run.gate.get());
  }
  spawns_[keeper_.send(request, fds)] = key;
  timers_.arm(token_of(TokenKind::KeeperOwes), now_ + keeper_answer_within);
  owes_sign_of_life_ = false;
}

void Manager::take_spawned(const keeper::Header& header, const keeper::Entry& entry, std::vector<UniqueFd>& fds) {
  const auto ordered = spawns_.find(header.sequence);
  if (ordered == spawns_.end()) return;
  const core::SpawnKey key = ordered->second;
  spawns_.erase(ordered);
  if (spawns_.empty()) timers_.disarm(token_of(TokenKind::KeeperOwes));
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  if (header.error != 0 || header.count != 1) {
    const int error = header.error;
    const std::string leaf = ProcessTracking::leaf_name(unit->name, key.run);
    const bool is_full = error == ENOSPC;
    Error why = is_full ? Error{"the limit of " + std::to_string(header.capacity) +
                                    " processes is reached (RLIMIT_NOFILE); raise it and start the instance again",
                                error}
                        : Error::from_errno(error, "start", unit->launch.program);
    unit->last_failure = why.message();
    say(unit->name + ": " + why.message());
    forget_log(*run);
    run->gate.reset();
    if (!tracking_.remove(leaf)) remove_leaf(leaf);
    events_.emplace_back(core::SpawnFailed{
        key, is_for_want_of_resources(error) && !is_full ? core::SpawnProblem::Resource : core::SpawnProblem::Permanent});
    return;
  }
  run->pid = entry.pid;
  if (!fds.empty()) run->pidfd = std::move(fds.front());
  run->started = stamp(base::Instant{base::Duration{entry.started_ns}});
  if (run->log) {
    if (unit->log) unit->log->begin_run({run->number, static_cast<std::uint32_t>(run->pid), run->invocation});
    run->log_is_polled =
        poller_.add(run->log.get(), loop::Interest::Read, token_of(TokenKind::Log, unit->id, run->number)).has_value();
  }
  if (run->gate)
    static_cast<void>(poller_.add(run->gate.get(), loop::Interest::Read, token_of(TokenKind::Gate, unit->id, run->number)));
  events_.emplace_back(core::ProcessStarted{key});
}

void Manager::take_gate(SupervisedUnit& unit, Run& run) {
  char byte = 0;
  const bool failed = sys::read(run.gate.get(), &byte, 1) == 1;
  static_cast<void>(poller_.remove(run.gate.get()));
  run.gate.reset();
  if (!failed) events_.emplace_back(core::ProgramExecuted{{unit.id, run.number, run.spawn}});
}

// ---- signals

RunProcesses Manager::processes(const Run& run, const std::string& leaf) const {
  return {leaf, run.pid, run.invocation, run.pidfd.get()};
}

void Manager::send_signal(const core::SendSignal& order) {
  SupervisedUnit* const unit = find(order.key.unit);
  const Run* const run = unit == nullptr ? nullptr : unit->find_run(order.key.run);
  if (run == nullptr) return;
  if (order.target == core::SignalTarget::All) {
    tracking_.signal_all(processes(*run, ProcessTracking::leaf_name(unit->name, run->number)), order.signal);
    return;
  }
  if (!run->pidfd || run->exit) return;
  sys::pidfd_send_signal(run->pidfd.get(), order.signal);
  if (order.signal == SIGTERM || order.signal == SIGHUP) sys::pidfd_send_signal(run->pidfd.get(), SIGCONT);
}

void Manager::kill_run(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  const Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  const std::size_t count = tracking_.kill_all(processes(*run, ProcessTracking::leaf_name(unit->name, run->number)));
  if (run->pidfd && !run->exit) sys::pidfd_send_signal(run->pidfd.get(), SIGKILL);
  if (count > 0)
    say(unit->name + ": " + std::to_string(count) + (count == 1 ? " process was" : " processes were") +
        " killed with SIGKILL");
}

// ---- the end of a run

void Manager::check_empty(SupervisedUnit& unit, Run& run) {
  if (run.told_empty) return;
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.number);
  if (tracking_.is_empty(processes(run, leaf))) {
    run.told_empty = true;
    if (run.watch >= 0) {
      watches_.erase(run.watch);
      tracking_.unwatch(run.watch);
      run.watch = -1;
    }
    timers_.disarm(token_of(TokenKind::Emptiness, unit.id, run.number));
    events_.emplace_back(core::RunEmptied{{unit.id, run.number}});
  } else if (run.is_watched && run.watch < 0) {
    timers_.arm(token_of(TokenKind::Emptiness, unit.id, run.number), now_ + emptiness_pause);
  }
}

void Manager::watch(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) {
    events_.emplace_back(core::RunEmptied{key});  // a run that nobody knows has no process
    return;
  }
  if (run->told_empty) {
    events_.emplace_back(core::RunEmptied{key});  // the first time nobody may have been interested
    return;
  }
  run->is_watched = true;
  if (run->watch < 0) {
    run->watch = tracking_.watch(ProcessTracking::leaf_name(unit->name, key.run));
    if (run->watch >= 0) watches_[run->watch] = key;
  }
  check_empty(*unit, *run);  // after the watch stands, so that nothing falls between
}

void Manager::release(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  run->is_released = true;
  finish_release(*unit, *run);
}

void Manager::finish_release(SupervisedUnit& unit, Run& run) {
  if (run.log && !(drain_earlier_logs(unit, run) && drain_log(unit, run))) {
    timers_.arm(token_of(TokenKind::Release, unit.id, run.number), run.pacing.after_block(now_).at);
    return;
  }
  forget_log(run);
  if (run.gate) static_cast<void>(poller_.remove(run.gate.get()));
  if (run.pid != 0 || run.exit) {
    keeper::Request request;
    request.operation = keeper::Operation::Acknowledge;
    request.key = {run.number, unit.id, run.spawn};
    keeper_.send(request);
    owes_sign_of_life_ = false;
  }
  if (run.watch >= 0) {
    watches_.erase(run.watch);
    tracking_.unwatch(run.watch);
  }
  timers_.disarm(token_of(TokenKind::Emptiness, unit.id, run.number));
  timers_.disarm(token_of(TokenKind::Release, unit.id, run.number));
  std::string leaf = ProcessTracking::leaf_name(unit.name, run.number);
  if (!tracking_.remove(leaf)) remove_leaf(std::move(leaf));
  std::erase_if(unit.runs, [&run](const auto& known) { return known.get() == &run; });
}

void Manager::remove_leaf(std::string leaf) {
  if (tracking_.remove(leaf)) return;
  old_leaves_.push_back(std::move(leaf));
  timers_.arm(token_of(TokenKind::OldLeaves), now_ + leaves_pause);
}

// ---- logs

logbook::UnitLog& Manager::log_of(SupervisedUnit& unit) {
  if (!unit.log) unit.log = std::make_unique<logbook::UnitLog>(*logs_, unit.name);
  return *unit.log;
}

void Manager::forget_log(Run& run) {
  if (run.log && run.log_is_polled) static_cast<void>(poller_.remove(run.log.get()));
  run.log_is_polled = false;
  run.log.reset();
}

bool Manager::drain_log(SupervisedUnit& unit, Run& run) {
  log_of(unit).begin_run({run.number, static_cast<std::uint32_t>(run.pid), run.invocation});
  const logbook::Taken taken = unit.log->drain(run.log.get(), logbook::LogTime::now());
  if (!taken.note.empty()) say(unit.name + ": " + taken.note);
  const Run* const present = unit.last_run();
  if (present != &run && present->pid != 0)
    unit.log->begin_run({present->number, static_cast<std::uint32_t>(present->pid), present->invocation});
  return taken.blocked == 0;
}

/// What runs before this one have said comes first in the log. A recovery finds the pipes of both; false: not all of it fits.
bool Manager::drain_earlier_logs(SupervisedUnit& unit, const Run& run) {
  return std::all_of(unit.runs.begin(), unit.runs.end(), [&](const auto& earlier) {
    return earlier->number >= run.number || !earlier->exit || !earlier->log || drain_log(unit, *earlier);
  });
}

void Manager::take_log(SupervisedUnit& unit, Run& run) {
  if (!run.log) return;
  const loop::Token token = token_of(TokenKind::Log, unit.id, run.number);
  if (!drain_earlier_logs(unit, run)) {
    timers_.arm(token, run.pacing.after_block(now_).at);
    return;
  }
  log_of(unit).begin_run({run.number, static_cast<std::uint32_t>(run.pid), run.invocation});
  const logbook::Taken taken = unit.log->take(run.log.get(), logbook::LogTime::now());
  if (!taken.note.empty()) say(unit.name + ": " + taken.note);
  if (taken.end && taken.blocked == 0) {
    forget_log(run);
    timers_.disarm(token);
    return;
  }
  const base::Instant now = os::monotonic_now();
  const logbook::PipePacing::Next next =
      taken.blocked != 0 ? run.pacing.after_block(now) : run.pacing.after_look(now, taken.bytes);
  if (next.resize != 0) run.pacing.resized(logbook::resize_pipe(run.log.get(), next.resize));
  if (next.how == logbook::PipePacing::How::Watch) {
    timers_.disarm(token);
    if (!run.log_is_polled) run.log_is_polled = poller_.add(run.log.get(), loop::Interest::Read, token).has_value();
    if (!run.log_is_polled)
      timers_.arm(token, now + std::chrono::seconds{1});  // no room to watch it: looked at now and then
  } else {
    if (run.log_is_polled) static_cast<void>(poller_.remove(run.log.get()));
    run.log_is_polled = false;
    timers_.arm(token, next.at);
  }
}

// ---- telling

void Manager::announce(const core::AnnounceState& change) {
  SupervisedUnit* const unit = find(change.unit);
  if (unit == nullptr) return;
  const Timestamp now = stamp(now_);
  unit->state_change = now;
  if (change.to == core::ServiceState::Running) unit->active_enter = now;
  if (change.to == core::ServiceState::Dead || change.to == core::ServiceState::Failed ||
      change.to == core::ServiceState::AutoRestart)
    unit->inactive_enter = now;
  if (change.to != core::ServiceState::Failed && change.to != core::ServiceState::AutoRestart) return;
  std::string line = unit->name + ": ";
  const Run* const run = unit->last_run();
  if (run != nullptr && run->exit) {
    const core::Exit& exit = *run->exit;
    line += "main process " + std::to_string(run->pid);
    switch (exit.kind) {
      case core::ExitKind::Exited: line += " exited with " + std::to_string(exit.status); break;
      case core::ExitKind::Killed: line += " was killed by signal " + std::to_string(exit.status); break;
      case core::ExitKind::Dumped: line += " dumped core on signal " + std::to_string(exit.status); break;
      case core::ExitKind::Unknown: line += " ended, nobody saw how"; break;
    }
    line += "; ";
  }
  line += change.to == core::ServiceState::Failed ? "failed (" + std::string{core::name(change.result)} + ")"
                                                  : std::string{"restart follows"};
  say(line);
}

}  // namespace perdure::supervisor
