// How long is a service away when it is killed, from SIGKILL to the first instruction of its new instance; does that depend on how
// many services there are; and what if it ends by itself right after each start?
//
// Restart=always, RestartSec=0, no output kept. All contenders are at work at once and lose a service in turn, 30 ms apart, each
// time another one, and nobody looks meanwhile, so that no observer competes for the processors. The bare peer is a parent in
// waitid that calls vfork and execve; waitid(P_ALL) looks through all children, so it is slower with many of them.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

constexpr int between_kills_ms = 30;
constexpr std::size_t few = 50, many = 4'000;
constexpr std::uint64_t deaths_wanted = 120;
static_assert(deaths_wanted < bench::lives_kept);

struct Kill {
  std::size_t service;
  std::uint64_t births;  ///< before it
  std::int64_t at_ns;
};

/// A contender with its own fleet, at work until the end.
struct Stage {
  explicit Stage(bench::FleetOptions options) : fleet(options) {}
  void run(bench::Contender who) {
    contender = std::move(who);
    running.emplace(contender, fleet);
    running->wait_started();
  }
  /// Kills the service whose turn it is, once it is there again and asleep.
  void kill_one() {
    const std::size_t i = kills.size() % fleet.size();
    if (kills.size() >= fleet.size()) wait_born(kills[kills.size() - fleet.size()]);
    const bench::Target victim = fleet.process_of(i);
    bench::until_asleep(victim.pid());
    kills.push_back({.service = i, .births = fleet.births(i), .at_ns = bench::now_ns()});
    victim.signal(SIGKILL);
  }
  void wait_born(const Kill& kill) const {
    constexpr int look_again_ms = 5;
    const std::int64_t limit = kill.at_ns + std::int64_t{bench::hang_limit_ms} * 1'000'000;
    while (fleet.births(kill.service) == kill.births) {
      if (bench::now_ns() > limit) throw std::runtime_error(contender.name + " does not restart a killed service");
      bench::pause_ms(look_again_ms);
    }
  }
  /// How long each was away but the first `warm_up`.
  void collect(std::size_t warm_up) {
    for (std::size_t n = warm_up; n < kills.size(); ++n) {
      const Kill& kill = kills[n];
      wait_born(kill);
      samples.add(fleet.life(kill.service, kill.births).born_ns - kill.at_ns);
    }
  }
  bench::Fleet fleet;
  bench::Contender contender{};
  std::optional<bench::Running> running{};
  std::vector<Kill> kills{};
  bench::Samples samples{};
};

using Stages = std::vector<std::unique_ptr<Stage>>;

Stage& add(Stages& stages, bench::FleetOptions options) { return *stages.emplace_back(std::make_unique<Stage>(options)); }

