// What the manager does when the core orders it.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/buffer.hpp"
#include "base/errno_name.hpp"
#include "core/print.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr base::Duration emptiness_pause = std::chrono::milliseconds{50};
/// The first look after one that found a run not empty yet; each later one waits twice as long.
constexpr base::Duration first_look_pause = std::chrono::microseconds{250};
/// Runs of one unit whose output waits for the log; from then on the unit is not started again.
constexpr std::size_t unwritten_runs_max = 8;
/// Lines about endings of one unit before the rest of the minute is told as a number.
constexpr std::uint32_t told_max = 10;
constexpr base::Duration telling_window = std::chrono::minutes{1};
constexpr std::size_t named_processes_max = 8;
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

/// "sleep (12), sh (13)"
std::string names_of(const std::vector<NamedProcess>& processes) {
  std::string names;
  for (const NamedProcess& process : processes) {
    if (!names.empty()) names += ", ";
    names += process.name + " (" + std::to_string(process.pid) + ')';
  }
  return names;
}

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;  // clang before 17 does not find it by itself

}  // namespace

std::uint64_t Manager::inode_of(const UniqueFd& fd) {
  struct stat status {};
  return fd && sys::fstat(fd.get(), &status) == 0 ? status.st_ino : 0;
}

void Manager::carry_out(const core::Action& action) {
  std::visit(Overloaded{
                 [](const core::RecordUnit&) {},  // written before anything is carried out: record()
                 [this](const core::SpawnProcess& order) { spawn(order); },
                 [this](const core::CheckConditions& order) { check_conditions(order.unit); },
                 [this](const core::FindMain& order) { find_main(order.run); },
                 [this](const core::TrackMain& order) { track_main(order.key); },
                 [this](const core::SendSignal& order) { send_signal(order); },
                 [this](const core::KillRun& order) { kill_run(order.run); },
                 [this](const core::WatchRun& order) { watch(order.run); },
                 [this](const core::ReleaseProcess& order) { release_process(order.key); },
                 [this](const core::ReleaseRun& order) { release(order.run); },
                 [this](const core::FinishJob& end) { verbs_.job_finished(end.job, end.result, answers_); },
                 [this](const core::AnnounceState& change) { announce(change); },
                 [this](const core::AnnounceCycle& cycle) { announce(cycle); },
                 [](const core::AnnounceIgnored&) {},  // counted by the core
                 [this](const core::AnnounceCutShort& cut) { announce(cut); },
                 [this](const core::EndInstance& order) { end_instance(order); },
                 [this](const core::AnnounceAllStopped&) { finished_ = true; },
             },
             action);
}

/// Whom a record is about. A run has its INVOCATION_ID from the first record of it on, before there is any process: whoever comes
/// after us gives the same to what is still to be started in it.
ProcessMark Manager::mark_of(const core::UnitRecord& record) {
  SupervisedUnit* const unit = find(record.unit);
  if (unit == nullptr || record.run == 0) return {};
  if (const Run* const run = unit->find_run(record.run)) return {run->pid, run->invocation, run->log_pipe};
  if (unit->last != nullptr && unit->last->run == record.run)
    return {unit->last->pid, unit->last->invocation, unit->last->log_pipe};
  if (unit->next_run != record.run) {
    unit->next_run = record.run;
    unit->next_invocation = new_invocation();
  }
  return {0, unit->next_invocation, 0};
}

/// Intent before effect: one write for all that the round decided.
void Manager::record(const core::ActionList& actions) {
  for (const core::Action& action : actions) {
    const auto* const order = std::get_if<core::RecordUnit>(&action);
    if (order == nullptr) continue;
    entries_.push_back({order->record, mark_of(order->record)});
  }
  if (entries_.empty()) return;
  const Result<void> written = journal_->append(entries_);
  base::clear_burst(entries_);
  if (written && !journal_->wants_rewrite(units_.size())) return;
  // The core's records are at least as new as what was to be appended.
  std::vector<JournalEntry> all;
  for (const core::UnitRecord& known : engine_.snapshot()) all.push_back({known, mark_of(known)});
  const bool was_volatile = journal_->is_volatile();
  journal_->rewrite(all);
  park(journal_label, journal_->fd());
  if (journal_->is_volatile() && !was_volatile) {
    notes_.push_back(journal_->note());
    say(journal_->note());
  }
}

