// Three processes: the first one waits and reports, the one in between makes a session and ends, the daemon goes on.
//
//     first ──fork──▶ in between ──setsid, fork──▶ daemon
//       │  ◀── Detached(pid) ──┘ _exit               │
//       │  ◀────────────────── Ready or Failed ──────┘
//     _exit with the outcome
//
// All signals are blocked from before the first fork until each process has the dispositions it needs. The first process is
// a subreaper, so the daemon becomes its child when the one in between has ended: waitid(2) then tells how a daemon ended
// that said nothing. SIGCHLD has its default disposition meanwhile; were it ignored, the kernel would throw that away.
#include "perdure/detach.hpp"

#include <dirent.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <optional>

#include <fmt/core.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/exit_status.hpp"
#include "process/at_load.hpp"
#include "process/proc.hpp"
#include "process/process_group.hpp"
#include "process/redirect_stdio.hpp"
#include "process/start_protocol.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

using process::StartMessage;
using process::StartNews;
using Clock = std::chrono::steady_clock;

constexpr std::string_view unchanged = "nothing was started";
constexpr std::chrono::hours start_within_max{24 * 366};
/// How long the first process lets a daemon that reported its failure finish, so that a second try finds the lock free.
constexpr std::chrono::milliseconds failed_daemon_grace{2000};

// ---- Before the first fork -----------------------------------------------------------------------------------------------

#if defined(__SANITIZE_THREAD__)  // GCC's word for it; clang's is a feature
#define PERDURE_HAS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PERDURE_HAS_TSAN 1
#endif
#endif
#ifdef PERDURE_HAS_TSAN
constexpr std::size_t threads_of_the_runtime = 1;  // ThreadSanitizer's own
#else
constexpr std::size_t threads_of_the_runtime = 0;
#endif
constexpr std::size_t threads_named_max = 8;

struct Threads {
  std::size_t count = 0;
  std::string names;  ///< of all but the first, "reader (4711), …"
};

Result<Threads> count_threads() {
  DIR* const tasks = sys::opendir("/proc/self/task");
  if (tasks == nullptr) return Error::from_errno(errno, "count the threads in", "/proc/self/task").with_advice(unchanged);
  Threads threads;
  while (const dirent* entry = ::readdir(tasks)) {
    const auto thread = process::number_of_entry(entry->d_name);
    if (!thread) continue;
    ++threads.count;
    if (*thread == ::gettid() || threads.count > threads_named_max) continue;
    const auto name = process::read_proc_file(fmt::format("/proc/self/task/{}/comm", *thread).c_str()).value_or("?");
    threads.names +=
        fmt::format("{}{} ({})", threads.names.empty() ? "" : ", ", base::escape(base::trim_end(name)), *thread);
  }
  ::closedir(tasks);
  return threads;
}

Result<void> require_one_thread() {
  // A thread that was joined a moment ago may still be listed: pthread_join(3) returns before the kernel has taken it away.
  constexpr int looks = 20, pause_ms = 5;
  for (int look = 1;; ++look) {
    PERDURE_TRY(const Threads threads, count_threads());
    if (threads.count <= 1 + threads_of_the_runtime) return {};
    if (look == looks)
      return Error{
          fmt::format("cannot detach: besides the calling one, {} run{} here: {}; fork(2) would lose {}; {}; "
                      "detach before starting threads",
                      threads.count == 2 ? "a thread" : fmt::format("{} threads", threads.count - 1),
                      threads.count == 2 ? "s" : "", threads.names, threads.count == 2 ? "it" : "them", unchanged)};
    sys::poll(nullptr, 0, pause_ms);
  }
}

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

