// How long does a reload take from the request to its answer, with 20 hooks, and with 64 threads that read the settings meanwhile?
//
// Two files take turns, so that every reload changes something: read, parse, check, ask 20 hooks, swap, run 20 commits. The bare
// peer asks the same daemon for its log level: a request and an answer, without a reload.
#include <chrono>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include "measure.hpp"
#include "perdure/app.hpp"
#include "perdure/control.hpp"
#include "processes.hpp"

using namespace std::chrono_literals;

namespace {

constexpr int hooks = 20;
constexpr std::uint8_t is_ready = 1;

struct Settings {
  int port = 8080;
  std::string name = "bench";
  std::chrono::milliseconds period{1000};
  bool verbose = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("port", s.port).range(1, 65535);
  f("name", s.name);
  f("period", s.period).range(1ms, 1h);
  f("verbose", s.verbose);
}

int run_app(const bench::Line& line, const std::string& directory, int readers) {
  std::string name = "reload-bench";
  std::string pid_file = "--pid-file=" + directory + "/pid", control = "--control=" + directory + "/sock",
              config = "--config=" + directory + "/conf";
  char* argv[] = {name.data(), pid_file.data(), control.data(), config.data(), nullptr};
  perdure::App app{{.name = name, .log = {.target = perdure::LogTarget::None}}};
  auto settings = app.config<Settings>();
  for (int i = 0; i < hooks; ++i)
    app.on_reload<Settings>([](const Settings&, const Settings&) -> perdure::Commit { return []() noexcept {}; });
  for (int i = 0; i < readers; ++i)
    app.worker("reader-" + std::to_string(i), [settings](perdure::Context& ctx) {
      while (ctx.wait(1ms))
        if (settings->port == 0) throw std::logic_error("no such port");
    });
  app.on_event([&line](const perdure::AppEvent& event) {
    if (event.kind == perdure::AppEvent::Kind::Ready) line.send(is_ready);
  });
  return app.run(4, argv);
}

/// A daemon and the connection over which it is asked.
struct Daemon {
  Daemon(const std::string& directory, int readers)
      : directory_(directory), process_(bench::fork_running([&] { return run_app(line_, directory, readers); })) {
    (void)line_.receive<std::uint8_t>();
  }
  std::int64_t ask(const char* verb) {
    // A connection for each request, as `NAME reload` has it.
    const std::int64_t before = bench::now_ns();
    auto client = perdure::ControlClient::connect(directory_ + "/sock");
    if (!client) throw std::runtime_error(client.error().message());
    auto reply = client->request(verb, "", 30s);
    if (!reply || !reply->ok) throw std::runtime_error(reply ? reply->message : reply.error().message());
    return bench::now_ns() - before;
  }
  void write(int port) const { std::ofstream{directory_ + "/conf"} << "port = " << port << "\nname = bench\nperiod = 1s\n"; }
  void stop() const { process_.stop(); }

 private:
  bench::Line line_;
  std::string directory_;
  bench::Target process_;
};

void measure_with(const bench::Arguments& arguments, bench::Report& report, int readers) {
  constexpr double median_max = 5e6;
  const bench::Directory directory{bench::memory_base()};
  std::ofstream{directory / "conf"} << "port = 1\n";
  Daemon daemon{directory.path(), readers};
  bench::Samples reload, bare;
  for (int round = 0; round < arguments.rounds_or(1'000); ++round) {
    daemon.write(round % 2 == 0 ? 8080 : 8081);
    reload.add(daemon.ask("reload"));
    bare.add(daemon.ask("log-level"));
  }
  daemon.stop();
  const std::string what = readers == 0 ? "reload with 20 hooks, request to answer"
                                        : fmt::format("the same, {} threads read the settings", readers);
  report.row({.what = what,
              .must_reach = "p50 <= 5 ms",
              .measured = bench::median_and(reload, 95),
              .bare_peer = "log-level: " + bench::median_and(bare, 95),
              .ratio = bench::times(reload.median() / bare.median()),
              .verdict = bench::verdict(reload.median() <= median_max)});
  report.note(fmt::format("{}: {}", what, bench::all_of(reload)));
}

void measure(const bench::Arguments& arguments, bench::Report& report) {
  measure_with(arguments, report, 0);
  measure_with(arguments, report, 64);
}

}  // namespace

int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