// ---- starting

void Manager::spawn(const core::SpawnProcess& order) {
  const core::SpawnKey& key = order.key;
  SupervisedUnit* const unit = find(key.unit);
  if (unit == nullptr) return;
  Run* run = unit->find_run(key.run);
  if (run != nullptr && is_told_again(*run, order)) return;
  if (run == nullptr) {
    const auto is_unwritten = [](const auto& earlier) { return earlier->is_released; };
    if (std::count_if(unit->runs.begin(), unit->runs.end(), is_unwritten) >=
        static_cast<std::ptrdiff_t>(unwritten_runs_max)) {
      unit->last_failure = "it is not started again before its log can be written (" + std::to_string(unwritten_runs_max) +
                           " runs wait for that)";
      events_.emplace_back(core::SpawnFailed{key, core::SpawnProblem::Resource});
      return;
    }
    unit->runs.push_back(std::make_unique<Run>());
    run = unit->runs.back().get();
    run->run = key.run;
    run->invocation = unit->last != nullptr && unit->last->run == key.run ? unit->last->invocation
                      : unit->next_run == key.run                         ? unit->next_invocation
                                                                          : new_invocation();
  }
  run->last_spawn = std::max(run->last_spawn, key.spawn);
  if (order.is_main) {
    run->spawn = key.spawn;
    run->pid = 0;
    run->exit.reset();
    run->setup_failed = false;
    run->pidfd.reset();
  } else {
    run->control = std::make_unique<ControlProcess>();
    run->control->spawn = key.spawn;
  }
  // Whether it is empty is to be asked anew from now on.
  run->told_empty = run->is_watched = false;
  run->looks = 0;
  order_spawn(*unit, *run, order);
}

/// Ordered before a recovery, and it is there: what is known of it is told once more.
bool Manager::is_told_again(const Run& run, const core::SpawnProcess& order) {
  const core::SpawnKey& key = order.key;
  const bool is_main = run.spawn == key.spawn && run.pid != 0;
  const bool is_control = run.control != nullptr && run.control->spawn == key.spawn && run.control->pid != 0;
  if (!is_main && !is_control) return false;
  events_.emplace_back(core::ProcessStarted{key});
  const std::optional<core::Exit>& exit = is_main ? run.exit : run.control->exit;
  if (exit) events_.emplace_back(core::ProcessExited{key, *exit, is_main ? run.setup_failed : run.control->setup_failed});
  if (run.told_empty) events_.emplace_back(core::RunEmptied{key.run_key(), run.last_spawn});
  return true;
}

