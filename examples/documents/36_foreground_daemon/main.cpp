// foreground_daemon: what is left of a daemon where an init does the rest. It stays in the foreground and writes to stderr.
//
// Under systemd or perdure (NOTIFY_SOCKET) each line gets its priority in front, so that the journal knows the levels, and the
// init is told when it is ready and when it stops. On a terminal it is only the lines.
#include <unistd.h>

#include <chrono>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::chrono::milliseconds period{2s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("period", s.period).range(1ms, 1h).help("time between two ticks").flag("--period");
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  return perdure::run(argc, argv,
                      {.name = "foreground_daemon",
                       .version = "1.0.0",
                       .description = "works every two seconds, in the foreground",
                       .config = config,
                       .log = {.format = perdure::LogFormat::Message}},
                      [&config](perdure::Context& ctx) {
                        ctx.log().info("Daemon starting (pid {})", getpid());
                        unsigned tick = 0;
                        do ctx.log().info("Working... tick {}", ++tick);
                        while (ctx.wait(config->period));
                        ctx.log().info("Daemon stopped after {} ticks", tick);
                      });
}
