// The manager's loop: wait, collect facts, let the core decide, carry out.
#include "supervisor/manager.hpp"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>
#include <utility>

#include "base/buffer.hpp"
#include "base/errno_name.hpp"
#include "base/hash.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "supervisor/failure_text.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/program_text.hpp"
#include "wire/spawn_spec.hpp"

extern char** environ;

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

constexpr base::Duration leaves_pause = std::chrono::milliseconds{100};
/// Rounds of facts that follow from orders, before the loop looks at the outside again.
constexpr int rounds_max = 64;
constexpr std::size_t said_max = 64 * 1024;
constexpr std::size_t said_soon = 2048;
/// Orders of one round from which on it counts as a burst.
constexpr std::size_t burst_actions = 256;
constexpr std::size_t deferred_max = 16;
/// How long an instance that ends waits for a log that takes nothing.
constexpr base::Duration last_output_within = std::chrono::seconds{2};
constexpr int last_output_pause_ms = 50;
/// The same for who reads its standard output.
constexpr std::chrono::milliseconds last_shown_within{200};

}  // namespace

int Manager::run() {
  take_keeper_messages();  // what came while the start was asking: the socket will not become readable for it again
  decide();                // what was found at the start
  // Only now is the start complete: a manager that dies before begins anew, under the same keys.
  if (is_first_start_) park(units_label, saved_->fd());
  while (!finished_) {
    collect();
    decide();
  }
  answers_.clear();
  drain_last_output();
  show_last_output();
  if (const std::uint64_t unshown = console_.unshown(); unshown > 0)
    say(std::to_string(unshown) +
        " lines of services' output are not shown on standard output: nobody read fast enough; the log has them");
  tracking_.close_down();
  for (const char* const file : {"/journal", "/units"}) sys::unlink((options_.state_dir + file).c_str());
  for (const SocketFile* const file : {&control_socket_.file, &notify_socket_.file, &syslog_file_}) file->remove();
  flush_said();
  keeper::Request request;
  request.operation = keeper::Operation::Finish;
  request.number = stop_.code().value_or(perdure::exit_ok);
  keeper_.send(request);
  keeper_.flush();
  return request.number;
}

/// What services wrote before they ended waits in their pipes as long as the log takes nothing; here is the last chance for it.
void Manager::drain_last_output() {
  const base::Instant give_up = os::monotonic_now() + last_output_within;
  const auto drain_all = [this] {
    take_syslog();
    pollfd syslog{syslog_.get(), POLLIN, 0};
    bool is_done = sys::poll(&syslog, 1, 0) <= 0;  // no socket: nothing to wait for
    for (const auto& unit : units_) {
      if (unit == nullptr) continue;
      for (const auto& run : unit->runs) {
        if (run->log) is_done = drain_earlier_logs(*unit, *run) && drain_log(*unit, *run) && is_done;
      }
    }
    return is_done;
  };
  while (!drain_all() && os::monotonic_now() < give_up) sys::poll(nullptr, 0, last_output_pause_ms);
  const auto unread = [](const UniqueFd& pipe) {
    int bytes = 0;
    return pipe && sys::ioctl(pipe.get(), FIONREAD, &bytes) == 0 ? bytes : 0;
  };
  const auto tell = [this](std::string_view name, int bytes) {
    if (bytes <= 0) return;
    say(std::string{name} + ": the last " + std::to_string(bytes) +
        " bytes of its output could not be recorded and are lost");
  };
  for (const auto& unit : units_) {
    int bytes = 0;
    if (unit == nullptr) continue;
    for (const auto& run : unit->runs) bytes += unread(run->log);
    tell(unit->name, bytes);
  }
  tell(syslog_unit, unread(syslog_pipe_));
}

/// For whoever reads the console and is only a little behind.
void Manager::show_last_output() {
  const base::Instant give_up = os::monotonic_now() + last_shown_within;
  for (console_.flush(); console_.is_waiting() && os::monotonic_now() < give_up; console_.flush()) {
    pollfd polled{console_.fd(), POLLOUT, 0};
    sys::poll(&polled, 1, static_cast<int>(last_shown_within.count()));
  }
}