void Manager::order_spawn(SupervisedUnit& unit, Run& run, const core::SpawnProcess& order) {
  const core::SpawnKey& key = order.key;
  const auto fail = [&](const Error& error, core::SpawnProblem problem) {
    unit.last_failure = error.message();
    say(unit.name + ": " + error.message() + (problem == core::SpawnProblem::Resource ? "; tried again" : "; not started"));
    events_.emplace_back(core::SpawnFailed{key, problem});
  };
  const auto problem_of = [](const Error& error) {
    return is_for_want_of_resources(error.code()) ? core::SpawnProblem::Resource : core::SpawnProblem::Permanent;
  };
  Launch fresh;
  UniqueFd fresh_spec;
  const Result<const Launch*> found = launch_for(unit, run, order, fresh, fresh_spec);
  if (!found) return fail(found.error(), problem_of(found.error()));
  const Launch& launch = **found;
  if (const Result<void> written = specs_->flush(); !written) return fail(written.error(), core::SpawnProblem::Resource);
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
    if (!run.log) {
      if (!make_pipe(run.log, log_end))
        return fail(Error::from_errno(errno, "make", "the log pipe"), core::SpawnProblem::Resource);
      run.log_pipe = inode_of(run.log);
    }
    // Open for both: a service whose manager and keeper are gone still has a reader, itself, and is not killed by SIGPIPE.
    log_end.reset(sys::open(("/proc/self/fd/" + std::to_string(run.log.get())).c_str(), O_RDWR | O_CLOEXEC));
    if (!log_end) return fail(Error::from_errno(errno, "open", "the log pipe"), core::SpawnProblem::Resource);
    if (launch.log_owner != surroundings_.our_uid) sys::fchown(log_end.get(), launch.log_owner, launch.log_group);
  }
  const bool has_gate = launch.has_gate && order.is_main;
  if (has_gate && !make_pipe(run.gate, gate_end)) {
    return fail(Error::from_errno(errno, "make", "a pipe"), core::SpawnProblem::Resource);
  }
  Result<Birthplace> place = tracking_.prepare(ProcessTracking::leaf_name(unit.name, key.run));
  if (!place) return fail(place.error(), problem_of(place.error()));

  std::vector<int> fds{fresh_spec ? fresh_spec.get() : specs_->fd()};
  for (std::uint32_t i = 0; i < launch.files_before_log; ++i) fds.push_back(files[i].get());
  if (launch.has_log) fds.push_back(log_end.get());
  for (std::size_t i = launch.files_before_log; i < files.size(); ++i) fds.push_back(files[i].get());
  if (has_gate) fds.push_back(gate_end.get());
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
  if (has_gate) {
    request.flags |= keeper::has_gate;
    fds.push_back(run.gate.get());
  }
  spawns_[keeper_.send(request, fds)] = order;
  timers_.arm(token_of(TokenKind::KeeperOwes), now_ + keeper_answer_within);
  owes_sign_of_life_ = false;
}

void Manager::take_spawned(const keeper::Header& header, const keeper::Entry& entry, std::vector<UniqueFd>& fds) {
  const auto ordered = spawns_.find(header.sequence);
  if (ordered == spawns_.end()) return;
  const core::SpawnProcess order = ordered->second;
  const core::SpawnKey key = order.key;
  spawns_.erase(ordered);
  if (spawns_.empty()) timers_.disarm(token_of(TokenKind::KeeperOwes));
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  const bool is_only_one = run->unacknowledged.empty();
  if (header.error != 0 || header.count != 1) {
    const int error = header.error;
    const bool is_full = error == ENOSPC;
    Error why = is_full ? Error{"the limit of " + std::to_string(header.capacity) +
                                    " processes is reached (RLIMIT_NOFILE); raise it and start the instance again",
                                error}
                        : Error::from_errno(error, "start", executed_by(*unit, order.phase, order.command).program);
    unit->last_failure = why.message();
    const bool is_tried_again = is_for_want_of_resources(error) && !is_full;
    say(unit->name + ": " + why.message() + (is_tried_again ? "; tried again" : "; not started"));
    if (order.is_main) run->gate.reset();
    if (is_only_one) {
      forget_log(*run);
      const std::string leaf = ProcessTracking::leaf_name(unit->name, key.run);
      if (!tracking_.remove(leaf)) remove_leaf(leaf);
    }
    events_.emplace_back(
        core::SpawnFailed{key, is_tried_again ? core::SpawnProblem::Resource : core::SpawnProblem::Permanent});
    return;
  }
  note_entry(*unit, *run, key.spawn);
  UniqueFd pidfd = fds.empty() ? UniqueFd{} : std::move(fds.front());
  if (order.is_main) {
    run->pid = entry.pid;
    run->pidfd = std::move(pidfd);
    run->started = stamp(base::Instant{base::Duration{entry.started_ns}});
  } else if (run->control != nullptr && run->control->spawn == key.spawn) {
    run->control->pid = entry.pid;
    run->control->pidfd = std::move(pidfd);
  }
  if (run->log) {
    if (unit->log) unit->log->begin_run(identity_of(*run));
    run->log_has_ended = false;
    if (!run->log_is_polled)
      run->log_is_polled =
          poller_.add(run->log.get(), loop::Interest::Read, token_of(TokenKind::Log, unit->id, run->run)).has_value();
  }
  if (order.is_main && run->gate)
    static_cast<void>(poller_.add(run->gate.get(), loop::Interest::None, token_of(TokenKind::Gate, unit->id, run->run)));
  events_.emplace_back(core::ProcessStarted{key});
}

