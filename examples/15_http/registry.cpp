// The same with a registry of prometheus-cpp: labels, histograms, and whatever else its users have already.
#include <perdure/http.hpp>
#include <perdure/perdure.hpp>
#include <perdure/prometheus.hpp>
#include <perdure/settings.hpp>
#include <prometheus/counter.h>

#include <chrono>
#include <memory>

using namespace std::chrono_literals;

struct Settings {
  std::uint16_t port = 9464;
};

void describe(perdure::Fields& f, Settings& s) { f("port", s.port).flag("--port").restart_only(); }

int main(int argc, char** argv) {
  // [registry]
  auto registry = std::make_shared<prometheus::Registry>();
  auto& readings = prometheus::BuildCounter().Name("http_readings_total").Help("Readings taken.").Register(*registry);
  auto& inside = readings.Add({{"where", "inside"}});
  perdure::HttpEndpoint endpoint;
  perdure::expose(endpoint, registry);
  // [/registry]
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "http",
      .config = config,
      .components = {&endpoint},
      .configure = [&](perdure::Options&) { endpoint.options().port = config->port; },
      .heartbeat = 500ms,
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    while (ctx.wait(100ms)) inside.Increment();
  });
}
