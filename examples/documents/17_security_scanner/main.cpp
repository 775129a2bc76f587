// security_scanner: looks below a directory for what others could misuse, every five minutes, and logs what is new and what is gone.
//
//     security_scanner [start]          detaches;   stop, status, reload: the program is its own client
//
// What to look for stands in a YAML file; how often may also come from SCAN_INTERVAL or the command line, which come before it.
// The daemon around it is perdure::run(). A scan that fails is logged, and the next one comes all the same.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>

#include "lookout.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "rules.hpp"

namespace {

using Seconds = std::chrono::duration<double>;  // a number without a unit counts these

struct Settings {
  std::string scan_config = "/etc/security-scanner/config.yaml";
  std::optional<Seconds> scan_interval;
  std::string log_level = "INFO";
  bool debug = false;
};

void describe(perdure::Fields& f, Settings& s) {
  f("scan_config", s.scan_config).help("what to look for: a YAML file").flag("--scan-config").restart_only();
  f("scan_interval", s.scan_interval)
      .help("time between two scans; else the YAML file's, else 300")
      .env("SCAN_INTERVAL")
      .flag("--scan-interval")
      .range(0.001, 86400.0 * 366);
  f("log_level", s.log_level)
      .help("DEBUG, INFO, WARNING, ERROR or CRITICAL")
      .env("DAEMON_LOG_LEVEL")
      .restart_only()
      .check([](const std::string& level) {
        return perdure::parse_level(level) ? perdure::Result<void>{} : perdure::Error{"\"" + level + "\" is no log level"};
      });
  f("debug", s.debug).help("as log_level = DEBUG").env("DAEMON_DEBUG").restart_only();
}

std::chrono::nanoseconds interval_of(const Settings& settings, const ScanConfig& rules) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      settings.scan_interval.value_or(rules.interval.value_or(Seconds{300})));
}

void scan_until_stopped(perdure::Context& ctx, const perdure::Config<Settings>& config, const Rules& rules) {
  Lookout lookout;
  ctx.ready();  // a scan may take long
  do {
    try {
      lookout.scan(ctx, *rules.get());
    } catch (const std::exception& error) {
      ctx.log().error("Scan failed: {}", error.what());
    }
  } while (ctx.wait(interval_of(*config.get(), *rules.get())));
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Rules rules;
  std::string path, load_problem;
  config.on_reload([&](const Settings&, const Settings&) -> perdure::Commit {
    auto loaded = Rules::load(path);
    if (!loaded) throw perdure::Rejected{loaded.error().message()};
    return {[&rules, next = *std::move(loaded)]() noexcept { rules.put_in_force(next); }};
  });
  const perdure::Options options{
      .name = "security_scanner",
      .version = "1.0.0",
      .description = "looks for files, programs and ports that others could misuse",
      .mode = perdure::Mode::Detached,
      .config = config,
      .pid_file = "/var/run/security-scanner.pid",
      .log = {.format = perdure::LogFormat::Named,
              .path = "/var/log/security-scanner.log",
              .max_bytes = 10 << 20,
              .backups = 5,
              .also_syslog = true},
      .configure =
          [&](perdure::Options& o) {
            o.log.level =
                config->debug ? perdure::Level::Debug : perdure::parse_level(config->log_level).value_or(o.log.level);
          },
      .before_start = [&](perdure::Options&) -> perdure::Result<void> {
        path = std::filesystem::absolute(config->scan_config);
        auto loaded = Rules::load(path);
        if (loaded) rules.put_in_force(*std::move(loaded));
        else if (loaded.error().code() != ENOENT) return std::move(loaded).error();
        else load_problem = loaded.error().message();
        return {};
      },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    ctx.log().info("Daemon started (PID {})", getpid());
    if (load_problem.empty()) ctx.log().info("Configuration loaded from {}", path);
    else ctx.log().warning("Failed to load config: {}; the defaults are in force", load_problem);
    scan_until_stopped(ctx, config, rules);
    ctx.log().info("Daemon stopped");
  });
}
