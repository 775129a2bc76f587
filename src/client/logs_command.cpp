// `perdure logs`: options and words become what logbook shows.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/asking.hpp"
#include "client/moment.hpp"
#include "logbook/show_log.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

constexpr std::uint64_t follow_lines = 10;

struct Range {
  int from = 0, to = logbook::priority_last;
};

std::optional<int> priority_of(std::string_view word) {
  constexpr std::array<std::string_view, 8> names{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};
  if (const auto number = base::parse_number<int>(word); number && *number >= 0 && *number <= logbook::priority_last)
    return number;
  if (word == "error") return 3;
  if (word == "warn") return 4;
  const auto* const name = std::find(names.begin(), names.end(), word);
  return name == names.end() ? std::nullopt : std::optional{static_cast<int>(name - names.begin())};
}

/// "warning": as urgent as that; "err..info": from here to there, in either direction.
Result<Range> priorities_of(std::string_view text) {
  const std::size_t dots = text.find("..");
  const auto first = priority_of(text.substr(0, dots));
  const auto second = dots == std::string_view::npos ? first : priority_of(text.substr(dots + 2));
  if (!first || !second) {
    return Error{
        fmt::format("{} is no priority; they are emerg, alert, crit, err, warning, notice, info, debug, or 0 to 7; "
                    "FROM..TO is a range",
                    base::quote(text))};
  }
  if (dots == std::string_view::npos) return Range{.to = *first};
  return Range{.from = std::min(*first, *second), .to = std::max(*first, *second)};
}

/// When the machine was started, by the clock of now.
std::int64_t boot_us() {
  timespec up{};
  os::sys::clock_gettime(CLOCK_BOOTTIME, &up);
  return static_cast<std::int64_t>(now_us()) - up.tv_sec * 1'000'000 - up.tv_nsec / 1'000;
}

/// Each unit takes up to three descriptors.
void make_room_for_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// What the instance says about the lines of units; nothing where it cannot be asked, or does not know.
std::map<std::string, logbook::LineSettings, std::less<>> settings_of(Instance& instance,
                                                                      const std::vector<std::string>& units) {
  std::map<std::string, logbook::LineSettings, std::less<>> settings;
  const auto known = instance.units(units, {"Id", "SyslogIdentifier", "SyslogLevel", "SyslogLevelPrefix"});
  if (!known) return settings;
  for (const Json& unit : *known) {
    logbook::LineSettings of{.identifier = text_of(unit, "SyslogIdentifier")};
    if (unit.contains("SyslogLevel"))
      of.priority = std::min(static_cast<int>(number_of(unit, "SyslogLevel") & 7U), logbook::priority_last);
    if (const auto prefix = unit.find("SyslogLevelPrefix"); prefix != unit.end() && prefix->is_boolean())
      of.has_level_prefix = prefix->get<bool>();
    settings[text_of(unit, "Id")] = std::move(of);
  }
  return settings;
}

Result<logbook::ShowOptions> options_of(const Arguments& arguments, const Style& style) {
  logbook::ShowOptions options{.last = arguments.lines,
                               .follow = arguments.follow,
                               .reverse = arguments.reverse,
                               .identifiers = arguments.identifiers,
                               .terminal = ::isatty(STDOUT_FILENO) == 1,
                               .has_colours = style.has_colours(),
                               .hides_host = arguments.no_hostname,
                               .is_quiet = arguments.quiet};
  const auto format = logbook::parse_show_format(arguments.output.value_or(arguments.json ? "json" : "short"));
  if (!format) {
    return Error{fmt::format("logs has no format {}; it has short, short-iso, short-precise, short-unix, cat, json, export",
                             base::quote(*arguments.output))};
  }
  options.format = *format;
  if (arguments.follow && !arguments.lines) options.last = follow_lines;
  if (options.last == UINT64_MAX) options.last.reset();
  const auto now = static_cast<std::int64_t>(now_us());
  if (arguments.this_boot) options.since_us = boot_us();
  if (arguments.since) {
    PERDURE_TRY(const std::int64_t since, parse_moment(*arguments.since, now));
    options.since_us = std::max(since, options.since_us.value_or(since));
  }
  if (arguments.until) {
    PERDURE_TRY(options.until_us, parse_moment(*arguments.until, now));
  }
  if (options.since_us && options.until_us && *options.since_us > *options.until_us)
    return Error{"nothing can be shown: --since is later than --until"};
  if (arguments.priority) {
    PERDURE_TRY(const Range range, priorities_of(*arguments.priority));
    options.priority_from = range.from;
    options.priority_to = range.to;
  }
  for (const std::string& word : arguments.units) {
    std::vector<std::string>& list = is_pattern(word) ? options.patterns : options.units;
    std::string name = is_pattern(word) ? word : unit_name_of(word);
    if (std::find(list.begin(), list.end(), name) == list.end()) list.push_back(std::move(name));
  }
  if (arguments.units.empty()) options.patterns = {"*"};
  return options;
}

/// A word for who has written a name wrong: on stderr, and no failure, for the log may be yet to come.
void mention_what_was_meant(const logbook::ShowOptions& options, const std::vector<std::string>& with_logs) {
  for (const std::string& unit : options.units) {
    if (std::binary_search(with_logs.begin(), with_logs.end(), unit)) continue;
    if (const auto meant = meant_instead_of(unit, with_logs))
      complain(fmt::format("{} has no log; did you mean {}?", base::escape(unit), base::escape(*meant)));
  }
}

}  // namespace

int show_logs(const Arguments& arguments, const Places& places, const Style& style) {
  auto options = options_of(arguments, style);
  if (!options) return give_up(options.error());
  options->log_directory = places.log;
  // Where the instance says that its logs are, if no directory was named and it can be asked.
  auto instance = Instance::connect(places.control_socket());
  if (instance && !places.log_was_named) {
    const auto where = instance_properties(*instance, {"LogDirectory"});
    if (const std::string directory = where ? text_of(*where, "LogDirectory") : ""; !directory.empty())
      options->log_directory = directory;
  }
  const auto with_logs = logbook::units_with_logs(options->log_directory);
  if (!with_logs) return give_up(with_logs.error());
  if (!arguments.quiet) mention_what_was_meant(*options, *with_logs);
  if (instance) options->settings = settings_of(*instance, options->patterns.empty() ? options->units : *with_logs);
  make_room_for_descriptors();
  const auto shown = logbook::show_log(*options, print);
  return shown ? exit_done : give_up(shown.error());
}

}  // namespace perdure::client