/// Who is behind the run's output: the main process where there is one, else whoever was started for it first.
logbook::RunIdentity Manager::identity_of(const Run& run) {
  const bool is_before_main = run.pid == 0 && run.control != nullptr;
  return {run.run, static_cast<std::uint32_t>(is_before_main ? run.control->pid : run.pid), run.invocation};
}

/// The gate has ended: the program was executed, or its process is gone. Nothing is read from it, for the next manager may have to
/// look as well.
void Manager::take_gate(SupervisedUnit& unit, Run& run) {
  static_cast<void>(poller_.remove(run.gate.get()));
  if (!is_through(run)) return;  // what became of the process tells the rest
  run.gate.reset();
  events_.emplace_back(core::ProgramExecuted{{unit.id, run.run, run.spawn}});
}

/// Whether the executor got as far as the program. Requires: the gate's other end is closed.
bool Manager::is_through(const Run& run) {
  int unread = 0;
  return !run.gate || (sys::ioctl(run.gate.get(), FIONREAD, &unread) == 0 && unread == 1);
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
    const std::string leaf = ProcessTracking::leaf_name(unit->name, run->run);
    if (run->exit) {
      const std::string left = names_of(tracking_.named(processes(*run, leaf), named_processes_max));
      if (!left.empty()) say(unit->name + ": its main process left others behind, which are told to end: " + left);
    }
    tracking_.signal_all(processes(*run, leaf), order.signal);
    return;
  }
  const ControlProcess* const control = run->control.get();
  const bool is_control = control != nullptr && control->spawn == order.key.spawn;
  if (!is_control && run->spawn != order.key.spawn) return;
  const UniqueFd& pidfd = is_control ? control->pidfd : run->pidfd;
  if (!pidfd || (is_control ? control->exit : run->exit)) return;
  sys::pidfd_send_signal(pidfd.get(), order.signal);
  if (order.signal == SIGTERM || order.signal == SIGHUP) sys::pidfd_send_signal(pidfd.get(), SIGCONT);
}

void Manager::kill_run(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  const std::string leaf = ProcessTracking::leaf_name(unit->name, run->run);
  const std::vector<NamedProcess> found = tracking_.named(processes(*run, leaf), named_processes_max);
  const std::size_t count = tracking_.kill_all(processes(*run, leaf));
  if (run->pidfd && !run->exit) sys::pidfd_send_signal(run->pidfd.get(), SIGKILL);
  run->is_killed = true;
  if (count == 0) return;
  std::string line =
      unit->name + ": " + std::to_string(count) + (count == 1 ? " process was" : " processes were") + " killed with SIGKILL";
  if (!found.empty()) line += ": " + names_of(found);
  if (count > found.size() && !found.empty()) line += ", …";
  say(line);
}

// ---- the end of a run

void Manager::check_empty(SupervisedUnit& unit, Run& run) {
  if (run.told_empty) return;
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  if (tracking_.is_empty(processes(run, leaf))) {
    run.told_empty = true;
    if (run.watch >= 0) {
      watches_.erase(run.watch);
      tracking_.unwatch(run.watch);
      run.watch = -1;
    }
    timers_.disarm(token_of(TokenKind::Emptiness, unit.id, run.run));
    events_.emplace_back(core::RunEmptied{{unit.id, run.run}, run.last_spawn});
  } else if (run.is_watched && run.is_without_process()) {
    look_again_later(unit, run);
  }
}

