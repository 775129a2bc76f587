// How long does it take to start 1,000 services, from the start of the supervisor's program to the last service's first
// instruction, and to stop them all when they end at SIGTERM?
//
// The contenders take turns; the files that they read were written just before, so they are in memory. The bare peer forks with
// vfork and executes, signals each, and waits.
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

constexpr std::size_t services = 1'000;

struct Turn {
  bench::Contender contender;
  bench::Samples started{};
  bench::Samples last_service_stopped{};
  bench::Samples supervisor_stopped{};
};

void take(Turn& turn, bench::Fleet& fleet) {
  constexpr int settle_ms = 500;
  bench::Running running{turn.contender, fleet};
  turn.started.add(running.wait_started());
  bench::pause_ms(settle_ms);
  const bench::Running::Stopped stopped = running.stop();
  turn.last_service_stopped.add(stopped.last_service_ns);
  turn.supervisor_stopped.add(stopped.supervisor_ns);
  bench::reap_strays();
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  bench::Fleet fleet{{.services = services}};
  const bool has_perdure = bench::perdure_command().has_value();
  std::vector<Turn> turns{{bench::bare(fleet)}};
  if (has_perdure) turns.push_back({bench::PerdureUnits{fleet}.contender()});
  const std::size_t first_peer = turns.size();
  for (bench::Contender& peer : bench::peers(fleet)) turns.push_back({std::move(peer)});

  constexpr int heavy_rounds = 1;
  const int rounds = arguments.rounds_or(arguments.long_run ? 30 : 7);
  for (int round = -1; round < rounds; ++round) {
    for (Turn& turn : turns) {
      if (turn.contender.heavy && (round < 0 || round >= heavy_rounds)) continue;
      take(turn, fleet);
      if (round < 0) turn = {turn.contender};  // that was for warm files
    }
  }

  struct Figure {
    std::string what;
    std::string must_reach;
    double ratio_max;
    bench::Samples Turn::*samples;
  };
  const Figure figures[] = {{"start of 1,000 services", "<= 2.5x bare", 2.5, &Turn::started},
                            {"stop of 1,000, to the last service's end", "<= 1.5x bare", 1.5, &Turn::last_service_stopped},
                            {"stop of 1,000, to the supervisor's end", "", 0, &Turn::supervisor_stopped}};
  for (const Figure& figure : figures) {
    const bench::Samples& bare = turns[0].*figure.samples;
    bench::Row row{.what = figure.what, .must_reach = figure.must_reach, .bare_peer = bench::duration(bare.median())};
    if (has_perdure) {
      const bench::Samples& ours = turns[1].*figure.samples;
      const double ratio = ours.median() / bare.median();
      row.measured = bench::median_and(ours, 95);
      row.ratio = bench::times(ratio);
      if (figure.ratio_max > 0) row.verdict = bench::verdict(ratio <= figure.ratio_max);
    } else {
      row.verdict = bench::not_built;
    }
    report.row(row);
    for (std::size_t i = first_peer; i < turns.size(); ++i) {
      const bench::Samples& samples = turns[i].*figure.samples;
      report.row({.what = figure.what + ": " + turns[i].contender.name,
                  .measured = bench::duration(samples.median()),
                  .bare_peer = bench::duration(bare.median()),
                  .ratio = bench::times(samples.median() / bare.median())});
    }
  }
  for (const Turn& turn : turns) {
    if (turn.started.count() < 2) continue;
    report.note(fmt::format("{}, start: {}", turn.contender.name, bench::all_of(turn.started)));
    report.note(fmt::format("{}, stop: {}", turn.contender.name, bench::all_of(turn.last_service_stopped)));
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
