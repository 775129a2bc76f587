// What services need beyond one program that runs: further commands, conditions, a main process that has to be found, messages.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/text.hpp"
#include "core/print.hpp"
#include "core/service_machine.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/conditions.hpp"
#include "supervisor/main_pid_file.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/unit_directories.hpp"
#include "wire/notify.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// Between two looks for a main process that is not there yet; each later one waits twice as long, up to the last.
constexpr base::Duration first_main_pause = std::chrono::milliseconds{1};
constexpr base::Duration last_main_pause = std::chrono::milliseconds{100};
/// Messages that are read in one round: a service that sends without end must not keep the others waiting.
constexpr int messages_max = 64;
constexpr std::size_t message_fds_max = 253;  // SCM_MAX_FD of unix(7)

const std::vector<unit::ExecCommand>& commands_of(const unit::ServiceSpec& service, core::CommandPhase phase) {
  switch (phase) {
    case core::CommandPhase::Condition: return service.exec_condition;
    case core::CommandPhase::StartPre: return service.exec_start_pre;
    case core::CommandPhase::Start: break;
    case core::CommandPhase::StartPost: return service.exec_start_post;
    case core::CommandPhase::Reload: return service.exec_reload;
    case core::CommandPhase::Stop: return service.exec_stop;
    case core::CommandPhase::StopPost: return service.exec_stop_post;
  }
  return service.exec_start;
}

bool tells_result(core::CommandPhase phase) {
  return phase == core::CommandPhase::Stop || phase == core::CommandPhase::StopPost;
}

}  // namespace

// ---- commands

/// What is started for the order: what was compiled when the unit was loaded, or where something differs from start to start, what
/// is compiled now, into `fresh` and `fresh_spec`.
Result<const Launch*> Manager::launch_for(SupervisedUnit& unit, const Run& run, const core::SpawnProcess& order,
                                          Launch& fresh, UniqueFd& fresh_spec) {
  if (unit.spec == nullptr) return &unit.launch;
  const unit::UnitSpec& spec = *unit.spec;
  const std::vector<unit::ExecCommand>& commands = commands_of(spec.service, order.phase);
  if (order.command >= commands.size()) return Error{"this command is not in the unit's file any more"};
  static_cast<void>(accounts_->refresh());  // what was known stays where the files cannot be read
  std::vector<std::string> extra;
  const auto set = [&extra](std::string name, std::string_view value) {
    extra.push_back(std::move(name) + '=' + std::string{value});
  };
  if (spec.service.notify_access != unit::NotifyAccess::None) set("NOTIFY_SOCKET", notify_path());
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record != nullptr && order.is_main && record->watchdog_span > base::Duration::zero())
    set("WATCHDOG_USEC",
        std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(record->watchdog_span).count()));
  if (!order.is_main && run.pid != 0 && !run.exit) set("MAINPID", std::to_string(run.pid));
  if (record != nullptr && tells_result(order.phase)) {
    set("SERVICE_RESULT", core::name(record->result));
    if (record->main_ended) {
      const core::Exit& exit = record->last_exit;
      const bool has_exited = exit.kind == core::ExitKind::Exited;
      set("EXIT_CODE", has_exited ? "exited" : exit.kind == core::ExitKind::Dumped ? "dumped" : "killed");
      std::string name = core::signal_name(exit.status);
      if (name.starts_with("SIG")) name.erase(0, 3);
      set("EXIT_STATUS", has_exited ? std::to_string(exit.status) : name);
    }
  }
  if (order.key.spawn == 1) {
    PERDURE_TRY(const User owner, user_of_unit(spec.service, *accounts_, surroundings_));
    const bool is_kept = spec.service.runtime_directory_preserve != unit::Preserve::No;
    if (!is_kept) static_cast<void>(remove_runtime_directories(spec.service, surroundings_.directory_bases));
    std::vector<std::string> remarks;
    if (const auto failure = make_directories(spec.service, surroundings_.directory_bases, owner, remarks))
      return failure->error;
    for (const std::string& remark : remarks) say(unit.name + ": " + remark);
  }
  if (wants_fresh_compile(spec)) set("INVOCATION_ID", hexadecimal(run.invocation));
  PERDURE_TRY(CompiledLaunch compiled, compile(spec, commands[order.command], static_cast<CommandRole>(order.phase),
                                               *accounts_, surroundings_, extra));
  for (const std::string& remark : compiled.remarks) say(unit.name + ": " + remark);
  fresh = std::move(compiled.launch);
  fresh.has_gate = fresh.has_gate && order.is_main;
  fresh_spec.reset(sys::memfd_create("perdure-spec", MFD_CLOEXEC));
  const auto size = static_cast<ssize_t>(compiled.bytes.size());
  if (!fresh_spec || sys::pwrite(fresh_spec.get(), compiled.bytes.data(), compiled.bytes.size(), 0) != size)
    return Error::from_errno(errno, "write", "the memory file of a spawn spec");
  fresh.place = {0, static_cast<std::uint32_t>(compiled.bytes.size())};
  return &fresh;
}
static_assert(static_cast<int>(CommandRole::StopPost) == static_cast<int>(core::CommandPhase::StopPost));

