#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "compat/pid_files.hpp"
#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/supervise.hpp"

// Three processes. The first one takes the lock, detaches, and ends with the outcome of the start. The second one, the
// supervising parent, is all of supervise(): it stays in realDaemon() until the worker has ended for good. The third one is
// the worker; it leaves realDaemon() through exit(3) inside supervise(). So nothing of the caller's runs twice.

namespace atom::async {
namespace {

namespace compat = perdure::compat;
using compat::say_to_log;
using Callback = std::function<int(int argc, char** argv)>;
using SystemTime = std::chrono::system_clock::time_point;

/// What a callback that threw, or that was empty, ends with; the code that existing programs return for a failure.
constexpr int callback_failed = 1;
// A program that fails at once is not started for ever, and one that lives for a while always is. A worker that is shot
// (SIGKILL) is not counted at all: see SuperviseOptions::count_kills.
constexpr unsigned quick_failures_max = 5;
constexpr std::chrono::seconds quick_failure{1};

std::atomic<int> restart_interval_s{0};
std::atomic<std::int64_t> stop_timeout_ms{5000};

void append_time(std::string& json, std::string_view key, std::int64_t nanoseconds) {
  std::array<char, 32> text{"null"};
  if (nanoseconds != 0) {
    const std::chrono::nanoseconds since_epoch{nanoseconds};
    const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(since_epoch).count();
    std::tm utc{};
    if (::gmtime_r(&seconds, &utc) != nullptr) (void)std::strftime(text.data(), text.size(), "\"%Y-%m-%dT%H:%M:%SZ\"", &utc);
  }
  json.append(",\"").append(key).append("\":").append(text.data());
}

enum class Where { Foreground, Worker };

void complain(Where where, std::string_view text) {
  std::cout.flush();
  std::fprintf(stderr, "%s: %.*s\n", compat::program_name().c_str(), static_cast<int>(text.size()), text.data());
  // A worker's stderr is /dev/null.
  if (where == Where::Worker) ::syslog(LOG_DAEMON | LOG_ERR, "%.*s", static_cast<int>(text.size()), text.data());
}

int call(const Callback& callback, int argc, char** argv, Where where) {
  if (!callback) {
    complain(where, "cannot run an empty callback; nothing was started");
    return callback_failed;
  }
  try {
    return callback(argc, argv);
  } catch (const std::exception& error) {
    complain(where, std::string{"the callback failed: "} + error.what());
  } catch (...) {
    complain(where, "the callback failed with an exception that is no std::exception");
  }
  return callback_failed;
}

[[noreturn]] void end_first_process(int code, std::string_view reason) {
  complain(Where::Foreground, reason);
  std::fflush(nullptr);
  ::_exit(code);
}

void log_event(const perdure::WorkerEvent& event) {
  using Kind = perdure::WorkerEvent::Kind;
  const std::string worker = "worker " + std::to_string(event.worker) + " ";
  switch (event.kind) {
    case Kind::Started:
      if (event.restarts > 0)
        say_to_log(perdure::Level::Info, worker + "started, restart " + std::to_string(event.restarts));
      return;
    case Kind::Exited:
      return say_to_log(event.status == perdure::ExitStatus::exited(0) ? perdure::Level::Info : perdure::Level::Warning,
                        worker + event.status.text());
    case Kind::Restarting:
      return say_to_log(perdure::Level::Info, "starting it again in " + std::to_string(event.delay.count()) + " ms");
    case Kind::GaveUp:
      return say_to_log(perdure::Level::Error, worker + event.status.text() + "; " + std::to_string(quick_failures_max) +
                                                   " starts failed in a row, it is not started again");
    case Kind::KilledAtStop:
      return say_to_log(perdure::Level::Warning, worker + "was still running at the stop timeout and was killed");
  }
}

/// TERM and its kin wait until supervise() takes them: from the moment the PID file can be read, none may end the parent.
void hold_signals() {
  sigset_t held;
  sigemptyset(&held);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&held, signal);
  (void)::pthread_sigmask(SIG_BLOCK, &held, nullptr);
}

}  // namespace

struct DaemonGuard::State {
  std::atomic<int> parent_id{0};
  std::atomic<int> main_id{0};
  std::atomic<std::int64_t> parent_start{0};  ///< nanoseconds since 1970; 0: not started
  std::atomic<std::int64_t> main_start{0};
  std::atomic<int> restarts{0};
  std::atomic<bool> running{false};
  mutable std::mutex mutex;
  std::string pid_path;  ///< absolute; guarded by mutex

  std::string path() const {
    const std::scoped_lock guard{mutex};
    return pid_path;
  }
  static std::int64_t nanoseconds(SystemTime time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  }
  void begin(const perdure::WorkerStart& start) {
    parent_id = start.parent;
    parent_start = nanoseconds(start.parent_start);
    begin_main(start.worker_start);
    restarts = static_cast<int>(start.restarts);
  }
  void begin_main(SystemTime time) {
    main_id = ::getpid();
    main_start = nanoseconds(time);
    running = true;
  }
};

DaemonGuard::DaemonGuard() : state_(std::make_unique<State>()) {}
DaemonGuard::~DaemonGuard() = default;
DaemonGuard::DaemonGuard(DaemonGuard&&) noexcept = default;
DaemonGuard& DaemonGuard::operator=(DaemonGuard&&) noexcept = default;

