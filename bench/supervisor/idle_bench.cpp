// What does a supervisor do while its 1,000 services do nothing: how often does it run, and for how long?
//
// All contenders are at work at once and are watched for the same seconds. Every context switch of every thread of the supervisor
// counts, those it did not ask for as well; the services do not. The bare peer sits in waitid.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"
#include "usage.hpp"

namespace {

constexpr std::size_t services = 1'000;

struct Idle {
  bench::Fleet fleet{{.services = services}};
  bench::Contender contender{};
  std::optional<bench::Running> running{};
  std::vector<pid_t> processes{};
  bench::Work before{};

  void run(bench::Contender who) {
    contender = std::move(who);
    running.emplace(contender, fleet);
    running->wait_started();
  }
};

void measure(const bench::Arguments& arguments, bench::Report& report) {
  std::vector<std::unique_ptr<Idle>> all;
  const auto add = [&]() -> Idle& { return *all.emplace_back(std::make_unique<Idle>()); };
  Idle& bare = add();
  bare.run(bench::bare(bare.fleet));
  if (bench::perdure_command()) {
    Idle& ours = add();
    ours.run(bench::PerdureUnits{ours.fleet}.contender());
  }
  const std::size_t peers = bench::peers(bench::Fleet{{.services = 1}}).size();
  for (std::size_t i = 0; i < peers; ++i) {
    Idle& peer = add();
    peer.run(bench::peers(peer.fleet).at(i));
  }

  constexpr int settle_ms = 5'000;
  const int seconds = arguments.long_run ? 60 : 15;
  bench::pause_ms(settle_ms);
  for (const auto& idle : all) idle->processes = idle->running->own_processes();
  for (const auto& idle : all) idle->before = bench::work_of(idle->processes);
  bench::pause_ms(seconds * 1'000);
  const auto use = [&](const Idle& idle) {
    bench::Work work = bench::work_of(idle.processes);
    return bench::Work{work.switches - idle.before.switches, work.cpu_ns - idle.before.cpu_ns};
  };
  const auto words = [&](const bench::Work& work) {
    return fmt::format("{} switches, {} in {} s", work.switches, bench::duration(static_cast<double>(work.cpu_ns)), seconds);
  };
  std::vector<bench::Work> works;
  for (const auto& idle : all) works.push_back(use(*idle));

  const std::string what = "idle, 1,000 services", must_reach = "0 switches, 0 CPU";
  if (!bench::perdure_command())
    report.row({.what = what, .must_reach = must_reach, .bare_peer = words(works[0]), .verdict = bench::not_built});
  for (std::size_t i = 1; i < all.size(); ++i) {
    const bool ours = all[i]->contender.name == "perdure";
    report.row({.what = ours ? what : what + ": " + all[i]->contender.name,
                .must_reach = ours ? must_reach : "",
                .measured = words(works[i]),
                .bare_peer = words(works[0]),
                .verdict = ours ? bench::verdict(works[i].switches == 0 && works[i].cpu_ns == 0) : ""});
    report.note(fmt::format("idle, {}: {} processes of its own", all[i]->contender.name, all[i]->processes.size()));
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
