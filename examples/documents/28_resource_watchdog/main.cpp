// resource_watchdog: a daemon that watches its own memory and descriptors, and says so when they grow past a limit.
//
// The watch is the library's: it looks at start and every minute, warns once per crossing, and at --log-level debug tells
// the figures at every look. To see a warning without a real leak, plant one: --leak-memory 10M, --leak-fds 20.
#include <fcntl.h>

#include <chrono>
#include <string>
#include <vector>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "perdure/unique_fd.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  perdure::Bytes memory_max{50u << 20};
  std::uint64_t fds_max = 100;
  std::chrono::milliseconds check_every{60s};
  std::chrono::milliseconds round{1s};
  perdure::Bytes leak_memory{0};
  unsigned leak_fds = 0;
};

void describe(perdure::Fields& f, Settings& s) {
  f("memory_max", s.memory_max).help("warn when more memory is resident").flag("--memory-max").restart_only();
  f("fds_max", s.fds_max).help("warn when more descriptors are open").flag("--fds-max").restart_only();
  f("check_every", s.check_every).range(1ms, 24h).help("time between two looks").flag("--check-every").restart_only();
  f("round", s.round).range(1ms, 1h).help("time between two rounds of work").flag("--round");
  f("leak_memory", s.leak_memory).help("memory to leak in each round, up to 1G").flag("--leak-memory");
  f("leak_fds", s.leak_fds).range(0, 1000).help("descriptors to leak in each round").flag("--leak-fds");
}

/// What the planted leaks hold on to: never more than a machine can bear.
struct Leaks {
  static constexpr std::uint64_t memory_bound = 1u << 30;
  std::vector<std::string> memory;
  std::uint64_t memory_held = 0;
  std::vector<perdure::UniqueFd> fds;

  void grow(const Settings& by) {
    if (by.leak_memory.count != 0 && by.leak_memory.count <= memory_bound - memory_held) {
      memory.emplace_back(by.leak_memory.count, 'x');
      memory_held += by.leak_memory.count;
    }
    for (unsigned i = 0; i < by.leak_fds; ++i)
      if (perdure::UniqueFd fd{open("/dev/null", O_RDONLY | O_CLOEXEC)}) fds.push_back(std::move(fd));
  }
};

}  // namespace

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
            o.resources = {.limits = {.rss_max = config->memory_max.count, .open_fds_max = config->fds_max},
                           .every = config->check_every,
                           .report_use = true};
          },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    Leaks leaks;
    while (ctx.wait(config->round)) leaks.grow(*config.get());
  });
}
