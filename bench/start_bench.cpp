// How long does a start take, from exec of the program until the daemon is ready and the first process is gone, and how much of
// that is ours rather than fork, setsid and the C++ runtime?
//
// The first process ends when the daemon is ready, so its end is both moments. PID file, lock and control socket are included;
// they are in memory (tmpfs) where the machine has that.
#include <functional>
#include <string>
#include <vector>

#include "measure.hpp"
#include "processes.hpp"

namespace {

void measure(const bench::Arguments& arguments, bench::Report& report) {
  const bench::Directory directory{bench::memory_base()};
  std::vector<std::string> environment;
  for (const char* name : {"RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "XDG_RUNTIME_DIR", "HOME"})
    environment.push_back(fmt::format("{}={}", name, directory.path()));

  struct Contender {
    std::string what;
    bench::Program program;
    bench::Samples samples{};
  };
  std::vector<Contender> contenders{
      {"bare fork+setsid+fork+pipe", {{bench::sibling("bare_daemon")}, {}}},
      {"start: perdure::run --daemon", {{bench::sibling("run_daemon"), "--daemon"}, environment}},
      {"start: compat startDaemon, PID file", {{bench::sibling("compat_daemon"), directory / "compat.pid"}, environment}},
  };

  constexpr int warm_up = 3;
  const int rounds = arguments.rounds_or(arguments.long_run ? 500 : 150);
  for (int round = -warm_up; round < rounds; ++round) {
    for (Contender& contender : contenders) {
      const bench::Detached started = bench::start_detached(contender.program);
      started.daemon.stop();
      if (round >= 0) contender.samples.add(started.first_process_ns);
    }
  }

  const bench::Samples& bare = contenders[0].samples;
  constexpr double ratio_max = 2.5;
  for (std::size_t i = 1; i < contenders.size(); ++i) {
    const double ratio = contenders[i].samples.median() / bare.median();
    report.row({.what = contenders[i].what,
                .claimed = "45 +- 5 ms",
                .must_reach = "<= 2.5x bare",
                .measured = bench::median_and(contenders[i].samples, 95),
                .bare_peer = bench::median_and(bare, 95),
                .ratio = bench::times(ratio),
                .verdict = bench::verdict(ratio <= ratio_max)});
  }
  for (const Contender& contender : contenders)
    report.note(fmt::format("{}: {}", contender.what, bench::all_of(contender.samples)));
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
