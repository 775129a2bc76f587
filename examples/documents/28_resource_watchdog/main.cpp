// resource_watchdog: a daemon that watches its own memory and descriptors, and says so when they grow past a limit.
//
// The watch is the library's: it looks at start and every minute, warns once per crossing, and at --log-level debug tells
// the figures at every look. To see a warning without a real leak, plant one: --leak-memory 10M, --leak-fds 20. With
// --work-file PATH it also does what a correct loop does in each round: open, check, write, close.
#include <chrono>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "work.hpp"

using namespace std::chrono_literals;

void describe(perdure::Fields& f, Settings& s) {
  f("memory_max", s.memory_max).help("warn when more memory is resident").flag("--memory-max").restart_only();
  f("fds_max", s.fds_max).help("warn when more descriptors are open").flag("--fds-max").restart_only();
  f("growing_looks", s.growing_looks)
      .help("warn when descriptors grow in so many looks in a row; 0: no")
      .flag("--growing-looks")
      .restart_only();
  f("check_every", s.check_every).range(1ms, 24h).help("time between two looks").flag("--check-every").restart_only();
  f("round", s.round).range(1ms, 1h).help("time between two rounds of work").flag("--round");
  f("leak_memory", s.leak_memory).help("memory to leak in each round, up to 1G").flag("--leak-memory");
  f("leak_fds", s.leak_fds).range(0, 1000).help("descriptors to leak in each round").flag("--leak-fds");
  f("work_file", s.work_file).help("gets a line in each round; absolute, and it must be there").flag("--work-file");
}

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "resource_watchdog",
      .version = "1.0.0",
      .description = "warns when its memory or its descriptors grow past a limit",
      .config = config,
      .log = {.also_syslog = true},
      .configure =
          [&config](perdure::Options& o) {
            o.resources = {.limits = {.rss_max = config->memory_max.count,
                                      .open_fds_max = config->fds_max,
                                      .growing_looks = config->growing_looks},
                           .every = config->check_every,
                           .report_use = true};
          },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    Work work{ctx.log()};
    while (ctx.wait(config->round)) work.round(*config.get());
  });
}