std::optional<base::Instant> Manager::next_deadline() const {
  if (!events_.empty()) return now_;
  std::optional<base::Instant> first;
  for (const std::optional<base::Instant>& deadline : {engine_.next_deadline(), timers_.next(), verbs_.next_deadline(),
                                                       control_->next_deadline(), denials_.next_deadline()}) {
    if (deadline && (!first || *deadline < *first)) first = deadline;
  }
  return first;
}

void Manager::collect() {
  std::array<loop::Readiness, loop::batch_max> ready;
  const Result<std::size_t> count = poller_.wait(next_deadline(), ready, loop::Precision::Nanoseconds);
  now_ = os::monotonic_now();
  held_.clear();
  tracking_.look_again();
  if (!count) {
    say(count.error().message());
    return;
  }
  for (std::size_t i = 0; i < *count; ++i) dispatch(ready[i]);
  take_due();
}

void Manager::dispatch(const loop::Readiness& fact) {
  const TokenKind kind = kind_of(fact.token);
  switch (kind) {
    case TokenKind::Keeper:
      if (fact.writable) {
        keeper_.flush();
        if (!keeper_.has_unsent()) static_cast<void>(poller_.modify(keeper_.fd(), loop::Interest::Read, fact.token));
      }
      return take_keeper_messages();
    case TokenKind::Control: return take_control();
    case TokenKind::Tracking: return take_tracking_events();
    case TokenKind::Notify: return take_notifications();
    case TokenKind::Syslog: return take_syslog();
    case TokenKind::Sockets: return take_removals();
    case TokenKind::Console: return flush_console();
    default: break;
  }
  SupervisedUnit* const unit = find(unit_of(fact.token));
  if (unit == nullptr) return;
  for (const auto& run : unit->runs) {
    if ((run->run & token_run_mask) != run_of(fact.token)) continue;
    if (kind == TokenKind::Log) take_log(*unit, *run);
    if (kind == TokenKind::Gate && run->gate) take_gate(*unit, *run);
    return;
  }
}

void Manager::take_due() {
  for (const loop::Token token : timers_.take_due(now_)) {
    const TokenKind kind = kind_of(token);
    if (kind == TokenKind::OldLeaves) {
      std::erase_if(old_leaves_, [this](const std::string& leaf) { return tracking_.remove(leaf); });
      if (!old_leaves_.empty()) timers_.arm(token, now_ + leaves_pause);
      continue;
    }
    if (kind == TokenKind::Syslog) {
      take_syslog_again();
      continue;
    }
    if (kind == TokenKind::Notify) {
      take_notifications_again();
      continue;
    }
    if (kind == TokenKind::Sockets) {
      look_at_sockets();
      continue;
    }
    if (kind == TokenKind::KeeperOwes) {
      for (const auto& [sequence, order] : spawns_) {
        if (const SupervisedUnit* const waiting = find(order.key.unit))
          tracking_.thaw(ProcessTracking::leaf_name(waiting->name, order.key.run));
      }
      do_deferred();
      flush_said();
      timers_.arm(token, now_ + std::chrono::seconds{1});
      continue;
    }
    SupervisedUnit* const unit = find(unit_of(token));
    if (unit == nullptr) continue;
    const auto found = std::find_if(unit->runs.begin(), unit->runs.end(),
                                    [token](const auto& run) { return (run->run & token_run_mask) == run_of(token); });
    if (found == unit->runs.end()) continue;
    Run& run = **found;
    if (kind == TokenKind::Log) take_log(*unit, run);
    if (kind == TokenKind::Emptiness) {
      // Without cgroups a kill meets those that it finds; who could not be told then is met now.
      if (run.is_killed && tracking_.kind() == TrackingKind::BestEffort)
        tracking_.kill_all(processes(run, ProcessTracking::leaf_name(unit->name, run.run)));
      check_empty(*unit, run);
    }
    if (kind == TokenKind::Release && run.is_released) finish_release(*unit, run);
    if (kind == TokenKind::MainProcess) look_for_main(*unit, run);
  }
  if (const auto deadline = engine_.next_deadline(); deadline && *deadline <= now_) {
    find_dumping();
    events_.emplace_back(core::DeadlinePassed{});
  }
  verbs_.expire(now_, answers_);
  if (const auto deadline = denials_.next_deadline(); deadline && *deadline <= now_) {
    for (const std::string& line : denials_.take_due(now_)) say(line);
  }
  if (const auto deadline = control_->next_deadline(); deadline && *deadline <= now_) take_control();
}

