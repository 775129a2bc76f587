// One function describes the settings: it is parser, defaults, help, environment, command line, and redaction.
#include <perdure/perdure.hpp>
#include <perdure/settings.hpp>

using namespace std::chrono_literals;

struct Settings {
  std::string device = "/dev/ttyS0";
  std::chrono::milliseconds period{1000};
  int port = 8080;
  std::string token;
};

void describe(perdure::Fields& f, Settings& s) {
  f("device", s.device).help("serial device").restart_only();
  f("period", s.period).help("between two readings").range(1ms, 1h).env("SETTINGS_PERIOD").flag("--period");
  f("port", s.port).range(1, 65535).flag("--port");
  f("token", s.token).help("for the upstream server").secret();
}

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  return perdure::run(argc, argv, {.name = "settings", .version = "1.0.0", .config = config}, [&](perdure::Context& ctx) {
    do {
      const auto now = config.get();  // one snapshot for one round
      ctx.log().info("reading {} every {} ms, port {}", now->device, now->period.count(), now->port);
    } while (ctx.wait(config->period));
  });
}