/// A service at rest has no runtime directories, unless it wants to keep them.
void Manager::remove_directories(const SupervisedUnit& unit) {
  if (unit.spec == nullptr || unit.spec->service.runtime_directory_preserve == unit::Preserve::Yes) return;
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record == nullptr || !core::is_inactive(record->state) || record->job != core::no_job) return;
  const Result<void> removed = remove_runtime_directories(unit.spec->service, surroundings_.directory_bases);
  if (!removed) say(unit.name + ": " + removed.error().message());
}

// ---- conditions

void Manager::check_conditions(core::UnitId id) {
  SupervisedUnit* const unit = find(id);
  core::ConditionsChecked answer{id, core::ConditionVerdict::Met};
  if (unit != nullptr && unit->spec != nullptr) {
    const ConditionReport report = check(unit->spec->conditions);
    if (!report.is_met) {
      answer.verdict = report.is_assert ? core::ConditionVerdict::AssertFailed : core::ConditionVerdict::Unmet;
      unit->last_failure = report.text;
      say(unit->name + ": " + report.text + (report.is_assert ? "; it is not started" : "; it is left out"));
    }
  }
  events_.emplace_back(answer);
}

// ---- the main process

void Manager::find_main(const core::RunKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr) {
    events_.emplace_back(core::MainMissing{key});
    return;
  }
  run->looks_for_main = true;
  run->looks = 0;
  look_for_main(*unit, *run);
}

/// Once; and once more after a while where it may still appear: a PID file may be written a little after the start has ended.
void Manager::look_for_main(SupervisedUnit& unit, Run& run) {
  if (!run.looks_for_main) return;
  const core::RunKey key{unit.id, run.run};
  const core::UnitRecord* const record = engine_.record(unit.id);
  if (record == nullptr || record->run != run.run || record->state != core::ServiceState::Start) {
    run.looks_for_main = false;
    return;
  }
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  const std::string pid_file = unit.spec == nullptr ? std::string{} : unit.spec->service.pid_file;
  if (pid_file.empty()) {
    run.looks_for_main = false;
    const bool may_guess = unit.spec == nullptr || unit.spec->service.guess_main_pid;
    const pid_t pid = may_guess ? tracking_.only_child_of(processes(run, leaf), keeper_pid_) : 0;
    if (pid > 1 && take_candidate(unit, run, pid)) return;
    events_.emplace_back(core::MainMissing{key});
    return;
  }
  const Result<pid_t> pid = read_pid_file(pid_file);
  if (pid && take_candidate(unit, run, *pid)) {
    run.looks_for_main = false;
    return;
  }
  const std::string why =
      pid ? pid_file + " names process " + std::to_string(*pid) + ", which is none of the service's" : pid.error().message();
  if (unit.last_failure != why && run.looks > 0) unit.last_failure = why;
  const base::Duration pause = std::min(last_main_pause, first_main_pause * (1 << std::min<int>(run.looks, 10)));
  if (run.looks < 255) ++run.looks;
  timers_.arm(token_of(TokenKind::MainProcess, unit.id, run.run), now_ + pause);
}

/// A process that is to be the main one, where it belongs to the run. False: it does not.
bool Manager::take_candidate(SupervisedUnit& unit, Run& run, pid_t pid) {
  if (pid <= 1) return false;
  if (pid == run.pid && !run.exit) return true;
  UniqueFd pidfd{sys::pidfd_open(pid, 0)};
  tracking_.look_again();
  const std::string leaf = ProcessTracking::leaf_name(unit.name, run.run);
  if (!pidfd || !tracking_.contains(processes(run, leaf), pid)) return false;
  run.main_candidate = pid;
  run.main_candidate_fd = std::move(pidfd);
  events_.emplace_back(core::MainFound{{unit.id, run.run}});
  return true;
}