/// Among those whose time to end is over: whose core would be cut off.
void Manager::find_dumping() {
  for (const auto& unit : units_) {
    const core::UnitRecord* const record = unit == nullptr ? nullptr : engine_.record(unit->id);
    if (record == nullptr || record->deadline == base::Instant{} || record->deadline > now_) continue;
    if (record->state != core::ServiceState::StopSigterm && record->state != core::ServiceState::StopWatchdog) continue;
    Run* const run = unit->find_run(record->run);
    if (run == nullptr || run->exit || !is_dumping_core(run->pid)) continue;
    core::Notified fact;
    fact.run = {unit->id, run->run};
    fact.is_dumping = true;
    events_.emplace_back(fact);
    if (!std::exchange(run->told_dump, true))
      say(unit->name + ": process " + std::to_string(run->pid) + " is writing a core dump; its stop waits for it, for " +
          std::to_string(std::chrono::duration_cast<std::chrono::minutes>(core::core_dump_patience_max).count()) +
          " minutes at most");
  }
}

/// Facts in, orders out, until nothing follows from what was carried out.
void Manager::decide() {
  for (int round = 0; round < rounds_max && !events_.empty(); ++round) {
    base::clear_burst(actions_);
    // By index: nothing joins while the core decides, but the vector is reused.
    for (const core::Event& event : events_) engine_.step(now_, event, actions_);
    base::clear_burst(events_);
    is_swollen_ = is_swollen_ || actions_.size() > burst_actions;
    record(actions_);
    for (const core::Action& action : actions_) carry_out(action);
  }
  base::clear_burst(actions_);
  for (const Verbs::Answer& answer : answers_) control_->reply(answer.request, answer.reply);
  answers_.clear();
  if (owes_sign_of_life_ || owes_seen_) {
    keeper::Request request;
    request.operation = keeper::Operation::Seen;
    request.from = signals_taken_;
    keeper_.send(request);
    owes_sign_of_life_ = owes_seen_ = false;
  }
  if (keeper_.has_unsent()) {
    static_cast<void>(poller_.modify(keeper_.fd(), loop::Interest::ReadAndWrite, token_of(TokenKind::Keeper)));
  }
  // While a start is under way the keeper is waited for, and what can wait does not keep the processor from it.
  if (spawns_.empty() || deferred_.size() >= deferred_max) do_deferred();
  if (spawns_.empty() || said_.size() >= said_soon) flush_said();
  if (console_.is_on()) flush_console();
  if (is_swollen_ && spawns_.empty() && events_.empty()) give_memory_back();
  if (!keeper_.is_lost() || finished_) return;
  take_keeper_messages();  // what it had still sent
  become_keeper();
}

/// A start of many units leaves holes in the heap that nothing small enough may ever fill, and most of our code used for the last
/// time for long: parsing, compiling, recovering.
void Manager::give_memory_back() {
  is_swollen_ = false;
  if (spawns_.bucket_count() > burst_actions) spawns_ = {};
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  release_program_text();
}

void Manager::do_deferred() {
  for (const core::RunKey& key : std::exchange(deferred_, {})) {
    SupervisedUnit* const unit = find(key.unit);
    if (Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run)) finish_release(*unit, *run);
  }
}

void Manager::take_keeper_messages() {
  while (auto received = keeper_.receive()) {
    keeper::Message& message = received->message;
    keeper_facts_ = message.header;
    switch (message.header.kind) {
      case keeper::Kind::Spawned:
        take_spawned(message.header, message.entries[0], received->fds);
        if (notify_waits_) timers_.arm(token_of(TokenKind::Notify), now_);
        break;
      case keeper::Kind::Exited:
        owes_sign_of_life_ = true;
        tracking_.look_again_after(base::Instant{base::Duration{message.entries[0].ended_ns}});
        if (message.header.count == 1) take_exit(message.entries[0]);
        break;
      case keeper::Kind::Signalled: {
        owes_seen_ = true;
        signals_taken_ = static_cast<std::uint32_t>(message.header.sequence);
        constexpr std::uint64_t stop = std::uint64_t{1} << SIGTERM | std::uint64_t{1} << SIGINT;
        const bool is_rtmin_3 = (message.header.signals >> (SIGRTMIN + 3) & 1U) != 0;  // what container managers send
        if ((message.header.signals & stop) == 0 && !is_rtmin_3) break;
        // A former manager may have begun to stop for this very signal and died before it could say so: once is not twice.
        if (!std::exchange(has_stopping_parked_, false)) shut_down();
        break;
      }
      case keeper::Kind::Answer:
      case keeper::Kind::Listed:
      case keeper::Kind::ListedParked: break;
    }
  }
}

