// metrics_collector: averages of named values that programs on this machine report over an abstract Unix socket.
//
//     metrics_collector               collects until it is stopped; --demo: also starts a reporter, ends after its reports
//     metrics_collector --report      the other role: reports five metrics
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "abstract_socket.hpp"
#include "collector.hpp"
#include "perdure/command.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "reporter.hpp"

namespace {

constexpr const char* default_socket = "zig-metrics";

struct Settings {
  std::string socket = default_socket;
  std::uint64_t count = 0;
  bool demo = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("socket", s.socket).help("name of the abstract socket").flag("--socket").restart_only();
  f("count", s.count).help("end after this many connections; 0: never").flag("--count").restart_only();
  f("demo", s.demo).help("start a reporter and end after its reports").flag("--demo").restart_only();
}

int collect(perdure::Context& ctx, const Settings& settings, bool on_terminal) {
  const auto say = [&](const std::string& line) {
    if (!on_terminal) return ctx.log().info("{}", line);
    fmt::print("{}\n", line);
    std::fflush(stdout);
  };
  auto listener = listen_abstract(settings.socket);
  if (!listener) throw std::runtime_error{listener.error().message()};
  Collector collector{*std::move(listener), say};
  say("[collector] listening on abstract socket '" + settings.socket + "'");

  std::optional<perdure::Child> reporter;
  if (settings.demo) {
    auto child = perdure::Command::self({"--report", settings.socket}).spawn();
    if (!child) throw std::runtime_error{child.error().message()};
    reporter = *std::move(child);
  }
  const std::uint64_t count = settings.count == 0 && settings.demo ? 5 : settings.count;
  while (count == 0 || collector.finished() < count) {
    const auto now = Collector::Clock::now();
    auto polled = collector.poll_set(now);
    if (ctx.wait_fds(polled, collector.patience(now)) < 0) return 0;
    collector.process(polled, Collector::Clock::now());
  }
  const auto ended = reporter ? reporter->wait() : perdure::Result<perdure::ExitStatus>{perdure::ExitStatus::exited(0)};
  return ended && ended->success() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view{argv[1]} == "--report") return report(argc > 2 ? argv[2] : default_socket);
  perdure::Config<Settings> config;
  const perdure::Options options{.name = "metrics_collector",
                                 .version = "1.0.0",
                                 .description = "averages metrics that arrive on an abstract Unix socket",
                                 .config = config};
  const pid_t first_process = getpid();
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    return collect(ctx, *config.get(), getpid() == first_process);  // detached, standard output is gone: the log has it
  });
}
