// single_instance: at most one of me, three times.
//
//     single_instance [--daemon]          perdure::run() takes the lock in the first process, so that a second start is refused on
//                                         the terminal even though the instance that runs has long detached
//     single_instance --demo              the same in the words and with the path of another document
//     single_instance --flock [PATH]      with the parts alone: PidFile and detach(), for a main() that is not run()'s
//
// The lock is flock(2) on the PID file and survives the forks; the number in the file is only read, to name the other
// instance.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>

#include <fmt/core.h>

#include "perdure/detach.hpp"
#include "perdure/perdure.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  bool demo = false;
  std::optional<std::chrono::milliseconds> lifetime;
};

void describe(perdure::Fields& f, Settings& s) {
  f("demo", s.demo).help("in the words of the PID file demo").flag("--demo").restart_only();
  f("lifetime", s.lifetime).range(0ms, 24h).help("30s, or 3s with --demo").flag("--lifetime");
}

/// Detached, it holds the lock until it is killed: whatever ends a process ends its locks.
int hold_with_the_parts(const std::string& path) {
  auto lock = perdure::PidFile::acquire(path);
  if (!lock) {
    fmt::print(stderr, "{}\n", lock.error().message());
    return lock.error().exit_code();
  }
  auto report = perdure::detach({.name = "single_instance"});  // the lock goes along; only the daemon returns from here
  if (!report) return perdure::exit_system;
  if (auto written = lock->write(); !written) {
    report->failed(perdure::exit_cannot_create, written.error().message());
    return perdure::exit_cannot_create;
  }
  report->ready();
  std::this_thread::sleep_for(24h);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string{argv[1]} == "--flock")
    return hold_with_the_parts(argc > 2 ? argv[2] : "/var/run/mydaemon.pid");

  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "single_instance",
      .version = "1.0.0",
      .description = "runs once at a time, for thirty seconds",
      .config = config,
      .pid_file = "/var/run/example_daemon.pid",
      .already_running_text = "Another instance is running with PID: {pid}\nDaemon already running. Exiting.",
      .configure =
          [&config](perdure::Options& o) {
            if (!config->demo) return;
            o.pid_file = "/tmp/zig_pidtest.pid";
            o.already_running_text = "Error: another instance is already running!";
          },
      .exit_codes = {.failed = 1, .already_running = 1, .configuration = 1, .cannot_create = 1},
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    const bool demo = config->demo;
    if (demo) fmt::print("Daemon started, PID file written to {}\npid = {}\n", ctx.pid_file(), getpid());
    else fmt::print("Daemon running with PID {}\nPID file: {}\n", getpid(), ctx.pid_file());
    std::fflush(stdout);
    ctx.wait(config->lifetime.value_or(demo ? 3s : 30s));
    if (demo) fmt::print("Daemon stopping, PID file removed.\n");
  });
}