/// A process of the run was killed with SIGKILL: whether for want of memory. Where nobody counts by run, the machine's own count
/// makes it likely, and that is told as no more than that.
bool Manager::was_out_of_memory(SupervisedUnit& unit, Run& run) {
  const auto of_run = tracking_.oom_kills(ProcessTracking::leaf_name(unit.name, run.run));
  if (of_run) {
    const bool is_more = *of_run > std::exchange(run.oom_kills, *of_run) && !run.is_killed;
    if (is_more) {
      unit.last_failure = "the kernel has killed " + std::to_string(*of_run) + (*of_run == 1 ? " process" : " processes") +
                          " of it for want of memory";
      say(unit.name + ": " + unit.last_failure);
    }
    return is_more;
  }
  const auto before = std::exchange(oom_kills_, machine_oom_kills());
  if (run.is_killed || !before || !oom_kills_ || *oom_kills_ <= *before) return false;
  const std::uint64_t count = *oom_kills_ - *before;
  unit.last_failure =
      "killed with SIGKILL; the kernel has killed " + std::to_string(count) + (count == 1 ? " process" : " processes") +
      " of this machine for want of memory since they were last counted: that it is one of them is likely and cannot be "
      "proved here";
  say(unit.name + ": " + unit.last_failure);
  return false;
}

void Manager::take_exit(const keeper::Entry& entry) {
  SupervisedUnit* const unit = find(entry.key.unit);
  if (unit == nullptr) return;
  Run* const run = unit->find_run(entry.key.run);
  core::ProcessExited exited;
  exited.key = {entry.key.unit, entry.key.run, entry.key.spawn};
  switch (entry.end_code) {
    case CLD_EXITED: exited.exit = {core::ExitKind::Exited, entry.end_status}; break;
    case CLD_KILLED: exited.exit = {core::ExitKind::Killed, entry.end_status}; break;
    case CLD_DUMPED: exited.exit = {core::ExitKind::Dumped, entry.end_status}; break;
    default: exited.exit = {core::ExitKind::Unknown, 0}; break;
  }
  const auto step = static_cast<wire::Step>(entry.failed_step);
  const bool timed_out =
      wire::can_time_out(step) && entry.failed_error == 0 && entry.end_code == CLD_KILLED && entry.end_status == SIGALRM;
  const bool has_failed = step != wire::Step::None && (entry.failed_error != 0 || timed_out);
  const bool is_main = run != nullptr && run->spawn == entry.key.spawn;
  ControlProcess* const control =
      run != nullptr && run->control != nullptr && run->control->spawn == entry.key.spawn ? run->control.get() : nullptr;
  exited.setup_failed = has_failed || (is_main && !is_through(*run));
  if (exited.setup_failed) {
    const core::UnitRecord* record = engine_.record(unit->id);
    if (record == nullptr) record = recorded(unit->id);  // in a recovery
    const bool is_of_phase = record != nullptr && (control != nullptr || unit->type == core::ServiceType::Oneshot);
    const Executed what =
        is_of_phase ? executed_by(*unit, record->phase, record->command) : executed_by(*unit, core::CommandPhase::Start, 0);
    const Rights rights = what.has_our_rights ? our_rights() : rights_in_spec(specs_->fd(), unit->launch.place);
    unit->last_failure = what.directive + (has_failed ? setup_failure_text(step, timed_out ? ETIMEDOUT : entry.failed_error,
                                                                           what.program, rights)
                                                      : "its process ended before it could execute " + what.program);
    const bool is_known = is_main ? run->exit.has_value() : control != nullptr && control->exit.has_value();
    if (!is_known) say(unit->name + ": " + unit->last_failure);
  }
  const bool is_news = (is_main && !run->exit) || (control != nullptr && !control->exit);
  if (is_news && exited.exit == core::Exit{core::ExitKind::Killed, SIGKILL} && !exited.setup_failed)
    exited.out_of_memory = was_out_of_memory(*unit, *run);
  if (is_main && is_news) look_for_successor(*unit, *run);
  events_.emplace_back(exited);
  if (run == nullptr) return;
  if (is_main) {
    run->exit = exited.exit;
    run->setup_failed = exited.setup_failed;
    run->exited = stamp(base::Instant{base::Duration{entry.ended_ns}});
    run->pidfd.reset();
  } else if (control != nullptr) {
    control->exit = exited.exit;
    control->setup_failed = exited.setup_failed;
    control->pidfd.reset();
  }
  if (run->is_without_process()) check_empty(*unit, *run);
}

