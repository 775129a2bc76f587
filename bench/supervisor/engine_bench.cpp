// How long does the manager need for many units at once: to read 200 unit files with drop-ins again, and to stop what 1,000 others
// depend on?
//
// Both are asked for over the control socket, of an instance in which no process is involved: the 200 units have a condition that is
// not met, the 1,000 are targets. The units are read again twice: as they were, and each with another line in its file. The bare
// peer of the reading opens, reads and closes the same files.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fleet.hpp"
#include "perdure.hpp"

namespace {

constexpr std::size_t read_units = 200;
constexpr std::size_t dependents = 1'000;

/// As a package would write it: some thirty directives.
std::string unit_text(std::size_t i) {
  return fmt::format(R"([Unit]
Description=Number {0} of many
Documentation=man:many(8)
After=network.target {1}
Wants=network-online.target
ConditionPathExists=/no/such/path
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=exec
ExecStart=/usr/bin/env many --number={0} --verbose "a word" $OPTIONS
ExecReload=/bin/kill -HUP $MAINPID
Environment=OPTIONS=--safe LEVEL=3
Restart=on-failure
RestartSec=2s
TimeoutStopSec=20s
KillMode=mixed
LimitNOFILE=65536
LimitCORE=0
UMask=0027
Nice=5
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
ProtectHome=yes
RuntimeDirectory=many-{0}
StateDirectory=many-{0}
SyslogIdentifier=many
SuccessExitStatus=0 143

[Install]
WantedBy=multi-user.target
)",
                     i, i == 0 ? "basic.target" : fmt::format("many-{}.service", i - 1));
}

/// An instance with some of them, at rest.
class Instance {
 public:
  /// The 200 units, and a target that wants them.
  static std::string write_services(const std::string& directory, std::vector<std::string>& files) {
    std::string wants;
    for (std::size_t i = 0; i < read_units; ++i) {
      const std::string name = fmt::format("many-{}.service", i);
      wants += " " + name;
      files.push_back(directory + "/" + name);
      bench::write_file(files.back(), unit_text(i));
      bench::make_directories(directory + "/" + name + ".d");
      files.push_back(directory + "/" + name + ".d/local.conf");
      bench::write_file(files.back(), "[Service]\nEnvironment=LOCAL=yes\nRestartSec=3s\nExecStartPre=-/bin/true\n");
    }
    bench::write_file(directory + "/many.target", "[Unit]\nWants=" + wants + "\n");
    return "many.target";
  }
  /// The 1,000 targets, one that they need and one that wants them.
  static std::string write_targets(const std::string& directory) {
    std::string wants;
    for (std::size_t i = 0; i < dependents; ++i) {
      const std::string name = fmt::format("d{:04}.target", i);
      wants += " " + name;
      bench::write_file(directory + "/" + name, "[Unit]\nRequires=base.target\nAfter=base.target\n");
    }
    bench::write_file(directory + "/base.target", "[Unit]\nDescription=What the others need\n");
    bench::write_file(directory + "/all.target", "[Unit]\nWants=" + wants + "\n");
    return "all.target";
  }

  enum class Units { Services, Targets };
  explicit Instance(Units which) : units(fleet) {
    std::vector<std::string> names = units.names();
    names.push_back(which == Units::Services ? write_services(fleet.place("units"), files)
                                             : write_targets(fleet.place("units")));
    running.emplace(units.contender(names), fleet);
    running->wait_started();
    control.emplace(units.socket());
  }
  /// How long the answer took. Throws where it is no success.
  std::int64_t ask(const std::string& request) {
    const std::int64_t begin = bench::now_ns();
    const std::string answer = control->ask(request);
    const std::int64_t end = bench::now_ns();
    if (answer.find(R"("ok":true)") == std::string::npos)
      throw std::runtime_error("asked for " + request + ", the instance says: " + answer.substr(0, 300));
    return end - begin;
  }
  std::size_t active(const std::string& name) { return bench::count_active(control->ask(bench::is_active_request({name}))); }

  std::vector<std::string> files{};  ///< of the services

 private:
  bench::Fleet fleet{{.services = 1}};
  bench::PerdureUnits units;
  std::optional<bench::Running> running{};
  std::optional<bench::ControlConnection> control{};
};

void measure_reading(const bench::Arguments& arguments, bench::Report& report) {
  Instance instance{Instance::Units::Services};
  constexpr double limit_ns = 20e6;
  const int rounds = arguments.rounds_or(arguments.long_run ? 200 : 30);
  bench::Samples unchanged, changed, bare;
  for (int round = -2; round < rounds; ++round) {
    const std::int64_t begin = bench::now_ns();
    std::size_t bytes = 0;
    for (const std::string& file : instance.files) bytes += bench::read_all(file).size();
    const std::int64_t took = bench::now_ns() - begin;
    if (bytes == 0) throw std::runtime_error("the files are empty");
    const std::int64_t reload = instance.ask(R"({"verb":"daemon-reload"})");
    for (std::size_t i = 0; i < read_units; ++i)
      bench::write_file(instance.files[2 * i], fmt::format("{}# round {}\n", unit_text(i), round));
    const std::int64_t reload_changed = instance.ask(R"({"verb":"daemon-reload"})");
    if (round < 0) continue;
    bare.add(took);
    unchanged.add(reload);
    changed.add(reload_changed);
  }
  const auto row = [&](const char* which, const bench::Samples& ours) {
    report.row({.what = fmt::format("{} unit files with drop-ins are read again (daemon-reload), {}", read_units, which),
                .must_reach = "<= 20 ms",
                .measured = bench::median_and(ours, 95),
                .bare_peer = bench::median_and(bare, 95),
                .ratio = bench::times(ours.median() / bare.median()),
                .verdict = bench::verdict(ours.median() <= limit_ns)});
  };
  row("none changed", unchanged);
  row("all changed", changed);
}

void measure_stop(const bench::Arguments& arguments, bench::Report& report) {
  Instance instance{Instance::Units::Targets};
  constexpr double limit_ns = 20e6;
  const int rounds = arguments.rounds_or(arguments.long_run ? 200 : 30);
  bench::Samples stops, starts;
  for (int round = -2; round < rounds; ++round) {
    if (instance.active("d0999.target") != 1) throw std::runtime_error("the dependents should be active");
    const std::int64_t stop = instance.ask(R"({"verb":"stop","units":["base.target"],"wait":true})");
    if (instance.active("d0999.target") != 0) throw std::runtime_error("the dependents should be stopped");
    const std::int64_t stop_all = instance.ask(R"({"verb":"stop","units":["all.target"],"wait":true})");
    (void)stop_all;
    const std::int64_t start = instance.ask(R"({"verb":"start","units":["all.target"],"wait":true})");
    if (round < 0) continue;
    stops.add(stop);
    starts.add(start);
  }
  report.row({.what = fmt::format("stop of a unit that {} others depend on", dependents),
              .must_reach = "<= 20 ms",
              .measured = bench::median_and(stops, 95),
              .verdict = bench::verdict(stops.median() <= limit_ns)});
  report.row(
      {.what = fmt::format("start of a target that wants {} units", dependents), .measured = bench::median_and(starts, 95)});
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  if (!bench::perdure_command()) {
    report.row({.what = "many units at once", .verdict = bench::not_built});
    return;
  }
  measure_reading(arguments, report);
  measure_stop(arguments, report);
}

}  // namespace

int main(int argc, char** argv) { return bench::supervised(argc, argv, measure); }