void Manager::track_main(const core::SpawnKey& key) {
  SupervisedUnit* const unit = find(key.unit);
  Run* const run = unit == nullptr ? nullptr : unit->find_run(key.run);
  if (run == nullptr || !run->main_candidate_fd) {
    events_.emplace_back(core::SpawnFailed{key, core::SpawnProblem::Permanent});
    return;
  }
  run->spawn = key.spawn;
  run->last_spawn = std::max(run->last_spawn, key.spawn);
  run->pid = std::exchange(run->main_candidate, 0);
  run->pidfd = std::move(run->main_candidate_fd);
  run->exit.reset();
  run->setup_failed = run->told_empty = run->is_watched = false;
  run->gate.reset();
  run->started = stamp(now_);
  keeper::Request request;
  request.operation = keeper::Operation::Track;
  request.key = {key.run, key.unit, key.spawn};
  request.number = run->pid;
  std::copy(run->invocation.begin(), run->invocation.end(), std::begin(request.invocation));
  std::vector<int> fds{run->pidfd.get()};
  if (run->log) {
    request.flags |= keeper::has_log;
    fds.push_back(run->log.get());
  }
  keeper_.send(request, fds);
  note_entry(*unit, *run, key.spawn);
  if (unit->log) unit->log->begin_run(identity_of(*run));
  // The keeper tells of its end, also where that came before the order did.
  events_.emplace_back(core::ProcessStarted{key});
}

// ---- messages

std::string Manager::notify_path() const { return options_.runtime_dir + "/notify"; }

