// How much memory does it take to look after 1,000 services, for each of them: the supervisor's own, and the kernel's beyond
// what the bare parent's services need?
//
// The supervisor's own is the PSS of all of its processes, the services left out. The kernel's is the growth of slab, stacks,
// page tables and per-processor memory from before the start, minus that of the bare parent. Both are of the whole machine:
// the contenders take turns and the median of the rounds counts, but who compiles meanwhile measures the compiler.
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"
#include "usage.hpp"

namespace {

constexpr std::size_t services = 1'000;

struct Turn {
  bench::Contender contender;
  double own_max = 0;     ///< KiB per service; 0: nothing is required
  double kernel_max = 0;  ///< KiB per service, over bare
  bool stops = true;      ///< else it is killed: without cgroups each stop looks at all processes
  bench::Samples own{}, kernel{};
};

void take(Turn& turn, bench::Fleet& fleet) {
  constexpr int settle_ms = 1'500;  // RCU frees late, and supervisors tidy up
  constexpr double count = services;
  const std::int64_t before = bench::kernel_kib();
  bench::Running running{turn.contender, fleet};
  running.wait_started();
  bench::pause_ms(settle_ms);
  const std::int64_t after = bench::kernel_kib();
  turn.own.add(static_cast<double>(bench::pss_kib(running.own_processes())) / count);
  turn.kernel.add(static_cast<double>(after - before) / count);
  if (turn.stops) {
    running.stop();
  } else {
    running.kill();
  }
  bench::reap_strays();
  bench::pause_ms(settle_ms);
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  bench::Fleet fleet{{.services = services}};
  std::vector<Turn> turns{{.contender = bench::bare(fleet)}};
  if (bench::perdure_command()) {
    const auto add = [&](const char* name, bench::Tracking tracking, double kernel_max) {
      turns.push_back({.contender = bench::PerdureUnits{fleet, tracking}.contender(),
                       .own_max = 4,
                       .kernel_max = kernel_max,
                       .stops = tracking == bench::Tracking::Leaves});
      turns.back().contender.name = name;
    };
    add("with a cgroup leaf", bench::Tracking::Leaves, 14);
    add("without cgroups", bench::Tracking::None, 6);
  }
  for (bench::Contender& peer : bench::peers(fleet)) turns.push_back({.contender = std::move(peer)});

  constexpr int heavy_rounds = 1;
  const int rounds = arguments.rounds_or(arguments.long_run ? 15 : 5);
  for (int round = -1; round < rounds; ++round) {
    for (Turn& turn : turns) {
      if (turn.contender.heavy && (round < 0 || round >= heavy_rounds)) continue;
      take(turn, fleet);
      if (round < 0) turn.own = turn.kernel = {};  // that was for the caches
    }
  }

  const Turn& bare = turns[0];
  const auto kib = [](double value) { return fmt::format("{:.1f} KiB", value); };
  const auto required = [](double max) { return max > 0 ? fmt::format("<= {:.0f} KiB", max) : std::string{}; };
  const auto reached = [](double value, double max) { return max > 0 ? bench::verdict(value <= max) : std::string{}; };
  if (!bench::perdure_command()) {
    report.row({.what = "own memory per service", .must_reach = required(4), .verdict = bench::not_built});
    report.row({.what = "kernel memory per service over bare", .must_reach = required(14), .verdict = bench::not_built});
  }
  for (std::size_t i = 1; i < turns.size(); ++i) {
    const Turn& turn = turns[i];
    const double own = turn.own.median(), kernel = turn.kernel.median() - bare.kernel.median();
    report.row({.what = "own memory per service: " + turn.contender.name,
                .must_reach = required(turn.own_max),
                .measured = kib(own),
                .bare_peer = kib(bare.own.median()),
                .verdict = reached(own, turn.own_max)});
    report.row({.what = "kernel memory per service over bare: " + turn.contender.name,
                .must_reach = required(turn.kernel_max),
                .measured = kib(kernel),
                .bare_peer = kib(bare.kernel.median()),
                .verdict = reached(kernel, turn.kernel_max)});
    report.note(fmt::format("kernel memory per service over bare, {}: {} to {} in {} rounds", turn.contender.name,
                            kib(turn.kernel.min() - bare.kernel.median()), kib(turn.kernel.max() - bare.kernel.median()),
                            turn.kernel.count()));
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
