// simple_daemon: the least a daemon can be - it works every ten seconds, and no failure of the work ends it.
//
// Detaching, PID file, log, signals and the way out are perdure::run(). Put your own work into do_work().
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::chrono::milliseconds period{10s};
  std::string fault;
};

void describe(perdure::Fields& f, Settings& s) {
  f("period", s.period).range(1ms, 24h).help("time between two rounds of work").flag("--period");
  f("fault", s.fault).help("of the work, to try it: throw, escape, exit").flag("--fault");
}

void do_work(perdure::Log& log, const std::string& fault) {
  log.info("Performing work...");
  if (fault == "throw" || fault == "escape") throw std::runtime_error{"the work went wrong"};
  if (fault == "exit") std::exit(3);
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "simple_daemon",
      .version = "1.0.0",
      .description = "works every ten seconds",
      .mode = perdure::Mode::Detached,
      .config = config,
      .pid_file = "/var/run/mydaemon.pid",
      .log = {.path = "/var/log/daemon.log"},
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    ctx.log().info("Daemon started with PID {}", getpid());
    do {
      try {
        do_work(ctx.log(), config->fault);
      } catch (const std::exception& error) {
        if (config->fault == "escape") throw;  // as from a place where nobody catches it
        ctx.log().error("Error in loop: {}", error.what());
      }
    } while (ctx.wait(config->period));
    ctx.log().info("Shutting down");
  });
}
