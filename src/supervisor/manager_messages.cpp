// What services say with sd_notify(3) and syslog(3): who it was, and what becomes of it.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <climits>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "supervisor/manager.hpp"
#include "supervisor/manager_tokens.hpp"
#include "supervisor/message_socket.hpp"
#include "wire/notify.hpp"
#include "wire/syslog_message.hpp"

namespace perdure::supervisor {
namespace {

namespace sys = os::sys;

/// Messages that are read in one round: a service that sends without end must not keep the others waiting.
constexpr int messages_max = 64;
/// A message beyond it is cut.
constexpr std::size_t syslog_bytes_max = 8 * 1024;
constexpr base::Duration full_pipe_pause = std::chrono::milliseconds{100};
constexpr std::size_t mounts_bytes_max = 1U << 20;
constexpr ino_t first_pid_namespace =
    0xEFFFFFFC;  // PROC_PID_INIT_INO of <linux/proc_ns.h>, the same in every kernel since 3.8

/// In pieces that the kernel takes whole or not at all; `written` says how far it is. False: there is no room for the rest.
bool write_whole(int pipe, std::string_view line, std::size_t& written) {
  const UniqueFd end{sys::open(("/proc/self/fd/" + std::to_string(pipe)).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
  if (!end) return false;
  while (written < line.size()) {
    const std::size_t size = std::min<std::size_t>(line.size() - written, PIPE_BUF);
    if (sys::write(end.get(), line.data() + written, size) != static_cast<ssize_t>(size)) return false;
    written += size;
  }
  return true;
}

bool is_main_of(const Run& run, pid_t pid) { return run.pid == pid && !run.exit; }
bool is_control_of(const Run& run, pid_t pid) {
  return run.control != nullptr && run.control->pid == pid && !run.control->exit;
}

}  // namespace

// ---- sd_notify(3)

/// Whether the process may be one that the keeper has started and not told of yet: it was faster. Its message waits in the socket.
bool Manager::is_being_started(const ReceivedMessage& message) {
  if (spawns_.empty()) return false;
  take_keeper_messages();
  const auto leaf = tracking_.leaf_of(message.sender, message.sender_pidfd.get());
  // Without leaves: who is not known yet may be one of them.
  const SupervisedUnit* const known = leaf ? nullptr : unit_of_process(message);
  return std::any_of(spawns_.begin(), spawns_.end(), [&](const auto& spawn) {
    const core::SpawnKey& key = spawn.second.key;
    const SupervisedUnit* const unit = find(key.unit);
    if (unit == nullptr) return false;
    return leaf ? *leaf == ProcessTracking::leaf_name(unit->name, key.run) : known == nullptr || known == unit;
  });
}

/// A message is taken from the socket when what follows from it is recorded and ordered: a manager that is killed before leaves it
/// to the next one, and may have acted on it. Nobody minds to be told twice.
void Manager::take_notifications() {
  std::array<char, wire::notify_bytes_max + 1> room;
  for (int i = 0; i < messages_max; ++i) {
    const std::optional<ReceivedMessage> message = look_at_message(notify_.get(), room);
    if (!message) return;
    if (message->sender > 1 && !message->is_cut) {
      if (is_being_started(*message)) {
        notify_waits_ = true;
        static_cast<void>(poller_.modify(notify_.get(), loop::Interest::None, token_of(TokenKind::Notify)));
        return;
      }
      take_notification(*message);
      decide();
    }
    // What was sent along is closed with it: that is what BARRIER=1 waits for.
    drop_message(notify_.get(), *message);
  }
  // There may be more: the poller tells of it again.
}

/// The keeper has answered a start: it may have been the one that is waited for.
void Manager::take_notifications_again() {
  notify_waits_ = false;
  static_cast<void>(poller_.modify(notify_.get(), loop::Interest::Read, token_of(TokenKind::Notify)));
  take_notifications();
}

/// The unit whose present run a process belongs to.
SupervisedUnit* Manager::unit_of_process(const ReceivedMessage& message) {
  const pid_t pid = message.sender;
  if (pid <= 1) return nullptr;  // 0: of a namespace of processes that is not below ours
  const auto leaf = tracking_.leaf_of(pid, message.sender_pidfd.get());
  const auto is_in = [&](const SupervisedUnit& unit) {
    if (unit.runs.empty()) return false;
    const Run& run = *unit.runs.back();
    const std::string own = ProcessTracking::leaf_name(unit.name, run.run);
    if (leaf) return *leaf == own;
    return is_main_of(run, pid) || is_control_of(run, pid) || tracking_.contains(processes(run, own), pid);
  };
  if (leaf && leaf->empty()) return nullptr;
  // A leaf is called after its unit, as far as the name is short enough; only who is behind another one has to be looked for.
  SupervisedUnit* const named = leaf ? find(std::string_view{*leaf}.substr(0, leaf->rfind('#'))) : nullptr;
  if (named != nullptr) return is_in(*named) ? named : nullptr;  // else it is of a run that is over
  const auto found = std::find_if(units_.begin(), units_.end(), [&](const auto& one) { return one && is_in(*one); });
  return found == units_.end() ? nullptr : found->get();
}

/// The unit whose NotifyAccess= lets the sender be heard.
SupervisedUnit* Manager::heard_by(const ReceivedMessage& message) {
  SupervisedUnit* const unit = unit_of_process(message);
  if (unit == nullptr || unit->spec == nullptr) return nullptr;
  Run& run = *unit->runs.back();
  switch (unit->spec->service.notify_access) {
    case unit::NotifyAccess::None: return nullptr;
    case unit::NotifyAccess::All: return unit;
    case unit::NotifyAccess::Exec:
      if (is_control_of(run, message.sender)) return unit;
      [[fallthrough]];
    case unit::NotifyAccess::Main:
      if (is_main_of(run, message.sender)) return unit;
  }
  if (!std::exchange(run.told_unheard, true))
    say(unit->name + ": a message from process " + std::to_string(message.sender) +
        " is not heard: NotifyAccess= does not include it; later ones of this run are not told of");
  return nullptr;
}

void Manager::take_notification(const ReceivedMessage& received) {
  const wire::NotifyMessage message = wire::parse_notify(received.bytes);
  const auto is_set = [&message](std::string_view name) { return message.value(name) == "1"; };
  SupervisedUnit* const unit = heard_by(received);
  if (unit == nullptr) return;
  Run* const run = unit->runs.back().get();
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
    const bool is_taken = number && take_candidate(*unit, *run, *number);
    if (!is_taken && !std::exchange(run->told_claim, true))
      say(unit->name + ": MAINPID=" + base::escape(*pid) +
          " is none of its processes; not taken; later ones of this run are not told of");
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

// ---- what is said with syslog(3)

/// Where it is to be heard: as the first process of a machine or of a container, whose /dev is nobody else's.
std::string Manager::syslog_path() const {
  if (options_.syslog != "auto") return options_.syslog == "off" ? std::string{} : options_.syslog;
  const bool is_first_process = keeper_pid_ == 1;
  struct stat ours {};
  struct stat first {};
  if (sys::stat("/dev", &ours) != 0) return {};
  const bool is_apart = sys::stat("/proc/1/root/dev", &first) == 0 && first.st_dev != ours.st_dev;
  if (!is_first_process && !is_apart) return {};
  // The kernel has one devtmpfs, whoever has mounted it: only the machine's own first process may put a socket there.
  const std::string mounts = os::read_file("/proc/self/mounts", mounts_bytes_max).value_or(std::string{});
  for (const std::string_view line : base::lines(mounts)) {
    if (!line.starts_with("devtmpfs /dev ") && line.find(" /dev devtmpfs ") == std::string_view::npos) continue;
    struct stat name_space {};
    const bool is_of_machine =
        is_first_process && sys::stat("/proc/self/ns/pid", &name_space) == 0 && name_space.st_ino == first_pid_namespace;
    return is_of_machine ? "/dev/log" : std::string{};
  }
  return "/dev/log";
}

/// Whoever listens there already is left alone. The socket, and the pipe for what is nobody's, outlive every manager in the keeper.
void Manager::open_syslog(UniqueFd parked, UniqueFd file, UniqueFd pipe) {
  const std::string path = syslog_path();
  if (path.empty()) return;
  if (!parked) {
    Result<UniqueFd> bound = is_listened_to(path) ? Error::from_errno(EADDRINUSE, "bind", path) : bind_message_socket(path);
    const bool is_wanted = options_.syslog != "auto";  // else it is welcome where it can be had
    if (!bound && is_wanted)
      notes_.push_back(bound.error().message() + "; what services say with syslog(3) is not recorded");
    if (!bound) return;
    parked = *std::move(bound);
    park(syslog_label, parked.get());
    syslog_file_ = park_file(syslog_file_label, path);
  } else {
    // Somebody else may have put a socket of his own there meanwhile, as rsyslogd does.
    syslog_file_ = SocketFile{path, std::move(file)};
  }
  if (!pipe) {
    int ends[2] = {-1, -1};
    if (sys::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
    const UniqueFd read_end{ends[0]};
    const UniqueFd write_end{ends[1]};
    pipe.reset(sys::open(("/proc/self/fd/" + std::to_string(ends[0])).c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!pipe) return;
    park(syslog_pipe_label, pipe.get());
  }
  syslog_ = std::move(parked);
  syslog_pipe_ = std::move(pipe);
  syslog_log_ = std::make_unique<logbook::UnitLog>(*logs_, syslog_unit);
  if (console_.is_on()) syslog_log_->tap([this](std::string_view bytes) { console_.take(syslog_unit, true, bytes); });
  static_cast<void>(poller_.add(syslog_.get(), loop::Interest::Read, token_of(TokenKind::Syslog)));
  take_syslog();
}

/// Each message goes the way of the service's own output, into the pipe of its run, and is taken away when it is there: whoever
/// is killed in between leaves it twice, never not at all. A pipe that is full makes all who speak wait, as it makes its service.
void Manager::take_syslog() {
  if (!syslog_) return;
  const loop::Token token = token_of(TokenKind::Syslog);
  std::array<char, syslog_bytes_max> room;
  for (int i = 0; i < messages_max; ++i) {
    const std::optional<ReceivedMessage> message = look_at_message(syslog_.get(), room);
    if (!message) break;
    SupervisedUnit* const unit = unit_of_process(*message);
    Run* const run = unit == nullptr ? nullptr : unit->runs.back().get();
    const bool is_its_own = run != nullptr && run->log;
    const core::RunKey goes_to = is_its_own ? core::RunKey{unit->id, run->run} : core::RunKey{};
    if (std::exchange(syslog_goes_to_, goes_to) != goes_to) syslog_written_ = 0;  // rather twice than torn
    const std::string line = syslog_line(*message, is_its_own ? unit : nullptr);
    const bool is_written = write_whole(is_its_own ? run->log.get() : syslog_pipe_.get(), line, syslog_written_);
    if (is_its_own && !run->log_is_polled) take_log(*unit, *run);  // nobody else has it open for writing any more
    if (!is_written) {
      static_cast<void>(poller_.modify(syslog_.get(), loop::Interest::None, token));
      timers_.arm(token, now_ + full_pipe_pause);
      break;
    }
    syslog_written_ = 0;
    drop_message(syslog_.get(), *message);
  }
  const logbook::Taken taken = syslog_log_->drain(syslog_pipe_.get(), logbook::LogTime::now());
  if (!taken.note.empty()) say(taken.note);
  if (taken.blocked != 0) timers_.arm(token, now_ + full_pipe_pause);
}

/// The pipe took some of it, or the log did: it goes on.
void Manager::take_syslog_again() {
  static_cast<void>(poller_.modify(syslog_.get(), loop::Interest::Read, token_of(TokenKind::Syslog)));
  take_syslog();
}

/// "<6>CRON[812]: (root) CMD (true)", as the log knows priorities. Whoever speaks as the log shows the service anyway is not named
/// twice.
std::string Manager::syslog_line(const ReceivedMessage& received, const SupervisedUnit* unit) {
  const wire::SyslogMessage message = wire::parse_syslog(received.bytes);
  std::string line;
  if (unit == nullptr || has_levels(*unit)) line += '<' + std::to_string(message.priority) + '>';
  const bool is_known = unit != nullptr && is_main_of(*unit->runs.back(), received.sender) &&
                        std::string_view{unit->name}.substr(0, unit->name.rfind('.')) == message.identifier;
  if (!is_known && !message.identifier.empty()) {
    line += message.identifier;
    if (!message.pid.empty()) line.append("[").append(message.pid).append("]");
    line += ": ";
  }
  line += message.text;
  if (received.is_cut) line += " […]";
  return line + '\n';
}

}  // namespace perdure::supervisor
