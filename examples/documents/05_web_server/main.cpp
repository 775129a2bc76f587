// web_server: answers GET /status, /metrics and /health over HTTP. The settings, and the life around site and server.
#include <filesystem>
#include <stdexcept>
#include <string>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "server.hpp"
#include "site.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  HttpOptions http;
  std::chrono::milliseconds stale_after{60s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("address", s.http.address).help("where to listen; 0.0.0.0: everywhere").flag("--address").restart_only();
  f("port", s.http.port).help("0: any free one, which the log tells").flag("--port").restart_only();
  f("tls_cert", s.http.tls_cert).help("PEM file: with it and its key, HTTPS only").flag("--tls-cert").restart_only();
  f("tls_key", s.http.tls_key).help("PEM file of the key").flag("--tls-key").restart_only();
  f("threads", s.http.threads).range(1, 1024).help("clients served at once").flag("--threads").restart_only();
  f("request_within", s.http.request_within).range(100ms, 1h).help("time to ask").flag("--request-within").restart_only();
  f("stale_after", s.stale_after).range(1ms, 24h).help("no request for so long: /health is STALE").flag("--stale-after");
}

int serve(perdure::Context& ctx, const perdure::Config<Settings>& config, const HttpOptions& http) {
  Site site{[&config] { return config->stale_after; }};
  HttpServer server{http, site};
  const auto port = server.listen();
  if (!port) throw std::runtime_error{"Failed to start server: " + port.error().message()};
  ctx.log().info("Web server daemon started on port {}, listening on {}:{}", *port, http.address, *port);
  while (ctx.wait(1s)) {
    if (server.keep_serving()) continue;
    ctx.log().error("cannot accept connections any more; ending, so that whoever started this can start it afresh");
    return 1;
  }
  ctx.log().info("Shutdown requested");
  server.stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  HttpOptions http;
  const perdure::Options options{
      .name = "webserver_daemon",
      .version = "1.0.0",
      .description = "answers /status, /metrics and /health over HTTP",
      .mode = perdure::Mode::Detached,
      .config = config,
      .before_start = [&](perdure::Options&) -> perdure::Result<void> {
        http = config->http;  // here a relative path still means what it meant to the user
        for (std::string* path : {&http.tls_cert, &http.tls_key})
          if (!path->empty()) *path = std::filesystem::absolute(*path);
        return {};
      },
      .exit_codes = {.failed = 1},  // the document's, for a port that is in use
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) { return serve(ctx, config, http); });
}
