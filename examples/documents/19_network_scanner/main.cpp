// network_scanner: which ports of the hosts in a file are open, every ten seconds.
//
//     network_scanner                                           scans by itself: TCP connections
//     network_scanner -- nmap -p 22,80 -sV -- {target}          with a command of yours, for each target
//
// Either way a target is scanned by a process of its own, so that whatever hangs, a name server or a scanner, is killed at its time
// limit with all it started, and the daemon stops when it is asked to. The targets are validated before any command sees them.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "connect_scan.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "scanner.hpp"
#include "targets.hpp"

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

struct Settings {
  std::string targets = "/etc/scanner/targets.txt";
  std::string ports = "22,80,443,8080";
  milliseconds every{10s}, within{300s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("targets", s.targets).help("a file with a host per line, read before each round").flag("--targets").restart_only();
  f("ports", s.ports).help("for the scan of our own").flag("--ports").check([](const std::string& text) {
    return parse_ports(text) ? perdure::Result<void>{}
                             : perdure::Error{"up to 64 ports, with commas between them, are wanted"};
  });
  f("every", s.every).range(1ms, 24h).help("time between two rounds").flag("--every");
  f("within", s.within).range(1ms, 24h).help("a scan of one target that takes longer is killed").flag("--within");
}

constexpr milliseconds answer_within{3000};  // of a host that the scan of our own connects to

/// The other role: `--scan HOST PORTS` prints one line with what was found.
int scan_here(const std::string& host, const std::string& ports) {
  const auto scanned = connect_scan(host, parse_ports(ports).value_or(std::vector<std::uint16_t>{}), answer_within);
  if (!scanned) return fmt::print(stderr, "{}\n", scanned.error().message()), 1;
  for (const ScannedPort& port : *scanned)
    fmt::print("{}{} {}", &port == scanned->data() ? "" : ", ", port.port, to_text(port.state));
  return fmt::print("\n"), 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view{argv[1]} == "--scan") return scan_here(argv[2], argv[3]);
  perdure::Config<Settings> config;
  std::string targets;
  const perdure::Options options{
      .name = "network_scanner",
      .version = "1.0.0",
      .description = "tells which ports of the hosts in a file are open",
      .arguments = "[-- COMMAND WORD... {target}]",
      .mode = perdure::Mode::Detached,
      .config = config,
      .pid_file = "/var/run/network-scanner.pid",
      .log = {.path = "/var/log/network-scanner.log"},
      .before_start = [&](perdure::Options& o) -> perdure::Result<void> {
        targets = std::filesystem::absolute(config->targets);
        o.working_directory = std::filesystem::current_path();  // COMMAND may be relative
        return {};
      },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    Scanner scanner{ctx, targets};
    ctx.ready();  // a round may take long
    do {
      scanner.scan_all({config->ports, config->within});
    } while (ctx.wait(config->every));
  });
}
