// How long does it take to learn whether a service runs: over an open control connection, and with a client that is started for it?
//
// 50 services run. The bare peers are a process that answers each line at once with the same number of bytes, and the start, to its
// end, of a program without a C library that does nothing; beside it one with a static C library that does nothing either.
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

constexpr std::size_t services = 50;

/// Answers `size` bytes to whatever comes.
int echo(const perdure::UniqueFd& socket, std::size_t size) {
  const std::string answer = std::string(size - 1, 'x') + '\n';
  char request[65'536];
  while (::read(socket.get(), request, sizeof request) > 0) {
    if (::write(socket.get(), answer.data(), answer.size()) < 0) return 1;
  }
  return 0;
}

std::int64_t round_trip(bench::ControlConnection& connection, const std::string& request) {
  const std::int64_t begin = bench::now_ns();
  (void)connection.ask(request);
  return bench::now_ns() - begin;
}

void measure_socket(const bench::Arguments& arguments, bench::Report& report, const std::optional<std::string>& socket) {
  const std::string request = bench::is_active_request({bench::Fleet::name_of(0) + ".service"});
  constexpr std::size_t usual_answer = 64;
  std::size_t answer_size = usual_answer;
  std::optional<bench::ControlConnection> ours;
  if (socket) {
    ours.emplace(*socket);
    const std::string answer = ours->ask(request);
    if (bench::count_active(answer) != 1) throw std::runtime_error("the service should be active; the answer was " + answer);
    answer_size = answer.size() + 1;
  }
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) bench::fail("make a pair of sockets");
  perdure::UniqueFd theirs{pair[1]};
  bench::ControlConnection bare{perdure::UniqueFd{pair[0]}};
  const bench::Target echoing = bench::fork_running([&] { return echo(theirs, answer_size); });
  theirs.reset();

  constexpr int warm_up = 100, burst = 10;  // in turn, but so that each finds its own caches as a busy client does
  const int rounds = arguments.rounds_or(arguments.long_run ? 20'000 : 2'000);
  bench::Samples bare_trips, our_trips;
  for (int round = -warm_up; round < rounds; round += burst) {
    for (int i = 0; i < burst; ++i) {
      const std::int64_t trip = round_trip(bare, request);
      if (round >= 0) bare_trips.add(trip);
    }
    for (int i = 0; ours && i < burst; ++i) {
      const std::int64_t trip = round_trip(*ours, request);
      if (round >= 0) our_trips.add(trip);
    }
  }
  echoing.signal(SIGKILL);  // it has a copy of our end, so it would never read the end
  (void)echoing.wait();

  constexpr double limit_ns = 15'000;
  bench::Row row{.what = "status query over the socket",
                 .must_reach = "<= 15 us",
                 .bare_peer = bench::median_and(bare_trips, 95),
                 .verdict = bench::not_built};
  if (ours) {
    row.measured = bench::median_and(our_trips, 95);
    row.ratio = bench::times(our_trips.median() / bare_trips.median());
    row.verdict = bench::verdict(our_trips.median() <= limit_ns);
    report.note("query over the socket: " + bench::all_of(our_trips));
  }
  report.row(row);
}

void measure_clients(const bench::Arguments& arguments, bench::Report& report,
                     const std::vector<std::unique_ptr<bench::Running>>& servers) {
  struct Client {
    std::string name;
    bench::Program program;
    bool heavy;
    bench::Samples samples{};
  };
  std::vector<Client> clients{{"no-op", {{bench::Fleet::program()}}, false},
                              {"nothing, with a C library", {{bench::sibling("noop")}}, false}};
  for (const auto& server : servers)
    clients.push_back({server->contender().name, {server->contender().query}, server->contender().heavy});

  constexpr int warm_up = 5, heavy_rounds = 20;
  const int rounds = arguments.rounds_or(arguments.long_run ? 3'000 : 500);
  for (int round = -warm_up; round < rounds; ++round) {
    for (Client& client : clients) {
      if (client.heavy && round >= heavy_rounds) continue;
      const std::int64_t begin = bench::now_ns();
      const pid_t pid = bench::spawn(client.program);
      int status = -1;
      const pid_t waited = ::waitpid(pid, &status, 0);
      const std::int64_t end = bench::now_ns();
      if (waited != pid || status != 0) throw std::runtime_error(client.name + ": the query was not answered with success");
      if (round >= 0) client.samples.add(end - begin);
    }
  }

  const Client& bare = clients[0];
  constexpr double limit_ns = 1e6, bare_max = 8;
  bool measured = false;
  for (std::size_t i = 1; i < clients.size(); ++i) {
    const Client& client = clients[i];
    const double ratio = client.samples.median() / bare.samples.median();
    const bool ours = client.name == "perdure";
    measured = measured || ours;
    report.row({.what = ours ? "status query by the client" : "status query by the client: " + client.name,
                .must_reach = ours ? "<= 1.0 ms and <= 8x no-op" : "",
                .measured = bench::median_and(client.samples, 95),
                .bare_peer = bench::median_and(bare.samples, 95),
                .ratio = bench::times(ratio),
                .verdict = ours ? bench::verdict(client.samples.median() <= limit_ns && ratio <= bare_max) : ""});
  }
  if (!measured)
    report.row({.what = "status query by the client",
                .must_reach = "<= 1.0 ms and <= 8x no-op",
                .bare_peer = bench::median_and(bare.samples, 95),
                .verdict = bench::not_built});
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  std::vector<std::unique_ptr<bench::Fleet>> fleets;
  std::vector<bench::Contender> contenders;
  const auto add = [&](const auto& make) {
    bench::Fleet& fleet = *fleets.emplace_back(std::make_unique<bench::Fleet>(bench::FleetOptions{.services = services}));
    contenders.push_back(make(fleet));
  };
  std::optional<std::string> socket;
  if (bench::perdure_command()) {
    add([&](const bench::Fleet& fleet) {
      const bench::PerdureUnits units{fleet};
      socket = units.socket();
      return units.contender();
    });
  }
  const std::size_t peers = bench::peers(bench::Fleet{{.services = 1}}).size();
  for (std::size_t i = 0; i < peers; ++i) add([&](const bench::Fleet& fleet) { return bench::peers(fleet).at(i); });

  std::vector<std::unique_ptr<bench::Running>> servers;
  for (std::size_t i = 0; i < contenders.size(); ++i)
    servers.emplace_back(std::make_unique<bench::Running>(contenders[i], *fleets[i]))->wait_started();
  constexpr int settle_ms = 1'500;
  bench::pause_ms(settle_ms);
  measure_socket(arguments, report, socket);
  measure_clients(arguments, report, servers);
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