void Manager::take_tracking_events() {
  for (const int watch : tracking_.events()) {
    std::vector<core::RunKey> keys;
    for (const auto& [known, key] : watches_) {
      if (known == watch || watch < 0) keys.push_back(key);  // -1: events were lost, so any of them may be meant
    }
    for (const core::RunKey& key : keys) {
      SupervisedUnit* const unit = find(key.unit);
      if (Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run)) check_empty(*unit, *run);
    }
  }
}

void Manager::take_control() {
  requests_.clear();
  control_->process(requests_);
  handle_requests();
}

void Manager::handle_requests() {
  for (const Request& request : requests_) {
    if (request.is_permitted) handle(request);
    else note_denial(request);
  }
}

/// A request that brought managers down is not carried out once more: whoever asks the others shall have an answer. What ends the
/// instance, or lifts a quarantine, is heard all the same.
void Manager::handle(const Request& request) {
  if (request.verb == "reset-failed") forget_suspects(crashes_.record());
  if (request.verb == "reset-failed" || request.verb == "shutdown" || request.verb == "ping") {
    verbs_.handle(request, now_, answers_);
    return;
  }
  const std::uint64_t hash = base::fnv1a(request.json, base::fnv1a(request.text, base::fnv1a(request.verb)));
  const std::string& words = request.json.empty() ? request.text : request.json;
  const std::string name = request.verb + (words.empty() ? "" : ' ' + words.substr(0, sizeof InputName::text));
  if (is_quarantined(crashes_.record(), Input::Request, name, hash)) {
    Verbs::refuse(request, {"quarantined", quarantine_text(Input::Request, name)}, answers_);
    return;
  }
  const CrashFile::Held held{crashes_, Input::Request, name, hash};
  verbs_.handle(request, now_, answers_);
}

void Manager::note_denial(const Request& request) {
  const std::string wish = Verbs::deny(request, answers_);
  if (denials_.note(now_, request.peer.uid)) say(DenialPacing::line({request.peer.uid, request.peer.pid, wish}));
}

// ---- words for whoever reads our stderr

void Manager::say(std::string_view line) {
  if (said_.size() + line.size() > said_max) {
    ++unsaid_;
    return;
  }
  said_.append("perdure: ").append(line).append("\n");
}

/// Never waits: a terminal that is stopped or a pipe that is full must not stop the manager, and what still holds is in `status`.
void Manager::flush_said() {
  const int to = messages_ ? messages_.get() : STDERR_FILENO;
  const auto is_writable = [to] {
    pollfd polled{to, POLLOUT, 0};
    return sys::poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT) != 0;
  };
  // The rest of a line that was begun is kept, so that the next one begins where it should.
  const auto rest = [this] { return is_torn_ ? said_.find('\n') + 1 : 0; };
  while (!said_.empty() && is_writable()) {
    if (const std::uint64_t count = std::exchange(unsaid_, 0); count > 0)
      said_.insert(
          rest(),
          "perdure: " + std::to_string(count) +
              " lines of its own are missing here: nobody read fast enough; `perdure status` shows what still holds\n");
    const ssize_t written = sys::write(to, said_.data(), std::min<std::size_t>(said_.size(), 4096));
    if (written <= 0) break;
    is_torn_ = said_[static_cast<std::size_t>(written) - 1] != '\n';
    said_.erase(0, static_cast<std::size_t>(written));
  }
  const std::size_t kept = rest();
  unsaid_ += static_cast<std::uint64_t>(std::count(said_.begin() + static_cast<std::ptrdiff_t>(kept), said_.end(), '\n'));
  said_.resize(kept);
}

