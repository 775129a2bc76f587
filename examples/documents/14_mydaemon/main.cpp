// mydaemon: the classic life of a daemon - check what it needs, detach, work every ten seconds, clean up - and a control
// socket on which `reload` is answered with OK.
//
// Everything around the work is perdure::run(): the configuration is checked before the first fork, so that a mistake is
// read on the terminal; the PID file is a lock; SIGHUP and `reload` take the same path, and a bad file leaves the old
// settings in force.
#include <unistd.h>

#include <chrono>
#include <string>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::chrono::milliseconds period{10s};
  std::string message = "Daemon working...";
};

void describe(perdure::Fields& f, Settings& s) {
  f("period", s.period).range(1ms, 24h).help("time between two rounds of work").flag("--period");
  f("message", s.message).help("what a round of work logs, at level debug");
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "mydaemon",
      .version = "1.0.0",
      .description = "works every ten seconds and cleans up behind itself",
      .mode = perdure::Mode::Detached,
      .config = config,
      .config_file = "/etc/mydaemon.conf",
      .pid_file = "/var/run/mydaemon.pid",
      .control = "/var/run/mydaemon.sock",
      .log = {.path = "/var/log/mydaemon.log", .also_syslog = true},
      .exit_codes = {.failed = 1, .already_running = 1, .configuration = 1, .cannot_create = 1},
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    ctx.log().info("mydaemon started (PID {})", getpid());
    do {
      ctx.log().debug("{}", config->message);
    } while (ctx.wait(config->period));
    ctx.log().info("mydaemon shutting down");
  });
}
