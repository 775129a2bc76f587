// Three processes: the first one waits and reports, the one in between makes a session and ends, the daemon goes on.
//
//     first ──fork──▶ in between ──setsid, fork──▶ daemon
//       │  ◀── Detached(pid) ──┘ _exit               │
//       │  ◀────────────────── Ready or Failed ──────┘
//     _exit with the outcome
//
// All signals are blocked from before the first fork until each process has the dispositions it needs. How the first
// process and the one in between learn what becomes of the daemon depends on the system: process/first_process.hpp.
#include "perdure/detach.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include <fmt/core.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/exit_status.hpp"
#include "process/at_load.hpp"
#include "process/first_process.hpp"
#include "process/redirect_stdio.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

constexpr std::string_view unchanged = "nothing was started";

// ---- Before the first fork -----------------------------------------------------------------------------------------------

Result<void> check_options(const DetachOptions& options) {
  constexpr mode_t mask_max = 0777;
  if (options.umask > mask_max)
    return Error{fmt::format("cannot detach: umask {:o} is above 777; {}", options.umask, unchanged)};
  const std::string& directory = options.working_directory;
  if (directory.empty() || directory.front() != '/')
    return Error{
        fmt::format("cannot detach: the working directory {} is not absolute; {}", base::quote(directory), unchanged)};
  // chdir(2) itself is the daemon's business; what can be known before there is a second process is said before.
  struct stat status {};
  if (sys::stat(directory.c_str(), &status) != 0)
    return Error::from_errno(errno, "detach into", directory).with_advice(unchanged);
  if (!S_ISDIR(status.st_mode)) return Error::from_errno(ENOTDIR, "detach into", directory).with_advice(unchanged);
  if (sys::access(directory.c_str(), X_OK) != 0)
    return Error::from_errno(errno, "detach into", directory).with_advice(unchanged);
  return {};
}

/// Both ends close-on-exec and never blocking. POSIX has no flags for that. On Linux nobody can come in between, for there is one
/// thread; elsewhere nothing counts threads, and the caller vouches for it.
Result<void> make_line(UniqueFd& near, UniqueFd& far) {
  const auto failed = [] { return Error::from_errno(errno, "make the line to the daemon").with_advice(unchanged); };
  int ends[2] = {-1, -1};
  if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return failed();
  near.reset(ends[0]);
  far.reset(ends[1]);
  for (const int end : ends) {
    if (sys::fcntl(end, F_SETFD, FD_CLOEXEC) != 0 || sys::fcntl(end, F_SETFL, O_NONBLOCK) != 0) return failed();
  }
  return {};
}

/// What the first process changes about itself; put back unless keep() is called.
class Changes {
 public:
  Changes() = default;
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() {
    if (became_reaper_) process::stop_being_reaper();
    if (child_signal_set_) sys::sigaction(SIGCHLD, &child_signal_, nullptr);
    if (mask_set_) sys::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }

  Result<void> make() {
    sigset_t all;
    ::sigfillset(&all);
    if (sys::sigprocmask(SIG_BLOCK, &all, &mask_) != 0) return failed("block signals");
    mask_set_ = true;
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    if (sys::sigaction(SIGCHLD, &standard, &child_signal_) != 0) return failed("reset SIGCHLD");
    child_signal_set_ = true;
    PERDURE_TRY(became_reaper_, process::become_reaper());
    return {};
  }
  void keep() noexcept { became_reaper_ = child_signal_set_ = mask_set_ = false; }
  [[nodiscard]] const sigset_t& mask() const noexcept { return mask_; }
  [[nodiscard]] const struct sigaction& child_signal() const noexcept { return child_signal_; }

 private:
  static Error failed(std::string_view attempt) { return Error::from_errno(errno, attempt).with_advice(unchanged); }

  sigset_t mask_{};
  struct sigaction child_signal_ {};
  bool became_reaper_ = false, child_signal_set_ = false, mask_set_ = false;
};

// ---- The first process ---------------------------------------------------------------------------------------------------

/// Ctrl-C and a closed terminal end the first process as they would any other; what nohup(1) ignored stays ignored.
void take_terminal_signals(const sigset_t& mask) noexcept {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction action {};
    if (sys::sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = SIG_DFL;
    sys::sigaction(number, &action, nullptr);
  }
  struct sigaction ignored {};
  ignored.sa_handler = SIG_IGN;
  sys::sigaction(SIGPIPE, &ignored, nullptr);  // its stderr may be gone
  sys::sigprocmask(SIG_SETMASK, &mask, nullptr);
}

