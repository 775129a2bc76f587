// tick_daemon: detaches, writes five lines, one per second, into a log that starts afresh with each run, and is done.
//
// What a daemon that has lost its terminal says goes to the log; printf(3) in it reaches /dev/null and harms no file.
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  unsigned ticks = 5;
  std::chrono::milliseconds period{1s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("ticks", s.ticks).range(0, 1'000'000).help("how many lines it writes").flag("--ticks");
  f("period", s.period).range(1ms, 1h).help("time between two lines").flag("--period");
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "tick_daemon",
      .version = "1.0.0",
      .description = "writes five lines into a log, detached, and is done",
      .mode = perdure::Mode::Detached,
      .config = config,
      // Without backups, rotating means: start afresh.
      .log = {.format = perdure::LogFormat::Message, .path = "/tmp/zig_daemon_test.log", .backups = 0},
      .before_start = [](perdure::Options&) -> perdure::Result<void> {
        fmt::print(stderr, "Starting daemon (pid {})...\n", getpid());
        return {};
      },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) -> int {
    if (auto emptied = ctx.log().rotate(); !emptied) {
      ctx.log().error("{}", emptied.error().message());
      return perdure::exit_cannot_create;
    }
    ctx.log().info("Daemon running as pid {}", getpid());
    for (unsigned tick = 0; tick < config->ticks && ctx.wait(config->period); ++tick) ctx.log().info("tick {}", tick);
    ctx.log().info("Daemon exiting cleanly.");
    return 0;
  });
}
