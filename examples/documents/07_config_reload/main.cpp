// config_reload: a daemon whose settings change while its threads use them.
//
// SIGHUP and `config_reload reload` read daemon.conf afresh. The new settings are checked, each for itself and together, and then
// take the place of the old ones at once; where anything is wrong, the old ones stay. Readers hold a snapshot: what belongs
// together always comes from the same file.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  unsigned port = 8080;
  std::string log_level = "INFO";
  unsigned max_connections = 100;
  unsigned reserved_connections = 10;
  std::string pid_file = "/var/run/mydaemon.pid";
  unsigned readers = 4;
};

void describe(perdure::Fields& f, Settings& s) {
  f("port", s.port).range(1, 65535).help("where a server would listen").flag("--port");
  f("log_level", s.log_level).help("DEBUG, INFO, WARNING, ERROR or CRITICAL").check([](const std::string& level) {
    return perdure::parse_level(level) ? perdure::Result<void>{} : perdure::Error{"\"" + level + "\" is no log level"};
  });
  f("max_connections", s.max_connections).range(1, 100'000).help("clients at once");
  f("reserved_connections", s.reserved_connections).help("of these, kept free for the administrator");
  f("pid_file", s.pid_file).help("where the pid is; --pid-file comes before it").restart_only();
  f("readers", s.readers).range(1, 64).help("threads that use the settings").flag("--readers").restart_only();
}

bool fits_together(const Settings& s) { return s.reserved_connections <= s.max_connections; }

/// What a reader found in all its looks.
struct Tally {
  std::atomic<std::uint64_t> looks{0}, torn{0};
};

void read_settings(std::stop_token stop, const perdure::Config<Settings>& config, Tally& tally) {
  while (!stop.stop_requested()) {
    const std::shared_ptr<const Settings> settings = config.get();
    if (!fits_together(*settings)) ++tally.torn;
    if (++tally.looks % 1024 == 0) std::this_thread::yield();
  }
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  Tally tally;
  std::atomic<perdure::Log*> log{nullptr};
  config
      .validate([](const Settings& s) -> perdure::Result<void> {
        if (fits_together(s)) return {};
        return perdure::Error{"reserved_connections: more than max_connections cannot be kept free"};
      })
      .on_reload([&log](const Settings& was, const Settings& now) -> perdure::Commit {
        if (now.log_level == was.log_level) return {};  // then --log-level, or the verb log-level, has the last word
        return {[&log, level = *perdure::parse_level(now.log_level)]() noexcept {
          if (perdure::Log* l = log) l->set_level(level);
        }};
      });
  const perdure::Options options{
      .name = "config_reload",
      .version = "1.0.0",
      .description = "reads its settings anew while it works",
      .mode = perdure::Mode::Detached,
      .config = config,
      .config_file = "/etc/daemon.conf",
      .commands = {{"show", "the settings in force",
                    [&](const perdure::Request&) {
                      const auto s = config.get();
                      return perdure::Reply::text(fmt::format(
                          "port={} log_level={} max_connections={} reserved_connections={} looks={} torn={}", s->port,
                          s->log_level, s->max_connections, s->reserved_connections, tally.looks.load(), tally.torn.load()));
                    }}},
      .configure =
          [&](perdure::Options& o) {
            o.pid_file = config->pid_file;
            o.log.level = perdure::parse_level(config->log_level).value_or(perdure::Level::Info);
          },
      .on_reload =
          [&](const perdure::Reloaded& reload) {
            if (perdure::Log* l = log; l != nullptr && reload.refused.empty())
              l->info("Configuration reloaded successfully");
          },
  };
  return perdure::run(argc, argv, options, [&](perdure::Context& ctx) {
    log = &ctx.log();
    std::vector<std::jthread> readers;  // started here: run() refuses a process that has threads already
    for (unsigned i = 0; i < config->readers; ++i)
      readers.emplace_back([&](std::stop_token stop) { read_settings(std::move(stop), config, tally); });
    while (ctx.wait(1h)) {
    }
  });
}
