// The process in between stays until somebody is ready, and waits for its child, the daemon, as only a parent can.
//
//     first ──fork──▶ in between ──setsid, fork──▶ daemon
//       │  ◀── Detached(pid) ──┤                     │
//       │                      │ waits for SIGCHLD   │
//       │                      │ and for the line's  │
//       │                      │ other end to close  │
//       │  ◀────────────────── Ready or Failed ──────┤
//       │  ◀── Ended(how) ─────┘   or                ┘
//
// As long as the first process has not reaped the one in between, its number is the daemon's session's and group's, and
// nobody else's.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/core.h>

#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "process/child_signal.hpp"
#include "process/first_process.hpp"
#include "process/start_protocol.hpp"

namespace perdure::process {

namespace sys = os::sys;

namespace {

using Clock = std::chrono::steady_clock;

// ---- How the daemon ended, as the number of a message ---------------------------------------------------------------------

constexpr int by_signal = 0x100, with_core = 0x200, nobody_knows = 0x400;

int as_number(const ExitStatus& status) noexcept {
  switch (status.kind()) {
    case ExitStatus::Kind::Exited: return status.value();
    case ExitStatus::Kind::Killed: return status.value() | by_signal | (status.dumped_core() ? with_core : 0);
    case ExitStatus::Kind::Unknown: break;
  }
  return nobody_knows;
}

ExitStatus from_number(int number) noexcept {
  if ((number & nobody_knows) != 0) return {};
  if ((number & by_signal) != 0) return ExitStatus::killed(number & 0xff, (number & with_core) != 0);
  return ExitStatus::exited(number);
}

// ---- The first process ---------------------------------------------------------------------------------------------------

class FirstProcess {
 public:
  FirstProcess(UniqueFd line, pid_t between, const DetachOptions& options)
      : line_(std::move(line)),
        between_(between),
        options_(options),
        deadline_(Clock::now() + std::min<Clock::duration>(options.start_within, start_within_max)) {}

  /// The exit code that says how the start went.
  int wait_for_the_outcome() {
    while (!outcome_) {
      const int left = time_left_ms(deadline_);
      if (left <= 0) {
        give_up();
        break;
      }
      read_news(left);
    }
    line_.reset();  // the process in between ends when nobody listens any more
    reap(between_);
    return *outcome_;
  }

 private:
  void read_news(int longest_ms) {
    StartPacket packet;
    pollfd source{line_.get(), POLLIN, 0};
    sys::poll(&source, 1, longest_ms);
    switch (receive(line_.get(), packet)) {
      case Arrival::None: return;
      case Arrival::End:
        kill_session();  // the daemon may live, and would go on without anybody who knows
        return ended({});
      case Arrival::Message: break;
    }
    switch (packet.message.news) {
      case StartNews::Detached: daemon_ = packet.message.number; break;
      case StartNews::Ready: outcome_ = exit_ok; break;
      case StartNews::Failed:
        say(options_, packet.text);
        let_it_finish();
        outcome_ = packet.message.number;
        break;
      case StartNews::Ended: ended(from_number(packet.message.number)); break;
      case StartNews::Taken:
      case StartNews::InCharge:
      case StartNews::TookOver: break;  // between a daemon and its successor, which a portable build does not have
    }
  }

  void ended(const ExitStatus& status) {
    say(options_, fmt::format("the daemon {} before it was ready", status.text()));
    outcome_ = status.success() ? int{exit_failed} : status.shell_code();
  }

  void let_it_finish() {
    const auto end = std::min(deadline_, Clock::now() + failed_daemon_grace);
    for (StartPacket packet; Clock::now() < end;) {
      pollfd source{line_.get(), POLLIN, 0};
      sys::poll(&source, 1, time_left_ms(end));
      if (receive(line_.get(), packet) != Arrival::None) return;  // Ended, or the end of the line
    }
  }

  void give_up() {
    kill_session();
    const double seconds = std::chrono::duration<double>(options_.start_within).count();
    say(options_, fmt::format("the daemon (pid {}) was not ready within {} s and was killed", daemon_, seconds));
    outcome_ = exit_failed;
  }

  void kill_session() const noexcept {
    if (between_ <= 1) return;
    signal_child(between_, SIGKILL);  // first: from here on it forks nobody that the group would not have
    sys::kill(-between_, SIGKILL);
  }

  UniqueFd line_;
  pid_t between_;
  pid_t daemon_ = 0;  ///< for people: it is not our child
  const DetachOptions& options_;
  Clock::time_point deadline_;
  std::optional<int> outcome_;
};

// ---- The process in between ----------------------------------------------------------------------------------------------

/// Returns when the daemon has ended, and says how; or when the first process is through, or gone.
void watch(pid_t daemon, int line) noexcept {
  struct sigaction noticed {};
  noticed.sa_handler = [](int) {};
  if (sys::sigaction(SIGCHLD, &noticed, nullptr) != 0) return;
  sigset_t all_but_child;  // blocked: SIGCHLD arrives while we wait, and at no other time
  ::sigfillset(&all_but_child);
  ::sigdelset(&all_but_child, SIGCHLD);
  for (;;) {
    siginfo_t end{};
    if (sys::waitid(P_PID, static_cast<id_t>(daemon), &end, WEXITED | WNOHANG | WNOWAIT) != 0) return;
    if (end.si_pid == daemon) {
      send(line, {StartNews::Ended, as_number(reap(daemon))});
      return;
    }
    if (sys::pselect(line, &all_but_child) >= 0 || errno != EINTR) return;
  }
}

}  // namespace

Result<void> require_one_thread() { return {}; }
Result<bool> become_reaper() { return false; }
void stop_being_reaper() noexcept {}

int wait_for_the_outcome(UniqueFd line, pid_t between, const DetachOptions& options) {
  return FirstProcess{std::move(line), between, options}.wait_for_the_outcome();
}

void go_between(StartReport& report) {
  if (sys::setsid() < 0) report_and_exit(report, Error::from_errno(errno, "start a session for the daemon"));
  const pid_t daemon = sys::fork();
  if (daemon < 0) report_and_exit(report, Error::from_errno(errno, "fork the daemon"));
  if (daemon == 0) return;
  if (!send(report.fd(), {StartNews::Detached, daemon})) {
    const int code = errno;
    signal_child(daemon, SIGKILL);  // a daemon that nobody has heard of must not stay
    report_and_exit(report, Error::from_errno(code, "tell the pid of the daemon").with_advice("it was killed"));
  }
  watch(daemon, report.fd());
  ::_exit(exit_ok);
}

}  // namespace perdure::process
