#include "scanner.hpp"

#include <algorithm>
#include <fstream>
#include <string_view>

#include <fmt/core.h>

#include "targets.hpp"

namespace {

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::string_view line = first_line(text);
    visit(line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
}

}  // namespace

void Scanner::scan_all(const Limits& limits) {
  for (const std::string& target : load()) {
    if (ctx_.stopping()) return;
    scan(target, limits);
  }
}

std::vector<std::string> Scanner::load() {
  std::ifstream file{targets_};
  std::string text(targets_bytes_max, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (!file.is_open() || file.bad()) {
    say_once(fmt::format("Failed to load targets: {} cannot be read", targets_), {});
    return {};
  }
  Targets targets = parse_targets(text);
  say_once(fmt::format("Loaded {} targets", targets.hosts.size()), targets.problems);
  return targets.hosts;
}

/// The file is read in each round, but only news are worth a line.
void Scanner::say_once(const std::string& summary, const std::vector<std::string>& problems) {
  std::string said = summary;
  for (const std::string& problem : problems) said += '\n' + problem;
  if (said == last_said_) return;
  last_said_ = said;
  for (const std::string& problem : problems) log_.warning("{}: {}", targets_, problem);
  log_.write_text(summary.starts_with("Loaded") ? perdure::Level::Info : perdure::Level::Error, summary);
}

perdure::Command Scanner::command_for(const std::string& target, const Limits& limits) const {
  if (ctx_.args().empty()) return perdure::Command::self({"--scan", target, limits.ports});
  perdure::Command command{ctx_.args().front()};
  for (auto word = ctx_.args().begin() + 1; word != ctx_.args().end(); ++word)
    command.arg(*word == "{target}" ? target : *word);
  return command;
}

void Scanner::scan(const std::string& target, const Limits& limits) {
  const auto scan = command_for(target, limits).output({.within = limits.within, .stop_fd = ctx_.stop_fd()});
  if (!scan) return log_.error("Scan error for {}: {}", target, scan.error().message());
  if (scan->stopped) return;
  if (scan->timed_out) return log_.warning("Scan timeout for {}", target);
  if (!scan->status.success())
    return log_.warning("Scan failed for {}: it {}: {}", target, scan->status.text(), first_line(scan->err));
  for_each_line(scan->out, [&](std::string_view line) { log_.info("{}: {}", target, line); });
  log_.info("Scan complete for {}", target);
}
