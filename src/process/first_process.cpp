// The first process is a subreaper, so the daemon becomes its child when the one in between has ended: waitid(2) then tells how a
// daemon ended that said nothing. SIGCHLD has its default disposition meanwhile; were it ignored, the kernel would throw that away.
#include "process/first_process.hpp"

#include <dirent.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/core.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "process/child_signal.hpp"
#include "process/proc.hpp"
#include "process/process_group.hpp"
#include "process/start_protocol.hpp"

namespace perdure::process {

namespace sys = os::sys;

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view unchanged = "nothing was started";

// ---- Threads -------------------------------------------------------------------------------------------------------------

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
    const auto thread = number_of_entry(entry->d_name);
    if (!thread) continue;
    ++threads.count;
    if (*thread == ::gettid() || threads.count > threads_named_max) continue;
    const auto name = read_proc_file(fmt::format("/proc/self/task/{}/comm", *thread).c_str()).value_or("?");
    threads.names +=
        fmt::format("{}{} ({})", threads.names.empty() ? "" : ", ", base::escape(base::trim_end(name)), *thread);
  }
  ::closedir(tasks);
  return threads;
}

}  // namespace

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

Result<bool> become_reaper() {
  int is_one = 0;
  if (sys::prctl(PR_GET_CHILD_SUBREAPER, reinterpret_cast<unsigned long>(&is_one)) != 0)
    return Error::from_errno(errno, "ask about reaping").with_advice(unchanged);
  if (is_one != 0) return false;
  if (sys::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
    return Error::from_errno(errno, "become the reaper of the daemon").with_advice(unchanged);
  return true;
}

void stop_being_reaper() noexcept { sys::prctl(PR_SET_CHILD_SUBREAPER, 0); }

namespace {

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
      const int left = time_left_ms(deadline_);
      if (left <= 0) return give_up();
      if (daemon_ != 0 && !daemon_fd_) daemon_fd_.reset(sys::pidfd_open(daemon_, 0));  // no descriptor was left at first
      pollfd sources[2] = {{line_.get(), POLLIN, 0}, {daemon_fd_.get(), POLLIN, 0}};   // poll(2) skips a -1
      sys::poll(sources, 2, left);
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
    StartPacket packet;
    switch (receive(line_.get(), packet)) {
      case Arrival::None: return false;
      case Arrival::End: line_.reset(); return false;
      case Arrival::Message: break;
    }
    switch (packet.message.news) {
      case StartNews::Detached: adopt(packet.message.number); break;
      case StartNews::Ready: outcome_ = exit_ok; break;
      case StartNews::Failed:
        say(options_, packet.text);
        let_it_finish();
        outcome_ = packet.message.number;
        break;
      case StartNews::Taken:
      case StartNews::InCharge:
      case StartNews::TookOver:  // between a daemon and its successor
      case StartNews::Ended: break;
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
    while (daemon_fd_ && ended.revents == 0 && Clock::now() < end) sys::poll(&ended, 1, time_left_ms(end));
  }

  void daemon_ended() {
    const ExitStatus status = reap(daemon_ != 0 ? daemon_ : between_);
    say(options_, fmt::format("the daemon {} before it was ready", status.text()));
    outcome_ = status.success() ? int{exit_failed} : status.shell_code();
  }

  int give_up() {
    // The daemon's group and session have the number of the process in between; whatever it has forked is in there too.
    // The daemon itself, unreaped, keeps the number from being given to others.
    const auto killed = signal_group(
        {.leader_pidfd = between_fd_.get(), .group = between_, .session = between_, .is_pinned = daemon_ != 0}, SIGKILL);
    if (!killed && daemon_fd_) sys::pidfd_send_signal(daemon_fd_.get(), SIGKILL);
    if (daemon_ == 0 && between_fd_) sys::pidfd_send_signal(between_fd_.get(), SIGKILL);
    if (daemon_fd_) reap(daemon_);
    const double seconds = std::chrono::duration<double>(options_.start_within).count();
    say(options_, fmt::format("the daemon (pid {}) was not ready within {} s and was killed", daemon_, seconds));
    return exit_failed;
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

}  // namespace

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
  ::_exit(exit_ok);
}

}  // namespace perdure::process