/// The socket outlives every manager in the keeper: what is sent while there is none waits in it.
Result<void> Manager::open_notify(UniqueFd parked) {
  if (!parked) {
    const std::string path = notify_path();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
      return Error{"the runtime directory's name is too long for a socket in it: " + path + " (ENAMETOOLONG)", ENAMETOOLONG};
    std::copy(path.begin(), path.end(), address.sun_path);
    parked.reset(sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!parked) return Error::from_errno(errno, "make", "the notify socket");
    sys::unlink(path.c_str());
    const mode_t mask = sys::umask(0);  // every user may send; who is heard is looked at message by message
    const bool is_bound = sys::bind(parked.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    const int error = errno;
    sys::umask(mask);
    if (!is_bound) return Error::from_errno(error, "bind", path);
    const int yes = 1;
    const int room = 8 << 20;
    if (sys::setsockopt(parked.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
      return Error::from_errno(errno, "set SO_PASSCRED of", path);
    static_cast<void>(sys::setsockopt(parked.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    park(notify_label, parked.get());
  }
  notify_ = std::move(parked);
  return poller_.add(notify_.get(), loop::Interest::Read, token_of(TokenKind::Notify));
}

/// Whether the process may be one that the keeper has started and not told of yet: it was faster. Its message waits in the socket.
bool Manager::is_being_started(pid_t sender) {
  if (spawns_.empty()) return false;
  take_keeper_messages();
  const auto leaf = tracking_.leaf_of(sender);
  return std::any_of(spawns_.begin(), spawns_.end(), [&](const auto& spawn) {
    const core::SpawnKey& key = spawn.second.key;
    const SupervisedUnit* const unit = find(key.unit);
    return unit != nullptr && (!leaf || *leaf == ProcessTracking::leaf_name(unit->name, key.run));
  });
}

/// A message is taken from the socket when what follows from it is recorded and ordered: a manager that is killed before leaves it
/// to the next one, and may have acted on it. Nobody minds to be told twice.
void Manager::take_notifications() {
  std::array<char, wire::notify_bytes_max + 1> bytes;
  msghdr nothing{};
  for (int i = 0; i < messages_max; ++i) {
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * message_fds_max)];
    iovec part{bytes.data(), bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = sys::recvmsg(notify_.get(), &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0) return;
    std::vector<UniqueFd> fds;  // copies; those in the socket go with the message, which is what BARRIER=1 waits for
    pid_t sender = 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level != SOL_SOCKET) continue;
      if (header->cmsg_type == SCM_CREDENTIALS) {
        ucred peer{};
        std::memcpy(&peer, CMSG_DATA(header), sizeof peer);
        sender = peer.pid;
      } else if (header->cmsg_type == SCM_RIGHTS) {
        for (std::size_t at = 0; at + CMSG_LEN(0) + sizeof(int) <= header->cmsg_len; at += sizeof(int)) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
          fds.emplace_back(fd);
        }
      }
    }
    if (sender > 1 && (message.msg_flags & MSG_TRUNC) == 0) {
      if (is_being_started(sender)) return;
      take_notification(sender, std::string_view{bytes.data(), static_cast<std::size_t>(size)});
      decide();
    }
    sys::recvmsg(notify_.get(), &nothing, MSG_DONTWAIT);
  }
  // There may be more: the poller tells of it again.
}

/// The unit and run that a process belongs to; the process may be heard by NotifyAccess=.
std::pair<SupervisedUnit*, Run*> Manager::sender_of(pid_t sender) {
  const auto leaf = tracking_.leaf_of(sender);
  for (const auto& unit : units_) {
    if (unit == nullptr || unit->spec == nullptr || unit->runs.empty()) continue;
    const unit::NotifyAccess access = unit->spec->service.notify_access;
    if (access == unit::NotifyAccess::None) continue;
    Run& run = *unit->runs.back();
    const bool is_main = run.pid == sender && !run.exit;
    const bool is_control = run.control != nullptr && run.control->pid == sender && !run.control->exit;
    const std::string own = ProcessTracking::leaf_name(unit->name, run.run);
    const bool is_member = leaf ? *leaf == own : is_main || is_control || tracking_.contains(processes(run, own), sender);
    if (!is_member) continue;
    const bool may = access == unit::NotifyAccess::All || is_main || (access == unit::NotifyAccess::Exec && is_control);
    if (may) return {unit.get(), &run};
    say(unit->name + ": a message from process " + std::to_string(sender) +
        " is not heard: NotifyAccess= does not include it");
    return {};
  }
  return {};
}

void Manager::take_notification(pid_t sender, std::string_view text) {
  const wire::NotifyMessage message = wire::parse_notify(text);
  const auto is_set = [&message](std::string_view name) { return message.value(name) == "1"; };
  const auto [unit, run] = sender_of(sender);
  if (unit == nullptr) return;
  const auto microseconds = [&message](std::string_view name) -> std::optional<base::Duration> {
    const auto value = message.value(name);
    const auto number = value ? base::parse_number<std::uint64_t>(*value) : std::nullopt;
    constexpr std::uint64_t most = std::chrono::duration_cast<std::chrono::microseconds>(unit::span_max).count();
    if (!number) return std::nullopt;
    return std::chrono::microseconds{std::min(*number, most)};
  };
  if (const auto status = message.value("STATUS")) unit->status_text = base::escape(*status);
  if (const auto error = message.value("ERRNO"))
    unit->status_errno = base::parse_number<int>(*error).value_or(unit->status_errno);
  if (const auto pid = message.value("MAINPID")) {
    const auto number = base::parse_number<pid_t>(*pid);
    if (!number || !take_candidate(*unit, *run, *number))
      say(unit->name + ": MAINPID=" + base::escape(*pid) + " is none of its processes; not taken");
  }
  core::Notified fact;
  fact.run = {unit->id, run->run};
  fact.is_ready = is_set("READY");
  fact.is_reloading = is_set("RELOADING");
  fact.is_stopping = is_set("STOPPING");
  fact.is_alive = is_set("WATCHDOG");
  fact.asks_to_be_ended = message.value("WATCHDOG") == "trigger";
  fact.watchdog = microseconds("WATCHDOG_USEC");
  fact.extend_timeout = microseconds("EXTEND_TIMEOUT_USEC");
  const bool is_news = fact.is_ready || fact.is_reloading || fact.is_stopping || fact.is_alive || fact.asks_to_be_ended ||
                       fact.watchdog || fact.extend_timeout;
  if (is_news) events_.emplace_back(fact);
}

// ---- the end of the instance

void Manager::end_instance(const core::EndInstance& order) {
  const SupervisedUnit* const unit = find(order.unit);
  const core::Exit& exit = order.exit;
  exit_code_ = exit.kind == core::ExitKind::Exited    ? exit.status
               : exit.kind == core::ExitKind::Unknown ? 255
                                                      : 128 + exit.status;
  if (unit != nullptr)
    say(unit->name + " has ended (" + core::to_text(exit) + ") and is essential: the instance ends with " +
        std::to_string(exit_code_));
  if (!is_shutting_down_) park(stopping_label, specs_->fd());
  is_shutting_down_ = true;
  if (order.is_forced) finished_ = true;
}

void Manager::announce(const core::AnnounceCycle& cycle) {
  std::string names;
  for (const core::UnitId id : cycle.units) {
    const SupervisedUnit* const unit = find(id);
    names += (unit == nullptr ? std::string{"?"} : unit->name) + " → ";
  }
  const SupervisedUnit* const first = cycle.units.empty() ? nullptr : find(cycle.units.front());
  if (first == nullptr) return;
  names += first->name;
  const std::string text = "ordering cycle: " + names + " (each is to start after the next); none of them is started";
  say(text);
  for (const core::UnitId id : cycle.units)
    if (SupervisedUnit* const unit = find(id)) unit->last_failure = text;
}

}  // namespace perdure::supervisor