/// The last threads of a process end a little after it, and a notice that a cgroup has become empty comes late where others came
/// shortly before (the kernel holds them back for 10 ms). So some looks follow soon; who is still there then is waited for by
/// notice, where there is one.
void Manager::look_again_later(SupervisedUnit& unit, Run& run) {
  constexpr std::uint8_t soon_looks = 7;  // the last one 16 ms after the one before
  if (run.watch >= 0) return;
  base::Duration pause = emptiness_pause;
  if (run.looks < soon_looks) {
    pause = first_look_pause * (1 << run.looks++);
  } else {
    run.watch = tracking_.watch(ProcessTracking::leaf_name(unit.name, run.run));
    if (run.watch >= 0) {
      watches_[run.watch] = {unit.id, run.run};
      return check_empty(unit, run);  // once more, so that nothing falls between
    }
  }
  timers_.arm(token_of(TokenKind::Emptiness, unit.id, run.run), now_ + pause);
}

void Manager::watch(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) {
    events_.emplace_back(core::RunEmptied{key, 0});  // a run that nobody knows has no process
    return;
  }
  if (run->told_empty) {
    events_.emplace_back(core::RunEmptied{key, run->last_spawn});  // the first time nobody may have been interested
    return;
  }
  run->is_watched = true;
  // As long as a process of ours lives there is nothing to see; its end brings us back here.
  if (run->is_without_process()) check_empty(*unit, *run);
}

void Manager::release(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  run->is_released = true;
  if (unit->last == nullptr) unit->last = std::make_unique<MainProcess>();
  *unit->last = *run;
  if (!spawns_.empty()) return deferred_.push_back(key);
  finish_release(*unit, *run);
}

void Manager::finish_release(SupervisedUnit& unit, Run& run) {
  if (run.log && !(drain_earlier_logs(unit, run) && drain_log(unit, run))) {
    timers_.arm(token_of(TokenKind::Release, unit.id, run.run), run.pacing.after_block(now_).at);
    return;
  }
  if (run.log && console_.is_on()) console_.end_line(unit.name, has_levels(unit));
  forget_log(run);
  if (run.gate) static_cast<void>(poller_.remove(run.gate.get()));
  for (const std::uint32_t spawn : run.unacknowledged) acknowledge({unit.id, run.run, spawn});
  if (run.watch >= 0) {
    watches_.erase(run.watch);
    tracking_.unwatch(run.watch);
  }
  timers_.disarm(token_of(TokenKind::Emptiness, unit.id, run.run));
  timers_.disarm(token_of(TokenKind::Release, unit.id, run.run));
  std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  if (!tracking_.remove(leaf)) remove_leaf(std::move(leaf));
  std::erase_if(unit.runs, [&run](const auto& known) { return known.get() == &run; });
}

void Manager::acknowledge(const core::SpawnKey& key) {
  keeper::Request request;
  request.operation = keeper::Operation::Acknowledge;
  request.key = {key.run, key.unit, key.spawn};
  keeper_.send(request);
  owes_sign_of_life_ = false;
}

void Manager::release_process(const core::SpawnKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) return;
  // The keeper's entry is how the next manager knows that there is a run, and has its log. So the last one stays.
  if (run->unacknowledged == std::vector{key.spawn}) run->held = key.spawn;
  else if (std::erase(run->unacknowledged, key.spawn) > 0) acknowledge(key);
  if (run->control != nullptr && run->control->spawn == key.spawn) run->control.reset();
}

/// The keeper holds an entry for the spawn; one that was held only so that there is one may go.
void Manager::note_entry(const SupervisedUnit& unit, Run& run, std::uint32_t spawn) {
  const std::uint32_t held = std::exchange(run.held, 0);
  if (held != 0 && std::erase(run.unacknowledged, held) > 0) acknowledge({unit.id, run.run, held});
  run.unacknowledged.push_back(spawn);
}

void Manager::remove_leaf(std::string leaf) {
  if (tracking_.remove(leaf)) return;
  old_leaves_.push_back(std::move(leaf));
  timers_.arm(token_of(TokenKind::OldLeaves), now_ + leaves_pause);
}

// ---- logs

logbook::UnitLog& Manager::log_of(SupervisedUnit& unit) {
  if (unit.log) return *unit.log;
  unit.log = std::make_unique<logbook::UnitLog>(*logs_, unit.name);
  if (console_.is_on()) {
    unit.log->tap([this, id = unit.id](std::string_view bytes) {
      if (const SupervisedUnit* const said = find(id)) console_.take(said->name, has_levels(*said), bytes);
    });
  }
  return *unit.log;
}