auto DaemonGuard::toString() const -> std::string {
  std::string json = "{\"parent_id\":" + std::to_string(state_ ? state_->parent_id.load() : 0);
  json += ",\"main_id\":" + std::to_string(state_ ? state_->main_id.load() : 0);
  append_time(json, "parent_start_time", state_ ? state_->parent_start.load() : 0);
  append_time(json, "main_start_time", state_ ? state_->main_start.load() : 0);
  json += ",\"restart_count\":" + std::to_string(getRestartCount()) + "}";
  return json;
}

auto DaemonGuard::realStart(int argc, char** argv, const Callback& mainCb) -> int {
  if (!state_) state_ = std::make_unique<State>();  // was moved from
  compat::remember_program(argc > 0 ? argv[0] : nullptr);
  state_->begin_main(std::chrono::system_clock::now());
  const int code = call(mainCb, argc, argv, Where::Foreground);
  state_->running = false;
  return code;
}

auto DaemonGuard::realDaemon(int argc, char** argv, const Callback& mainCb) -> int {
  compat::remember_program(argc > 0 ? argv[0] : nullptr);
  if (!mainCb) end_first_process(callback_failed, "cannot run an empty callback; nothing was started");
  if (!state_) state_ = std::make_unique<State>();
  std::cout.flush();
  std::clog.flush();

  std::optional<perdure::PidFile> lock;
  if (std::string path = state_->path(); !path.empty()) {
    compat::make_directories_above(path);
    auto acquired = perdure::PidFile::acquire(std::move(path));
    if (!acquired) end_first_process(acquired.error().exit_code(), acquired.error().message());
    lock = std::move(*acquired);
  }
  perdure::DetachOptions detach_options;
  detach_options.name = compat::program_name();
  if (lock) detach_options.keep_fds.push_back(lock->fd());
  auto report = perdure::detach(detach_options);
  if (!report) {
    // Nothing was done yet. A fact of life ends the process as promised; a second thread is a mistake in the program.
    if (report.error().code() != 0) end_first_process(perdure::exit_system, report.error().message());
    throw DaemonException(report.error().message());
  }

  hold_signals();
  if (lock) {
    lock->adopt();
    if (auto written = lock->write(); !written) {
      lock->remove();
      report->failed(perdure::exit_cannot_create, written.error().message() + "; nothing was started");
      ::_exit(perdure::exit_cannot_create);
    }
  }

  const std::chrono::seconds interval{restart_interval_s.load()};
  perdure::SuperviseOptions options;
  options.restart = {.when = perdure::Restart::OnFailure,
                     .delay = interval,
                     .give_up_after = quick_failures_max,
                     .within = quick_failure + quick_failures_max * interval};
  options.count_kills = false;
  options.stop_within = std::chrono::milliseconds{stop_timeout_ms.load()};
  options.on_event = [&report](const perdure::WorkerEvent& event) {
    // The worker holds the line to the first process; an end of it before the callback must not be hidden by our copy.
    if (event.kind == perdure::WorkerEvent::Kind::Started) report->abandon();
    log_event(event);
  };

  struct Work {
    DaemonGuard& guard;
    perdure::StartReport& report;
    const std::optional<perdure::PidFile>& lock;
    const Callback& callback;
    int argc;
    char** argv;

    int operator()(const perdure::WorkerStart& start) const {
      guard.state_->begin(start);
      if (lock) compat::adopt_supervisors_pid_file(lock->path());
      report.ready();
      return call(callback, argc, argv, Where::Worker);
    }
  } work{*this, *report, lock, mainCb, argc, argv};

  const auto supervised = perdure::supervise(options, std::cref(work));
  if (!supervised) report->failed(perdure::exit_system, supervised.error().message());
  if (lock) lock->remove();
  // Not exit(): the first process's atexit functions and static objects are the worker's to run down.
  ::_exit(supervised ? supervised->exit_code() : perdure::exit_system);
}

auto DaemonGuard::startDaemon(int argc, char** argv, const Callback& mainCb, bool isDaemon) -> int {
  return isDaemon ? realDaemon(argc, argv, mainCb) : realStart(argc, argv, mainCb);
}

void DaemonGuard::setPidFilePath(const std::string& path) {
  std::string absolute = compat::absolute_path(path);
  compat::choose_pid_file(absolute);
  if (!state_) state_ = std::make_unique<State>();
  const std::scoped_lock guard{state_->mutex};
  state_->pid_path = std::move(absolute);
}

auto DaemonGuard::getPidFilePath() const -> std::string {
  const std::string path = state_ ? state_->path() : std::string{};
  return path.empty() ? compat::default_pid_file_path() : path;
}

auto DaemonGuard::getRestartCount() const -> int { return state_ ? state_->restarts.load() : 0; }
auto DaemonGuard::isRunning() const -> bool { return state_ && state_->running; }

void setDaemonRestartInterval(int seconds) {
  if (seconds < 0)
    throw DaemonException("cannot set a restart interval of " + std::to_string(seconds) +
                          " s: it must not be negative; it stays " + std::to_string(restart_interval_s.load()) + " s");
  restart_interval_s = seconds;
}

auto getDaemonRestartInterval() -> int { return restart_interval_s; }

void setStopTimeout(std::chrono::milliseconds timeout) {
  if (timeout <= std::chrono::milliseconds::zero())
    throw DaemonException("cannot set a stop timeout of " + std::to_string(timeout.count()) +
                          " ms: it must be positive; it stays " + std::to_string(stop_timeout_ms.load()) + " ms");
  stop_timeout_ms = timeout.count();
}

}  // namespace atom::async
