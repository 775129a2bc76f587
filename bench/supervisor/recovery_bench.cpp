// How long is nobody in charge when the manager is killed: from SIGKILL until the control socket says of every service that it is
// active, at 100 and 1,000 services?
//
// The request is on its way while the new manager starts; it names all units, so that its answer needs every service adopted. After
// each kill it is checked that no service was started again. No peer takes over what runs; there is nothing to compare to.
#include <cstdint>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

/// The manager: the keeper's only child that is not a service.
bench::Target manager_of(const bench::Running& running) {
  const std::set<pid_t> services = running.fleet().pids();
  std::vector<pid_t> others;
  for (const pid_t child : bench::children_of(running.pid())) {
    if (services.count(child) == 0) others.push_back(child);
  }
  if (others.size() != 1)
    throw std::runtime_error(
        fmt::format("the keeper has {} children that are no services instead of the manager alone", others.size()));
  return bench::Target{others[0]};
}

/// Asks until every unit is active; a manager that dies takes its connections with it.
void until_all_active(const bench::PerdureUnits& units, const std::string& request) {
  const std::int64_t limit = bench::now_ns() + std::int64_t{bench::hang_limit_ms} * 1'000'000;
  std::string last = "nothing";
  while (bench::now_ns() < limit) {
    bench::ControlConnection control{units.socket()};
    const auto answer = control.try_ask(request);
    if (answer && bench::count_active(*answer) == units.names().size()) return;
    if (answer) last = *answer;
  }
  constexpr std::size_t shown_max = 400;
  throw std::runtime_error("not all services are active after 30 s; the last answer was " + last.substr(0, shown_max));
}

void measure_with(std::size_t services, double limit_ns, const bench::Arguments& arguments, bench::Report& report) {
  const std::string what = fmt::format("manager killed, back with {} services", services);
  bench::Row row{.what = what, .must_reach = "p99 <= " + bench::duration(limit_ns)};
  if (!bench::perdure_command()) {
    row.verdict = bench::not_built;
    report.row(row);
    return;
  }
  bench::Fleet fleet{{.services = services}};
  const bench::PerdureUnits units{fleet};
  const bench::Contender contender = units.contender();
  bench::Running running{contender, fleet};
  running.wait_started();
  const std::string request = bench::is_active_request(units.names());
  until_all_active(units, request);

  constexpr int between_kills_ms = 3'400;  // one that dies for the fourth time within ten seconds is started a second later
  bench::Samples away;
  const int rounds = arguments.rounds_or(arguments.long_run ? 100 : 50);
  for (int round = 0; round < rounds; ++round) {
    bench::pause_ms(between_kills_ms);
    const bench::Target manager = manager_of(running);
    const std::int64_t killed = bench::now_ns();
    manager.signal(SIGKILL);
    until_all_active(units, request);
    away.add(bench::now_ns() - killed);
    if (fleet.all_births() != services)
      throw std::runtime_error(
          fmt::format("{} services were started again when the manager was killed", fleet.all_births() - services));
  }
  row.measured = bench::median_and(away, 99);
  row.verdict = bench::verdict(away.percentile(99) <= limit_ns);
  report.row(row);
  report.note(fmt::format("{}: {}; 0 services started again", what, bench::all_of(away)));
  running.stop();
  bench::reap_strays();
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  measure_with(100, 10e6, arguments, report);
  measure_with(1'000, 50e6, arguments, report);
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