/// What the first process changes about itself; put back unless keep() is called.
class Changes {
 public:
  Changes() = default;
  Changes(const Changes&) = delete;
  Changes& operator=(const Changes&) = delete;
  ~Changes() {
    if (became_subreaper_) sys::prctl(PR_SET_CHILD_SUBREAPER, 0);
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
    int subreaper = 0;
    if (sys::prctl(PR_GET_CHILD_SUBREAPER, reinterpret_cast<unsigned long>(&subreaper)) != 0)
      return failed("ask about reaping");
    if (subreaper == 0) {
      if (sys::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return failed("become the reaper of the daemon");
      became_subreaper_ = true;
    }
    return {};
  }
  void keep() noexcept { became_subreaper_ = child_signal_set_ = mask_set_ = false; }
  [[nodiscard]] const sigset_t& mask() const noexcept { return mask_; }
  [[nodiscard]] const struct sigaction& child_signal() const noexcept { return child_signal_; }

 private:
  static Error failed(std::string_view attempt) { return Error::from_errno(errno, attempt).with_advice(unchanged); }

  sigset_t mask_{};
  struct sigaction child_signal_ {};
  bool became_subreaper_ = false, child_signal_set_ = false, mask_set_ = false;
};

// ---- The first process ---------------------------------------------------------------------------------------------------

class FirstProcess {
 public:
  FirstProcess(UniqueFd line, pid_t between, const DetachOptions& options)
      : line_(std::move(line)),
        between_(between),
        between_fd_(sys::pidfd_open(between, 0)),
        options_(options),
        deadline_(Clock::now() + std::min<Clock::duration>(options.start_within, start_within_max)) {}

  /// The exit code that says how the start went.
  int wait_for_the_outcome() {
    while (!outcome_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - Clock::now());
      if (left.count() <= 0) return give_up();
      if (daemon_ != 0 && !daemon_fd_) daemon_fd_.reset(sys::pidfd_open(daemon_, 0));  // no descriptor was left at first
      pollfd sources[2] = {{line_.get(), POLLIN, 0}, {daemon_fd_.get(), POLLIN, 0}};   // poll(2) skips a -1
      constexpr std::int64_t longest = 3'600'000;
      sys::poll(sources, 2, static_cast<int>(std::min<std::int64_t>(left.count(), longest)));
      // News that were sent before the daemon ended count more than its end.
      while (line_ && !outcome_ && read_news()) {
      }
      if (!outcome_ && (sources[1].revents != 0 || (!line_ && daemon_ == 0))) daemon_ended();
    }
    return *outcome_;
  }

 private:
  /// Whether there was something to read.
  bool read_news() {
    struct {
      StartMessage message;
      char text[process::start_text_max];
    } packet;
    const ssize_t size = sys::recv(line_.get(), &packet, sizeof packet, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (size < static_cast<ssize_t>(sizeof packet.message)) {  // closed: every process that could tell has ended or gave up
      line_.reset();
      return false;
    }
    switch (packet.message.news) {
      case StartNews::Detached: adopt(packet.message.number); break;
      case StartNews::Ready: outcome_ = exit_ok; break;
      case StartNews::Failed:
        say({packet.text, static_cast<std::size_t>(size) - sizeof packet.message});
        let_it_finish();
        outcome_ = packet.message.number;
        break;
      case StartNews::Taken:
      case StartNews::InCharge:
      case StartNews::TookOver: break;  // between a daemon and its successor
    }
    return true;
  }

  void adopt(pid_t daemon) {
    daemon_ = daemon;
    daemon_fd_.reset(sys::pidfd_open(daemon, 0));  // nobody has reaped it: the number is its own
    reap(between_);                                // it has ended or is about to; only then is the daemon our child
  }

  void let_it_finish() {
    pollfd ended{daemon_fd_.get(), POLLIN, 0};
    const auto end = std::min(deadline_, Clock::now() + failed_daemon_grace);
    while (daemon_fd_ && ended.revents == 0 && Clock::now() < end)
      sys::poll(&ended, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count()));
  }

  void daemon_ended() {
    const ExitStatus status = reap(daemon_ != 0 ? daemon_ : between_);
    say(fmt::format("the daemon {} before it was ready", status.text()));
    outcome_ = status.success() ? int{exit_failed} : status.shell_code();
  }