// ---- The daemon ----------------------------------------------------------------------------------------------------------

Result<void> reset_signals(const struct sigaction& child_signal) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number <= SIGRTMAX; ++number) {
    struct sigaction action {};
    // Refused for SIGKILL, SIGSTOP and those the C library keeps for itself: they have no other disposition anyway.
    if (number == SIGPIPE || sys::sigaction(number, nullptr, &action) != 0 || action.sa_handler != SIG_IGN) continue;
    if (sys::sigaction(number, &standard, nullptr) != 0) return Error::from_errno(errno, "reset the signals");
  }
  if (child_signal.sa_handler != SIG_IGN && child_signal.sa_handler != SIG_DFL &&
      sys::sigaction(SIGCHLD, &child_signal, nullptr) != 0)
    return Error::from_errno(errno, "restore the handler of SIGCHLD");
  sigset_t none;
  ::sigemptyset(&none);
  if (sys::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return Error::from_errno(errno, "unblock signals");
  return {};
}

Result<void> become_daemon(const DetachOptions& options, const UniqueFd& null, int line,
                           const struct sigaction& child_signal) {
  if (sys::chdir(options.working_directory.c_str()) != 0)
    return Error::from_errno(errno, "enter the working directory", options.working_directory);
  sys::umask(options.umask);
  if (options.redirect_stdio) PERDURE_CHECK(process::put_on_stdio(null.get(), null.get()));
  std::vector<int> keep = options.keep_fds;
  keep.push_back(line);
  close_inherited_fds(keep);
  return reset_signals(child_signal);
}

}  // namespace

// ---- For both kinds of first process -------------------------------------------------------------------------------------

void process::say(const DetachOptions& options, std::string_view what) {
  const std::string line = options.name.empty() ? fmt::format("{}\n", what) : fmt::format("{}: {}\n", options.name, what);
  sys::write(STDERR_FILENO, line.data(), line.size());
}

void process::report_and_exit(StartReport& report, const Error& error) noexcept {
  report.failed(exit_system, error.message());
  ::_exit(exit_system);
}

ExitStatus process::reap(pid_t pid) noexcept {
  siginfo_t end{};
  if (sys::waitid(P_PID, static_cast<id_t>(pid), &end, WEXITED) != 0 || end.si_pid != pid) return {};
  if (end.si_code == CLD_EXITED) return ExitStatus::exited(end.si_status);
  return ExitStatus::killed(end.si_status, end.si_code == CLD_DUMPED);
}

int process::time_left_ms(std::chrono::steady_clock::time_point deadline) noexcept {
  constexpr std::chrono::milliseconds longest = std::chrono::hours{1};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds{0}, longest).count());
}

// ---- The whole -----------------------------------------------------------------------------------------------------------

Result<StartReport> detach(const DetachOptions& options) {
  PERDURE_CHECK(check_options(options));
  PERDURE_CHECK(process::require_one_thread());
  // First of all, so that no descriptor made from here on becomes somebody's standard output.
  auto stdio = process::FilledStdio::fill();
  if (!stdio) return std::move(stdio).error().with_advice(unchanged);
  auto null = process::open_null();
  if (!null) return std::move(null).error().with_advice(unchanged);
  UniqueFd near, far;
  PERDURE_CHECK(make_line(near, far));
  Changes changes;
  PERDURE_CHECK(changes.make());

  process::flush_stdio();
  const pid_t child = sys::fork();
  if (child < 0) return Error::from_errno(errno, "fork the daemon").with_advice(unchanged);
  if (child > 0) {
    far.reset();
    take_terminal_signals(changes.mask());
    ::_exit(process::wait_for_the_outcome(std::move(near), child, options));
  }
  changes.keep();
  stdio->keep();
  near.reset();
  StartReport report{std::move(far)};
  process::go_between(report);
  if (const auto done = become_daemon(options, *null, report.fd(), changes.child_signal()); !done)
    process::report_and_exit(report, done.error());
  return report;
}

void close_inherited_fds(const std::vector<int>& keep) noexcept { process::close_fds_from_before_load(keep); }

bool is_under_init() noexcept {
  if (::getpid() == 1) return true;
  const char* const notify = std::getenv("NOTIFY_SOCKET");
  if (notify != nullptr && *notify != '\0') return true;
  const char* const started = std::getenv("SYSTEMD_EXEC_PID");
  return started != nullptr && base::parse_number<pid_t>(started) == ::getpid();
}

}  // namespace perdure