// ---- without a keeper

/// The keeper took the order for this run, or did not: it is gone, and its answer with it. What became of the order shows in the
/// run's processes, or where none is left, in that there was one.
void Manager::find_unanswered(const SupervisedUnit& unit, Run& run) {
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  tracking_.look_again();
  const pid_t pid = tracking_.leader(processes(run, leaf));
  run.pidfd.reset(pid > 1 ? sys::pidfd_open(pid, 0) : -1);
  if (run.pidfd && tracking_.contains(processes(run, leaf), pid)) {
    run.pid = pid;
    run.started = stamp(now_);
    return;
  }
  run.pidfd.reset();
  int unread = 0;
  const bool has_spoken = run.log && sys::ioctl(run.log.get(), FIONREAD, &unread) == 0 && unread > 0;
  if (!has_spoken && !tracking_.was_used(leaf)) return;  // ordered again by the next manager
  run.exit = core::Exit{};
  run.exited = stamp(now_);
}

/// Writes our pid where the keeper's stands, for whoever is refused by a lock.
void Manager::sign_locks() const {
  const auto sign = [](int fd, const std::string& text) {
    struct stat before {};
    const bool is_known = sys::fstat(fd, &before) == 0;
    if (sys::ftruncate(fd, 0) == 0) sys::pwrite(fd, text.data(), text.size(), 0);
    const timespec times[] = {before.st_atim, before.st_mtim};
    if (is_known) sys::futimens(fd, times);  // it tells since when the instance runs
  };
  const std::string pid = std::to_string(::getpid()) + "\n";
  sign(keeper::instance_lock_fd, pid);
  for (const auto& [label, lock] : locks_) sign(lock.get(), pid + options_.runtime_dir + "\n");
}