  int give_up() {
    // The daemon's group and session have the number of the process in between; whatever it has forked is in there too.
    // The daemon itself, unreaped, keeps the number from being given to others.
    const auto killed = process::signal_group(
        {.leader_pidfd = between_fd_.get(), .group = between_, .session = between_, .is_pinned = daemon_ != 0}, SIGKILL);
    if (!killed && daemon_fd_) sys::pidfd_send_signal(daemon_fd_.get(), SIGKILL);
    if (daemon_ == 0 && between_fd_) sys::pidfd_send_signal(between_fd_.get(), SIGKILL);
    if (daemon_fd_) reap(daemon_);
    const double seconds = std::chrono::duration<double>(options_.start_within).count();
    say(fmt::format("the daemon (pid {}) was not ready within {} s and was killed", daemon_, seconds));
    return exit_failed;
  }

  static ExitStatus reap(pid_t pid) noexcept {
    siginfo_t end{};
    if (sys::waitid(P_PID, static_cast<id_t>(pid), &end, WEXITED) != 0 || end.si_pid != pid) return {};
    if (end.si_code == CLD_EXITED) return ExitStatus::exited(end.si_status);
    return ExitStatus::killed(end.si_status, end.si_code == CLD_DUMPED);
  }

  void say(std::string_view what) const {
    const std::string line =
        options_.name.empty() ? fmt::format("{}\n", what) : fmt::format("{}: {}\n", options_.name, what);
    sys::write(STDERR_FILENO, line.data(), line.size());
  }

  UniqueFd line_;
  pid_t between_;
  UniqueFd between_fd_;
  pid_t daemon_ = 0;
  UniqueFd daemon_fd_;
  const DetachOptions& options_;
  Clock::time_point deadline_;
  std::optional<int> outcome_;
};

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

// ---- The process in between ----------------------------------------------------------------------------------------------

[[noreturn]] void report_and_exit(StartReport& report, const Error& error) noexcept {
  report.failed(exit_system, error.message());
  ::_exit(exit_system);
}

/// A daemon that nobody has heard of must not stay.
void end_unknown_daemon(pid_t pid) noexcept {
  const UniqueFd daemon{sys::pidfd_open(pid, 0)};
  if (daemon) sys::pidfd_send_signal(daemon.get(), SIGKILL);
}

/// Returns in the daemon only.
void go_between(StartReport& report) {
  if (sys::setsid() < 0) report_and_exit(report, Error::from_errno(errno, "start a session for the daemon"));
  const pid_t daemon = sys::fork();
  if (daemon < 0) report_and_exit(report, Error::from_errno(errno, "fork the daemon"));
  if (daemon == 0) return;
  if (!process::send(report.fd(), {StartNews::Detached, daemon})) {
    const int code = errno;
    end_unknown_daemon(daemon);
    report_and_exit(report, Error::from_errno(code, "tell the pid of the daemon").with_advice("it was killed"));
  }
  ::_exit(exit_ok);
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

Result<StartReport> detach(const DetachOptions& options) {
  PERDURE_CHECK(check_options(options));
  PERDURE_CHECK(require_one_thread());
  // First of all, so that no descriptor made from here on becomes somebody's standard output.
  auto stdio = process::FilledStdio::fill();
  if (!stdio) return std::move(stdio).error().with_advice(unchanged);
  auto null = process::open_null();
  if (!null) return std::move(null).error().with_advice(unchanged);
  int ends[2] = {-1, -1};
  if (sys::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return Error::from_errno(errno, "make the line to the daemon").with_advice(unchanged);
  UniqueFd near{ends[0]}, far{ends[1]};
  Changes changes;
  PERDURE_CHECK(changes.make());

  process::flush_stdio();
  const pid_t child = sys::fork();
  if (child < 0) return Error::from_errno(errno, "fork the daemon").with_advice(unchanged);
  if (child > 0) {
    far.reset();
    FirstProcess first{std::move(near), child, options};
    take_terminal_signals(changes.mask());
    ::_exit(first.wait_for_the_outcome());
  }
  changes.keep();
  stdio->keep();
  near.reset();
  StartReport report{std::move(far)};
  go_between(report);
  if (const auto done = become_daemon(options, *null, report.fd(), changes.child_signal()); !done)
    report_and_exit(report, done.error());
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
