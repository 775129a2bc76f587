// Health and metrics over HTTP: an endpoint beside the body, and a number of the program's own.
#include <perdure/http.hpp>
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>

#include <atomic>
#include <chrono>

using namespace std::chrono_literals;

struct Settings {
  std::uint16_t port = 9464;
};

void describe(perdure::Fields& f, Settings& s) {
  f("port", s.port).help("where health and metrics are served; 0: a free one").flag("--port").restart_only();
}

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  // [endpoint]
  std::atomic<std::int64_t> readings{0};
  perdure::HttpEndpoint endpoint;
  const perdure::Options options{
      .name = "http",
      .config = config,
      .metrics = {{.name = "http_readings_total", .help = "Readings taken.", .value = &readings}},
      .components = {&endpoint},
      .configure = [&](perdure::Options&) { endpoint.options().port = config->port; },
      .heartbeat = 500ms,
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    while (ctx.wait(100ms)) ++readings;
  });
  // [/endpoint]
}
