// daemon_server: a line server for thousands of clients. Its settings, its life as a daemon, and the server between them.
#include <algorithm>
#include <atomic>

#include "figures.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"
#include "server.hpp"

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Figures figures;
  std::atomic<perdure::Log*> log{nullptr};
  config.validate(check).on_reload([&log](const Settings& was, const Settings& now) -> perdure::Commit {
    return [&log, before = was.log_level, level = now.log_level, max = now.max_connections]() noexcept {
      perdure::Log* const to = log;
      if (to == nullptr) return;
      if (level != before) to->set_level(std::min(before, level));  // else the level has been set by --log-level or the verb
      to->info("configuration changed", {{"log_level", perdure::level_name(level)}, {"max_connections", max}});
      if (level != before) to->set_level(level);
    };
  });
  const perdure::Options options{
      .name = "daemon_server",
      .version = "1.0.0",
      .description = "answers lines: /sum, /primes, /ask, and every other one with itself",
      .mode = perdure::Mode::Detached,
      .config = config,
      .metrics = figures.metrics(),
      .configure = [&config](perdure::Options& o) { apply(*config.get(), o); },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    log = &ctx.log();
    serve_clients(ctx, config, figures);
  });
}
