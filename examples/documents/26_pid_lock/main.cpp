// pid_lock: at most one of me. Takes the lock in the first process, so that a second start is refused on the terminal
// even though the instance that runs has long detached, and lets go of it after thirty seconds.
//
// The lock is flock(2) on the PID file and survives the forks; the number in the file is only read, to name the other
// instance.
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::chrono::milliseconds lifetime{30s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("lifetime", s.lifetime).range(0ms, 24h).help("how long the instance runs").flag("--lifetime");
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "pid_lock",
      .version = "1.0.0",
      .description = "runs once at a time, for thirty seconds",
      .config = config,
      .pid_file = "/var/run/example_daemon.pid",
      .already_running_text = "Another instance is running with PID: {pid}\nDaemon already running. Exiting.",
      .exit_codes = {.failed = 1, .already_running = 1, .configuration = 1, .cannot_create = 1},
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    fmt::print("Daemon running with PID {}\nPID file: {}\n", getpid(), ctx.pid_file());
    std::fflush(stdout);
    ctx.wait(config->lifetime);
  });
}
