#include "client/commands.hpp"

#include <fnmatch.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/asking.hpp"
#include "client/instance.hpp"
#include "client/rendering.hpp"
#include "client/style.hpp"
#include "logbook/show_log.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::client {
namespace {

constexpr std::uint64_t status_log_lines = 10;

// --- is-active, is-failed ---------------------------------------------------------------------------------------------------

int tell_state(Instance& instance, const Arguments& arguments) {
  const bool wants_failed = arguments.verb == Verb::IsFailed;
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  const auto units = instance.units(*names, {"Id", "ActiveState"});
  if (!units) return give_up(units.error());
  std::string text;
  bool is_so = false;
  for (const Json& unit : *units) {
    const std::string state = text_of(unit, "ActiveState");
    text += state + '\n';
    is_so = is_so || (wants_failed ? state == "failed" : state == "active" || state == "reloading");
  }
  if (!arguments.quiet && !print(arguments.json ? json_line(*units) : text)) return exit_failed;
  return is_so ? exit_done : wants_failed ? exit_failed : exit_not_active;
}

// --- show, status -----------------------------------------------------------------------------------------------------------

int show(Instance& instance, const Arguments& arguments) {
  std::vector<Json> objects;
  if (arguments.words.empty()) {
    auto object = instance_properties(instance, arguments.properties);
    if (!object) return give_up(object.error());
    if (arguments.json) return print(json_line(*object)) ? exit_done : exit_failed;
    objects.push_back(*std::move(object));
  } else {
    const auto names = names_of(instance, arguments.words);
    if (!names) return give_up(names.error());
    auto units = instance.units(*names, arguments.properties);
    if (!units) return give_up(units.error());
    objects = *std::move(units);
  }
  if (arguments.json) return print(json_line(objects)) ? exit_done : exit_failed;
  const auto shown_names = arguments.value_only ? Names::Hide : Names::Show;
  const auto empty = arguments.all || !arguments.properties.empty() ? Empty::Show : Empty::Hide;
  std::string text;
  for (const Json& object : objects) {
    if (!text.empty()) text += '\n';
    text += property_lines(object, shown_names, empty);
  }
  return print(text) ? exit_done : exit_failed;
}

/// What a process calls itself; a pid that is gone, or means another process by now, costs a wrong word at worst.
std::string command_of(std::uint64_t pid) {
  constexpr std::size_t comm_max = 64;
  if (pid == 0) return {};
  const auto text = os::read_file(fmt::format("/proc/{}/comm", pid), comm_max);
  return text ? std::string{base::trim_end(*text)} : std::string{};
}

/// The end of a unit's log, after an empty line; nothing where there is none, or it cannot be read.
std::string log_end(const std::string& directory, const std::string& unit, const Arguments& arguments, const Style& style) {
  std::string text;
  const logbook::ShowOptions options{
      .log_directory = directory,
      .units = {unit},
      .format = logbook::parse_show_format(arguments.output.value_or("short")).value_or(logbook::ShowFormat::Short),
      .last = arguments.lines.value_or(status_log_lines),
      .terminal = true,
      .has_colours = style.has_colours()};
  const auto shown = logbook::show_log(options, [&](std::string_view part) {
    text += part;
    return true;
  });
  if (!shown) return fmt::format("\n(no log: {})\n", shown.error().message());
  return *shown == 0 ? "" : '\n' + text;
}

std::string could_not_be_found(Instance& instance, const std::string& unit) {
  std::string text = fmt::format("Unit {} could not be found.", base::escape(unit));
  if (const auto meant = meant_instead_of(instance, unit)) text += fmt::format(" Did you mean {}?", base::escape(*meant));
  return text;
}

int status(Instance& instance, const Arguments& arguments, const Places& places, const Style& style) {
  if (arguments.words.empty()) {
    const auto object = instance_properties(instance, {});
    if (!object) return give_up(object.error());
    const std::string text = arguments.json ? json_line(*object) : instance_block(*object, style, now_us());
    return print(text) ? exit_done : exit_failed;
  }
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  const auto units = instance.units(*names, {});
  if (!units) return give_up(units.error());
  const auto where = instance_properties(instance, {"LogDirectory"});
  const std::string logs = where && !text_of(*where, "LogDirectory").empty() ? text_of(*where, "LogDirectory") : places.log;

  std::string text, missing;
  std::vector<Json> found;
  int code = exit_done;
  for (const Json& unit : *units) {
    const std::string id = text_of(unit, "Id"), active = text_of(unit, "ActiveState");
    int of_this = active == "active" || active == "reloading" ? exit_done : exit_not_active;
    if (text_of(unit, "LoadState") == "not-found") {
      missing += could_not_be_found(instance, id) + '\n';
      of_this = exit_no_such_unit;
    } else {
      if (!text.empty()) text += '\n';
      text += status_block(unit, style, now_us(), command_of(number_of(unit, "MainPID")));
      if (arguments.lines != std::uint64_t{0} && !arguments.json) text += log_end(logs, id, arguments, style);
      found.push_back(unit);
    }
    if (code == exit_done) code = of_this;
  }
  if (!print(arguments.json ? json_line(found) : text)) return exit_failed;
  if (!missing.empty()) os::sys::write(STDERR_FILENO, missing.data(), missing.size());
  return code;
}

// --- list-units -------------------------------------------------------------------------------------------------------------

bool is_listed(const Json& unit, const Arguments& arguments) {
  const std::string id = text_of(unit, "Id"), load = text_of(unit, "LoadState"), active = text_of(unit, "ActiveState"),
                    sub = text_of(unit, "SubState");
  const auto contains = [](const std::vector<std::string>& list, const std::string& word) {
    return std::find(list.begin(), list.end(), word) != list.end();
  };
  const auto& states = arguments.states;
  const auto& types = arguments.types;
  if (!types.empty() && !contains(types, id.substr(id.rfind('.') + 1))) return false;
  if (!states.empty() && !contains(states, load) && !contains(states, active) && !contains(states, sub)) return false;
  if (!arguments.words.empty()) {
    return std::any_of(arguments.words.begin(), arguments.words.end(), [&](const std::string& word) {
      return is_pattern(word) ? ::fnmatch(word.c_str(), id.c_str(), 0) == 0 : unit_name_of(word) == id;
    });
  }
  return arguments.all || !states.empty() || active != "inactive" || !text_of(unit, "JobType").empty();
}

int list_units(Instance& instance, const Arguments& arguments, const Style& style) {
  auto units = instance.list();
  if (!units) return give_up(units.error());
  std::erase_if(*units, [&](const Json& unit) { return !is_listed(unit, arguments); });
  if (arguments.json) {
    Json list = Json::array();
    for (const Json& unit : *units) {
      list.push_back({{"unit", text_of(unit, "Id")},
                      {"load", text_of(unit, "LoadState")},
                      {"active", text_of(unit, "ActiveState")},
                      {"sub", text_of(unit, "SubState")},
                      {"description", text_of(unit, "Description")}});
    }
    return print(json_line(list)) ? exit_done : exit_failed;
  }
  const ListOptions options{.plain = arguments.plain, .no_legend = arguments.no_legend, .all = arguments.all};
  return print(unit_table(*units, options, style)) ? exit_done : exit_failed;
}

int help(const Arguments& arguments) {
  const auto text = help_text(arguments.words.empty() ? "" : arguments.words.front(), arguments.command_line);
  if (!text) return give_up(text.error());
  return print(*text) ? exit_done : exit_failed;
}

}  // namespace