void measure_kills(const bench::Arguments& arguments, bench::Report& report) {
  Stages stages;
  Stage& bare = add(stages, {.services = few});
  bare.run(bench::bare(bare.fleet));
  Stage& bare_many = add(stages, {.services = many});
  bare_many.run(bench::bare(bare_many.fleet));
  Stage *ours = nullptr, *ours_many = nullptr;
  if (bench::perdure_command()) {
    ours = &add(stages, {.services = few});
    ours->run(bench::PerdureUnits{ours->fleet}.contender());
    ours_many = &add(stages, {.services = many});
    ours_many->run(bench::PerdureUnits{ours_many->fleet}.contender());
  }
  const std::size_t first_peer = stages.size();
  const std::size_t peers = bench::peers(bench::Fleet{{.services = few}}).size();
  for (std::size_t i = 0; i < peers; ++i) {
    Stage& stage = add(stages, {.services = few});
    stage.run(bench::peers(stage.fleet).at(i));
  }

  constexpr std::size_t warm_up = 5;
  constexpr int settle_ms = 1'500;  // s6 and runit delay the restart of what lived less than a second
  bench::pause_ms(settle_ms);
  const std::size_t rounds = warm_up + static_cast<std::size_t>(arguments.rounds_or(arguments.long_run ? 1'000 : 200));
  for (std::size_t round = 0; round < rounds; ++round) {
    for (const auto& stage : stages) {
      stage->kill_one();
      bench::pause_ms(between_kills_ms);
    }
  }
  for (const auto& stage : stages) stage->collect(warm_up);

  constexpr double bare_max = 2.0, growth_max = 1.3;
  const std::string what = fmt::format("restart after SIGKILL, {} services", few);
  const std::string what_many = fmt::format("restart after SIGKILL, {} services", many);
  const auto row = [&](const std::string& name, const Stage& stage) {
    report.row({.what = name,
                .measured = bench::median_and(stage.samples, 95),
                .bare_peer = bench::median_and(bare.samples, 95),
                .ratio = bench::times(stage.samples.median() / bare.samples.median())});
  };
  if (ours != nullptr) {
    const double ratio = ours->samples.median() / bare.samples.median();
    report.row({.what = what,
                .must_reach = "<= 2.0x bare",
                .measured = bench::median_and(ours->samples, 95),
                .bare_peer = bench::median_and(bare.samples, 95),
                .ratio = bench::times(ratio),
                .verdict = bench::verdict(ratio <= bare_max)});
    const double growth = ours_many->samples.median() / ours->samples.median();
    report.row({.what = what_many,
                .must_reach = fmt::format("<= 1.3x of {}", few),
                .measured = bench::median_and(ours_many->samples, 95),
                .bare_peer = bench::median_and(bare_many.samples, 95),
                .ratio = bench::times(growth),
                .verdict = bench::verdict(growth <= growth_max)});
  } else {
    report.row({.what = what,
                .must_reach = "<= 2.0x bare",
                .bare_peer = bench::median_and(bare.samples, 95),
                .verdict = bench::not_built});
    report.row({.what = what_many,
                .must_reach = fmt::format("<= 1.3x of {}", few),
                .bare_peer = bench::median_and(bare_many.samples, 95),
                .verdict = bench::not_built});
  }
  for (std::size_t i = first_peer; i < stages.size(); ++i) row(what + ": " + stages[i]->contender.name, *stages[i]);
  for (const auto& stage : stages)
    report.note(
        fmt::format("{}, {} services: {}", stage->contender.name, stage->fleet.size(), bench::all_of(stage->samples)));
}

/// From the last instruction of a service to the first of its next instance, again and again.
bench::Samples dying_at_once(const bench::Contender& contender, bench::Fleet& fleet) {
  bench::Running running{contender, fleet};
  running.wait_started();
  const std::size_t dying = fleet.size() - 1;
  // Enough for a few restarts of those that wait a second, and for all of the others.
  constexpr int patience_ms = 6'000, look_again_ms = 20;
  for (int waited = 0; fleet.births(dying) < deaths_wanted && waited < patience_ms; waited += look_again_ms)
    bench::pause_ms(look_again_ms);
  bench::Samples away;
  const std::uint64_t births = std::min<std::uint64_t>(fleet.births(dying), deaths_wanted);
  for (std::uint64_t n = 1; n < births; ++n) away.add(fleet.life(dying, n).born_ns - fleet.life(dying, n - 1).died_ns);
  if (away.count() < 2) throw std::runtime_error(contender.name + " does not restart a service that ends at once");
  running.stop();
  bench::reap_strays();
  return away;
}

void measure_deaths(const bench::Arguments& arguments, bench::Report& report) {
  bench::Fleet fleet{{.services = few, .dying = 1, .dies_after_ms = 10}};
  bench::Samples bare, ours;
  const int rounds = arguments.long_run ? 15 : 5;
  for (int round = 0; round < rounds; ++round) {
    bare.add(dying_at_once(bench::bare(fleet), fleet).median());
    if (bench::perdure_command()) ours.add(dying_at_once(bench::PerdureUnits{fleet}.contender(), fleet).median());
  }
  const std::string what = "restart of a service that ends 10 ms after each start";
  bench::Row row{.what = what, .must_reach = "<= 2.0x bare", .bare_peer = bench::duration(bare.median())};
  constexpr double bare_max = 2.0;
  if (ours.count() > 0) {
    const double ratio = ours.median() / bare.median();
    row.measured = bench::duration(ours.median());
    row.ratio = bench::times(ratio);
    row.verdict = bench::verdict(ratio <= bare_max);
  } else {
    row.verdict = bench::not_built;
  }
  report.row(row);
  for (const bench::Contender& peer : bench::peers(fleet)) {
    const bench::Samples away = dying_at_once(peer, fleet);
    report.row({.what = what + ": " + peer.name,
                .measured = bench::median_and(away, 95),
                .bare_peer = bench::duration(bare.median()),
                .ratio = bench::times(away.median() / bare.median())});
  }
  report.note(fmt::format("the services that end by themselves: median of {} rounds' medians, about {} restarts each",
                          rounds, deaths_wanted - 1));
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  measure_kills(arguments, report);
  bench::reap_strays();
  measure_deaths(arguments, report);
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
