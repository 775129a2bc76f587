#include <errno.h>
#include <signal.h>
#include <sys/types.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "compat/guard_state.hpp"
#include "compat/pid_files.hpp"
#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "perdure/log.hpp"
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

// A program that fails at once is not started for ever, and one that lives for a while always is. A worker that is shot
// (SIGKILL) is not counted at all: see SuperviseOptions::count_kills.
constexpr unsigned quick_failures_max = 5;
constexpr std::chrono::seconds quick_failure{1};

/// A worker's stderr is /dev/null.
void complain_in_worker(std::string_view text) {
  compat::complain(text);
  ::syslog(LOG_DAEMON | LOG_ERR, "%.*s", static_cast<int>(text.size()), text.data());
}

[[noreturn]] void end_first_process(int code, std::string_view reason) {
  compat::complain(reason);
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

auto DaemonGuard::realDaemon(int argc, char** argv, const Callback& mainCb) -> int {
  compat::remember_program(argc > 0 ? argv[0] : nullptr);
  if (!mainCb) end_first_process(compat::callback_failed, "cannot run an empty callback; nothing was started");
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

  const auto [interval, stop_timeout] = compat::guard_settings();
  perdure::SuperviseOptions options;
  options.restart = {.when = perdure::Restart::OnFailure,
                     .delay = interval,
                     .give_up_after = quick_failures_max,
                     .within = quick_failure + quick_failures_max * interval};
  options.count_kills = false;
  options.stop_within = stop_timeout;
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
      State& state = *guard.state_;
      state.parent_id = start.parent;
      state.parent_start = State::nanoseconds(start.parent_start);
      state.begin_main(compat::own_pid(), start.worker_start);
      state.restarts = static_cast<int>(start.restarts);
      if (lock) compat::adopt_supervisors_pid_file(lock->path());
      report.ready();
      return compat::call(callback, argc, argv, &complain_in_worker);
    }
  } work{*this, *report, lock, mainCb, argc, argv};

  const auto supervised = perdure::supervise(options, std::cref(work));
  if (!supervised) report->failed(perdure::exit_system, supervised.error().message());
  if (lock) lock->remove();
  // Not exit(): the first process's atexit functions and static objects are the worker's to run down.
  ::_exit(supervised ? supervised->exit_code() : perdure::exit_system);
}

}  // namespace atom::async
