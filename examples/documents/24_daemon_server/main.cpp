// daemon_server: a line server for thousands of clients. Its settings, its life as a daemon, and the server between them.
#include "perdure/perdure.hpp"
#include "server.hpp"

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Figures figures;
  std::atomic<perdure::Log*> log{nullptr};
  config.validate(check).on_reload([&log](const Settings& was, const Settings& now) -> perdure::Commit {
    return [&log, before = was.log_level, level = now.log_level, max = now.max_connections]() noexcept {
      perdure::Log* const to = log;
      if (to == nullptr) return;
      to->info("configuration changed", {{"log_level", perdure::level_name(level)}, {"max_connections", max}});
      if (level != before) to->set_level(level);  // else --log-level, or the verb, has the last word
    };
  });
  const perdure::Options options{
      .name = "daemon_server",
      .version = "1.0.0",
      .description = "answers /primes and /ask, and every other line with itself",
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
