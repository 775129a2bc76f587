// An App with an HTTP endpoint (two of them with --do=two) that can be told to misbehave: --do=WORD chooses how, files in the working
// directory when.
#include <perdure/app.hpp>
#include <perdure/http.hpp>
#if PROBE_HAS_PROMETHEUS
#include <perdure/prometheus.hpp>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#endif
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using perdure::Context;
using perdure::Health;

namespace {

struct Settings {
  int number = 1;
  std::uint16_t port = 0;
  std::string address = "127.0.0.1";
  std::string act = "serve";
  std::chrono::milliseconds stop_within{20'000};
};

void describe(perdure::Fields& f, Settings& s) {
  f("number", s.number).range(0, 100);
  f("port", s.port).flag("--port");
  f("address", s.address).flag("--address");
  f("do", s.act).flag("--do");
  f("stop_within", s.stop_within).flag("--stop-within");
}

bool exists(const char* file) { return ::access(file, F_OK) == 0; }

void serve(Context& ctx) {
  while (ctx.wait(1h)) continue;
}

}  // namespace

int main(int argc, char** argv) {
  std::string act = "serve";
  for (int i = 1; i < argc; ++i)
    if (const std::string word{argv[i]}; word.rfind("--do=", 0) == 0) act = word.substr(5);

  std::atomic<std::int64_t> samples{41};
  perdure::HttpEndpoint endpoint, second{{.port = 0}};
  perdure::ConfigHandle<Settings>* handle = nullptr;
  perdure::App app{{.name = "http-probe",
                    .metrics = {{.name = "probe_samples_total", .help = "Samples taken.", .value = &samples}},
                    .configure =
                        [&](perdure::Options& o) {
                          o.stop_within = (*handle)->stop_within;
                          endpoint.options().port = (*handle)->port;
                          endpoint.options().address = (*handle)->address;
                        },
                    .working_directory = std::getenv("PROBE_DIRECTORY")}};
  auto settings = app.config<Settings>();
  handle = &settings;
  app.use(endpoint);
  if (act == "two") app.use(second);
#if PROBE_HAS_PROMETHEUS
  auto registry = std::make_shared<prometheus::Registry>();
  prometheus::BuildCounter()
      .Name("probe_reads_total")
      .Help("Reads, by device.")
      .Register(*registry)
      .Add({{"device", "tty \"S0\"\\\n"}})
      .Increment(3);
  prometheus::BuildHistogram()
      .Name("probe_seconds")
      .Help("Durations.")
      .Register(*registry)
      .Add({}, prometheus::Histogram::BucketBoundaries{0.1, 1})
      .Observe(0.5);
  perdure::expose(endpoint, registry);
#endif

  auto db = app.worker("db", [&](Context& ctx) {
    while (act == "starting" && !exists("go")) std::this_thread::sleep_for(1ms);  // not under test: a slow start
    ++samples;
    serve(ctx);
  });
  if (act == "readiness")
    app.readiness("sensor", [] { return exists("cold") ? Health::bad("the sensor\nis cold") : Health::good(); },
                  {.every = 20ms});
  if (act == "liveness")
    app.liveness("disk", [] { return exists("full") ? Health::bad("the disk is full") : Health::good(); }, {.every = 20ms});
  if (act == "stuck") {
    app.worker("busy",
               [](Context& ctx) {
                 ctx.ready();
                 while (!exists("rest")) std::this_thread::yield();
                 serve(ctx);
               },
               {.heartbeat = 150ms});
  }
  if (act == "slow-check") {
    app.readiness("slow",
                  [] {
                    while (exists("hang"))
                      std::this_thread::sleep_for(1ms);  // not under test: code of the user's that hangs
                    return Health::good();
                  },
                  {.every = 20ms, .within = 50ms});
  }
  if (act == "slow-stop") {
    app.worker("slow",
               [](Context& ctx) {
                 serve(ctx);
                 while (!exists("finish")) std::this_thread::sleep_for(1ms);
               })
        .after(db);
  }
  if (act == "exit") {
    app.worker("leaver", [](Context& ctx) {
      ctx.ready();
      while (!exists("leave")) std::this_thread::sleep_for(1ms);
      std::exit(5);
    });
  }
  return app.run(argc, argv);
}