/// What it takes now; the rest when it can be written.
void Manager::flush_console() {
  const bool was_waiting = console_is_polled_;
  console_.flush();
  if (console_.is_waiting() == was_waiting) return;
  if (was_waiting) static_cast<void>(poller_.remove(console_.fd()));
  console_is_polled_ =
      !was_waiting && poller_.add(console_.fd(), loop::Interest::Write, token_of(TokenKind::Console)).has_value();
}

void Manager::forget_log(Run& run) {
  if (run.log && run.log_is_polled) static_cast<void>(poller_.remove(run.log.get()));
  run.log_is_polled = false;
  run.log.reset();
}

void Manager::note_log(SupervisedUnit& unit, const logbook::Taken& taken) {
  if (taken.blocked == 0) unit.log_trouble.clear();
  if (taken.note.empty()) return;
  say(unit.name + ": " + taken.note);
  if (taken.blocked != 0) unit.log_trouble = taken.note;
}

bool Manager::drain_log(SupervisedUnit& unit, Run& run) {
  log_of(unit).begin_run(identity_of(run));
  const logbook::Taken taken = unit.log->drain(run.log.get(), logbook::LogTime::now());
  note_log(unit, taken);
  const Run* const present = unit.last_run();
  if (present != &run && !present->unacknowledged.empty()) unit.log->begin_run(identity_of(*present));
  return taken.blocked == 0;
}

/// What runs before this one have said comes first in the log. A recovery finds the pipes of both; false: not all of it fits.
bool Manager::drain_earlier_logs(SupervisedUnit& unit, const Run& run) {
  return std::all_of(unit.runs.begin(), unit.runs.end(), [&](const auto& earlier) {
    return earlier->run >= run.run || !earlier->exit || !earlier->log || drain_log(unit, *earlier);
  });
}

void Manager::take_log(SupervisedUnit& unit, Run& run) {
  if (!run.log) return;
  const loop::Token token = token_of(TokenKind::Log, unit.id, run.run);
  if (!drain_earlier_logs(unit, run)) {
    timers_.arm(token, run.pacing.after_block(now_).at);
    return;
  }
  log_of(unit).begin_run(identity_of(run));
  // From look to look, whatever the taking takes: a writer goes on while it is taken from.
  const base::Instant now = os::monotonic_now();
  const logbook::Taken taken = unit.log->take(run.log.get(), logbook::LogTime::now());
  note_log(unit, taken);
  if (taken.end && taken.blocked == 0) {
    // Nobody writes any more, and it stays: what is started later in the run writes to the same pipe. Were there two of them, the
    // next manager would not know which to read.
    if (run.log_is_polled) static_cast<void>(poller_.remove(run.log.get()));
    run.log_is_polled = false;
    run.log_has_ended = true;
    timers_.disarm(token);
    return;
  }
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
  if (core::is_up(change.to) && !core::is_up(change.from)) {
    unit->active_enter = now;
    if (const Run* const run = unit->last_run(); run != nullptr && !run->exit) unit->last_failure.clear();
  }
  if (change.to == core::ServiceState::Dead || change.to == core::ServiceState::Failed ||
      change.to == core::ServiceState::AutoRestart)
    unit->inactive_enter = now;
  if (change.to == core::ServiceState::Dead || change.to == core::ServiceState::Failed) remove_directories(*unit);
  if (change.to != core::ServiceState::Failed && change.to != core::ServiceState::AutoRestart) return;
  if (now_ - unit->telling_since >= telling_window) {
    if (unit->told > told_max)
      say(unit->name + ": " + std::to_string(unit->told - told_max) + " more endings since were not told one by one");
    unit->telling_since = now_;
    unit->told = 0;
  }
  if (++unit->told > told_max && change.to != core::ServiceState::Failed) return;
  std::string line = unit->name + ": ";
  const MainProcess& main = unit->main_process();
  if (main.exit) {
    const core::Exit& exit = *main.exit;
    line += "main process " + std::to_string(main.pid);
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
