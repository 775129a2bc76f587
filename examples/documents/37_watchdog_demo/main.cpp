// watchdog_demo: a worker that kicks a watchdog after each round, and a watchdog that really can bark.
//
// A check by the worker itself, right after its kick, is always good. Here a thread that does nothing else looks whether the last
// kick is too old; and a monitor outside reads the health file, which perdure writes only while the worker makes progress:
// `watchdog_demo health --max-age 10`. To see it bark: --hang 15s.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "watchdog.hpp"

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

struct Settings {
  milliseconds timeout{10s}, period{1s}, hang{500};
  unsigned rounds = 12, hang_at = 7;
  std::string health_file = "/tmp/zig_daemon_health";
};

void describe(perdure::Fields& f, Settings& s) {
  f("timeout", s.timeout).range(1ms, 1h).help("an older kick means that it hangs").flag("--timeout").restart_only();
  f("rounds", s.rounds).range(1, 1'000'000).help("how often it works").flag("--rounds");
  f("period", s.period).range(1ms, 1h).help("time between two rounds").flag("--period");
  f("hang_at", s.hang_at).help("the round that takes long").flag("--hang-at");
  f("hang", s.hang).range(0ms, 1h).help("how long that round takes").flag("--hang");
  f("health_file", s.health_file).help("the time of the last sign of life").flag("--health-file").restart_only();
}

int work(perdure::Context& ctx, const Settings& settings) {
  fmt::print("Daemon with watchdog (timeout: {:g}s)\n", std::chrono::duration<double>(settings.timeout).count());
  fmt::print("Health file: {}\n", settings.health_file);
  Watchdog watchdog{settings.timeout};
  for (unsigned i = 0; i < settings.rounds && !ctx.stopping(); ++i) {
    if (i == settings.hang_at) std::this_thread::sleep_for(settings.hang);  // a real hang: no look at the stop, no beat
    watchdog.kick(i + 1);
    if (watchdog.is_healthy()) fmt::print("[{}] healthy (last kick {}s ago)\n", i, watchdog.age().count());
    ctx.wait(settings.period);
  }
  fmt::print("Done. Cleaning up health file.\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // also into a pipe a line is seen when it is said
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "watchdog_demo",
      .version = "1.0.0",
      .description = "twelve rounds under a watchdog",
      .config = config,
      .configure =
          [&config](perdure::Options& o) {
            o.health_file = {.path = config->health_file, .every = config->period};
            o.heartbeat = config->timeout;
          },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) { return work(ctx, *config.get()); });
}
