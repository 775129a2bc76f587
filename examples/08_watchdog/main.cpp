// Proof of life: the body waits or beats in time, else the watchdog's pings, the health file and `watchdog health` say so.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>

#include <chrono>
#include <thread>

using namespace std::chrono_literals;

struct Settings {
  std::string health_file = "watchdog.health";
  unsigned hang_at = 0;  // a round in which the body hangs; 0: never
};

void describe(perdure::Fields& f, Settings& s) {
  f("health_file", s.health_file).flag("--health-file").restart_only();
  f("hang_at", s.hang_at).flag("--hang-at");
}

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "watchdog",
      .config = config,
      .resources = {.limits = {.rss_max = 256 << 20, .open_fds_max = 200}, .every = 60s},
      .configure = [&](perdure::Options& o) { o.health_file = {.path = config->health_file, .every = 100ms}; },
      .heartbeat = 500ms,
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    for (unsigned round = 1; ctx.wait(100ms); ++round) {
      if (round != config->hang_at) continue;
      while (!ctx.stopping()) std::this_thread::yield();  // busy, without a beat: stuck, as far as anybody can tell
    }
  });
}
