// signal_control: two signals steer it. SIGHUP gives it new settings without a restart, SIGTERM ends it.
//
// perdure's handler only sets a bit and wakes a thread; what a signal means is decided there, and the loop below hears of it
// through a descriptor that it polls. So the time between two ticks is also the longest wait, and no signal waits for it.
#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include <fmt/core.h>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "perdure/unique_fd.hpp"

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

/// The document's "configuration file" has one content before the first reload and another one afterwards; --config names a
/// real one, which is read again each time.
struct Settings {
  milliseconds interval{2000};
  bool verbose = false;
  milliseconds reload_interval{1500};
  bool reload_verbose = true;
};

void describe(perdure::Fields& f, Settings& s) {
  f("interval", s.interval).range(1ms, 1h).help("time between two ticks").flag("--interval");
  f("verbose", s.verbose).help("tell each tick").flag("--verbose");
  f("reload_interval", s.reload_interval).range(1ms, 1h).help("the same after a reload").flag("--reload-interval");
  f("reload_verbose", s.reload_verbose).help("the same after a reload").flag("--reload-verbose");
}

// The callback thread counts how reloads ended, and so wakes the loop: an eventfd is a sum.
constexpr eventfd_t refused = 1, committed = 1 << 16;

void serve(perdure::Context& ctx, const perdure::Config<Settings>& config, int reloaded) {
  fmt::print("Daemon pid {0}. Send SIGHUP to reload, SIGTERM to stop.\n kill -HUP {0} (reload)\n kill -TERM {0} (stop)\n",
             getpid());
  milliseconds interval = config->interval;
  bool verbose = config->verbose;
  unsigned tick = 0;
  pollfd wake{reloaded, POLLIN, 0};
  for (int woken; (woken = ctx.wait_fds({&wake, 1}, interval)) >= 0;) {
    eventfd_t outcome = 0;
    if (woken > 0 && eventfd_read(reloaded, &outcome) == 0) {
      fmt::print("[daemon] SIGHUP received, reloading config...\n");
      if (outcome >= committed) {
        interval = config->reload_interval;
        verbose = config->reload_verbose;
        fmt::print("[daemon] new interval: {}ms, verbose: {}\n", interval.count(), verbose);
      } else {
        fmt::print("[daemon] refused, nothing has changed\n");
      }
    }
    ++tick;
    if (verbose) fmt::print("[daemon] tick {} (interval {}ms)\n", tick, interval.count());
  }
  fmt::print("[daemon] {} received, shutting down...\n",
             ctx.stop_reason() == perdure::StopReason::Int ? "SIGINT" : "SIGTERM");
  fmt::print("[daemon] stopped after {} ticks. Goodbye!\n", tick);
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // also into a pipe a line is seen when it is said
  perdure::Config<Settings> config;
  const perdure::UniqueFd reloaded{eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
  return perdure::run(argc, argv,
                      {.name = "signal_control",
                       .version = "1.0.0",
                       .description = "reloads on SIGHUP and stops on SIGTERM",
                       .config = config,
                       .on_reload =
                           [&reloaded](const perdure::Reloaded& reload) {
                             (void)eventfd_write(reloaded.get(), reload.refused.empty() ? committed : refused);
                           }},
                      [&](perdure::Context& ctx) { serve(ctx, config, reloaded.get()); });
}