/// The keeper is gone, and with it the only parent that our services had. This process takes its place: it writes down what the
/// keeper knew, as far as it was told, and becomes a keeper under the same pid; that one starts a new manager.
void Manager::become_keeper() {
  const auto keep = [](int fd) { return fd < 0 ? -1 : sys::fcntl(fd, F_DUPFD, 256); };
  const auto slot_of = [&keep](const keeper::Key& key, const Run& run, pid_t pid, const UniqueFd& pidfd,
                               const std::optional<core::Exit>& exit) {
    keeper::Slot slot;
    slot.entry.key = key;
    slot.entry.pid = pid;
    std::copy(run.invocation.begin(), run.invocation.end(), std::begin(slot.entry.invocation));
    slot.entry.state = exit ? keeper::EntryState::Ended : keeper::EntryState::Running;
    if (exit) {
      slot.entry.end_status = exit->status;
      switch (exit->kind) {
        case core::ExitKind::Exited: slot.entry.end_code = CLD_EXITED; break;
        case core::ExitKind::Killed: slot.entry.end_code = CLD_KILLED; break;
        case core::ExitKind::Dumped: slot.entry.end_code = CLD_DUMPED; break;
        case core::ExitKind::Unknown: slot.entry.end_code = keeper::ended_unseen; break;
      }
    } else {
      slot.pidfd = keep(pidfd.get());
      if (slot.pidfd >= 0) slot.entry.flags |= keeper::entry_has_pidfd;
    }
    return slot;
  };
  std::vector<keeper::Slot> slots;
  for (const auto& unit : units_) {
    if (unit == nullptr) continue;
    for (const auto& run : unit->runs) {
      if (run->pid == 0) find_unanswered(*unit, *run);
      if (run->pid > 1 && !run->pidfd && !run->exit) {
        find_unanswered(*unit, *run);  // a number alone proves nothing any more
        if (!run->pidfd && !run->exit) run->exit = core::Exit{};
      }
      if (run->pid > 1 || run->exit) {
        keeper::Slot slot = slot_of({run->run, unit->id, run->spawn}, *run, run->pid, run->pidfd, run->exit);
        slot.entry.started_ns = static_cast<std::int64_t>(run->started.monotonic_us) * 1000;
        slot.entry.ended_ns = run->exit ? static_cast<std::int64_t>(run->exited.monotonic_us) * 1000 : 0;
        slot.log_fd = keep(run->log.get());
        if (slot.log_fd >= 0) slot.entry.flags |= keeper::entry_has_log;
        slot.gate_fd = keep(run->gate.get());
        if (slot.gate_fd >= 0) slot.entry.flags |= keeper::entry_has_gate;
        slots.push_back(slot);
      }
      // One that was ordered, and of which no answer came, is ordered again.
      const ControlProcess* const control = run->control.get();
      if (control == nullptr || control->pid <= 1) continue;
      keeper::Slot slot = slot_of({run->run, unit->id, control->spawn}, *run, control->pid, control->pidfd,
                                  control->pidfd || control->exit ? control->exit : std::optional{core::Exit{}});
      if (run->pid <= 1 && !run->exit) {  // the run's output is with the main process where there is one
        slot.log_fd = keep(run->log.get());
        if (slot.log_fd >= 0) slot.entry.flags |= keeper::entry_has_log;
      }
      slots.push_back(slot);
    }
  }
  keeper::Table table;
  table.capacity = keeper_facts_.capacity != 0 ? keeper_facts_.capacity : 1024;
  table.used = static_cast<std::uint32_t>(std::min<std::size_t>(slots.size(), table.capacity));
  table.manager_starts = keeper_facts_.manager_starts;
  table.orphans_reaped = keeper_facts_.orphans_reaped;
  table.nofile_at_start = keeper_facts_.nofile_at_start;
  for (keeper::Parked& place : table.parked) place = {{}, -1};
  std::size_t next = 0;
  const auto park_here = [&table, &next, &keep](std::string_view label, int fd) {
    keeper::Parked& place = table.parked[next++];
    std::copy(label.begin(), label.end(), std::begin(place.label));
    place.fd = keep(fd);
  };
  park_here(control_label, control_->listener());
  park_here(journal_label, journal_->fd());
  park_here(units_label, saved_->fd());
  park_here(notify_label, notify_.get());
  if (control_socket_.file.fd() >= 0) park_here(control_file_label, control_socket_.file.fd());
  if (notify_socket_.file.fd() >= 0) park_here(notify_file_label, notify_socket_.file.fd());
  if (syslog_) park_here(syslog_label, syslog_.get());
  if (syslog_file_.fd() >= 0) park_here(syslog_file_label, syslog_file_.fd());
  if (syslog_pipe_) park_here(syslog_pipe_label, syslog_pipe_.get());
  if (crashes_.fd() >= 0) park_here(crashes_label, crashes_.fd());
  if (is_shutting_down_) park_here(stopping_label, stop_.fd() >= 0 ? stop_.fd() : specs_->fd());
  if (tracking_.enters_by_procs()) park_here(by_procs_label, specs_->fd());
  for (const auto& [label, lock] : locks_) park_here(label, lock.get());
  sign_locks();

  const int file = sys::fcntl(sys::memfd_create("perdure-table", 0), F_DUPFD, 256);
  const std::size_t whole = sizeof table + std::size_t{table.capacity} * sizeof(keeper::Slot);
  iovec parts[] = {{&table, sizeof table}, {slots.data(), table.used * sizeof(keeper::Slot)}};
  const bool is_written = file >= 0 && sys::ftruncate(file, static_cast<off_t>(whole)) == 0 &&
                          sys::writev(file, parts, 2) == static_cast<ssize_t>(sizeof table + parts[1].iov_len);
  if (is_written) {
    std::string name = "perdure-keeper";
    std::string option = "--adopt";
    std::string number = std::to_string(file);
    std::vector<char*> arguments{name.data(), option.data(), number.data()};
    arguments.insert(arguments.end(), options_.arguments.begin() + 1, options_.arguments.end());
    arguments.push_back(nullptr);
    say("the keeper is gone; process " + std::to_string(::getpid()) + " takes its place, services go on");
    flush_said();
    sys::execveat(keeper::keeper_program_fd, arguments.data(), environ);
  }
  say("the keeper is gone and cannot be replaced (" + std::string{base::errno_name(errno)} +
      "); services go on unwatched, start the instance again to adopt them");
  flush_said();
  ::_exit(71);
}

}  // namespace perdure::supervisor
