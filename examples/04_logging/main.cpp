// Logging: to a terminal, the journal, syslog or a file, as the environment expects. SIGUSR1 rotates a file now.
#include <perdure/perdure.hpp>

int main(int argc, char** argv) {
  const perdure::Options options{
      .name = "logging",
      .log = {.format = perdure::LogFormat::Named, .max_bytes = 10'000, .backups = 2},
  };
  return perdure::run(argc, argv, options, [](perdure::Context& ctx) {
    perdure::Log& log = ctx.log();
    log.info("started");
    log.debug("only with --log-level debug, or after: logging log-level debug");
    log.warning("a name from outside cannot forge a line: {}",
                "eve\n2026-01-01 00:00:00,000 - logging - INFO - all is well");
    for (unsigned round = 0; ctx.wait(std::chrono::milliseconds{50}); ++round) log.info("round {}", round);
    log.info("stopped");
  });
}