void complain(std::string_view why) {
  const std::string line = fmt::format("perdure: {}\n", why);
  os::sys::write(STDERR_FILENO, line.data(), line.size());
}

bool print(std::string_view text) {
  const auto written = os::write_all(STDOUT_FILENO, text, "to standard output");
  if (!written) complain(written.error().message());
  return written.has_value();
}

int run_command(const Arguments& arguments, const Places& places) {
  const Style style = Style::for_stdout();
  switch (arguments.verb) {  // those that do without an instance
    case Verb::Help: return help(arguments);
    case Verb::Logs: return show_logs(arguments, places, style);
    case Verb::IsSystemRunning: return tell_system_state(arguments, places);
    default: break;
  }
  auto instance = Instance::connect(places.control_socket());
  if (!instance) return give_up(instance.error());
  switch (arguments.verb) {
    case Verb::IsActive:
    case Verb::IsFailed: return tell_state(*instance, arguments);
    case Verb::Show: return show(*instance, arguments);
    case Verb::Status: return status(*instance, arguments, places, style);
    case Verb::ListUnits: return list_units(*instance, arguments, style);
    case Verb::Start:
    case Verb::Stop:
    case Verb::Restart:
    case Verb::TryRestart:
    case Verb::Reload:
    case Verb::ReloadOrRestart: return change_units(*instance, arguments);
    case Verb::Kill: return kill_units(*instance, arguments);
    case Verb::Cat: return print_files(*instance, arguments, style);
    case Verb::ListDependencies: return list_dependencies(*instance, arguments, style);
    case Verb::ListJobs: return list_jobs(*instance, arguments);
    case Verb::Cancel: return cancel_jobs(*instance, arguments);
    case Verb::DaemonReload: return reload_unit_files(*instance);
    case Verb::ShowEnvironment: return show_environment(*instance, arguments);
    case Verb::Verify: return verify_units(*instance, arguments);
    case Verb::ResetFailed: return reset_failed(*instance, arguments);
    case Verb::Exit: return end_instance(*instance, arguments);
    default: return exit_failed;  // the others are carried out before
  }
}

}  // namespace perdure::client
