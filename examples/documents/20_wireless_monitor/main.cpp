// wireless_monitor: asks for the wireless networks in reach every minute, and logs their names, frequencies and signals.
//
//     wireless_monitor [-- COMMAND WORD…]          the command that scans; by default `iwlist wlan0 scan`
//
// No shell: the command gets its words as they are, is killed with all it started when it takes too long, and is stopped with us.
#include <array>
#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/command.hpp"
#include "perdure/perdure.hpp"
#include "perdure/settings.hpp"

using namespace std::chrono_literals;

namespace {

struct Settings {
  std::chrono::milliseconds every{60s};
  std::chrono::milliseconds within{30s};
};

void describe(perdure::Fields& f, Settings& s) {
  f("every", s.every).range(1ms, 24h).help("time between two scans").flag("--every");
  f("within", s.within).range(1ms, 1h).help("a scan that takes longer is killed").flag("--within");
}

constexpr std::size_t output_bytes_max = 1 << 20;

bool is_wanted(std::string_view line) {
  constexpr std::array<std::string_view, 3> words = {"SSID", "Frequency", "Signal"};
  for (const std::string_view word : words)
    if (line.find(word) != line.npos) return true;
  return false;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  for (std::size_t end = 0; !text.empty(); text.remove_prefix(end)) {
    end = std::min(text.find('\n'), text.size() - 1) + 1;
    visit(trimmed(text.substr(0, text[end - 1] == '\n' ? end - 1 : end)));
  }
}

void scan(perdure::Context& ctx, const std::vector<std::string>& command, const Settings& settings) {
  perdure::Log& log = ctx.log();
  const auto output = perdure::Command{command.front()}
                          .args({command.begin() + 1, command.end()})
                          .output({.within = settings.within, .max_bytes = output_bytes_max, .stop_fd = ctx.stop_fd()});
  if (!output) return log.warning("Scan failed: {}", output.error().message());
  if (output->stopped) return;
  for_each_line(output->out, [&](std::string_view line) {
    if (is_wanted(line)) log.info("{}", line);
  });
  if (output->truncated) log.warning("the scan said more than {} bytes; the rest was dropped", output_bytes_max);
  if (output->timed_out)
    return log.warning("Scan failed: it took longer than {} ms and was killed", settings.within.count());
  if (output->status.success()) return log.debug("Scan complete");
  std::string_view reason = output->err;
  reason = trimmed(reason.substr(0, reason.find('\n')));
  log.warning("Scan failed: {} {}{}{}", command.front(), output->status.text(), reason.empty() ? "" : ": ", reason);
}

}  // namespace

int main(int argc, char** argv) {
  perdure::Config<Settings> config;
  const perdure::Options options{
      .name = "wireless_monitor",
      .version = "1.0.0",
      .description = "logs the wireless networks in reach every minute",
      .arguments = "[-- COMMAND WORD...]",
      .mode = perdure::Mode::Detached,
      .config = config,
      .log = {.path = "/var/log/wireless-monitor.log", .also_syslog = true},
      .before_start = [](perdure::Options& o) -> perdure::Result<void> {
        o.working_directory = std::filesystem::current_path();  // COMMAND may be relative
        return {};
      },
  };
  return perdure::run(argc, argv, options, [&config](perdure::Context& ctx) {
    const std::vector<std::string> standard{"iwlist", "wlan0", "scan"};
    ctx.ready();  // the first scan may take its time
    ctx.log().info("Wireless monitor started");
    do {
      scan(ctx, ctx.args().empty() ? standard : ctx.args(), *config.get());
    } while (ctx.wait(config->every));
    ctx.log().info("Wireless monitor stopped");
  });
}
