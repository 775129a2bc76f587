#include "client/commands.hpp"

#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/instance.hpp"
#include "client/rendering.hpp"
#include "client/style.hpp"
#include "logbook/show_log.hpp"
#include "os/clock.hpp"
#include "os/file.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::client {
namespace {

constexpr std::uint64_t status_log_lines = 10;

std::uint64_t now_us() {
  const auto since_epoch = os::wall_now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
}

int exit_code_of(const Error& error) {
  return error.code() == EACCES || error.code() == EPERM ? exit_no_rights : exit_failed;
}

int give_up(const Error& error) {
  complain(error.message());
  return exit_code_of(error);
}

std::string could_not_be_found(std::string_view unit) {
  return fmt::format("Unit {} could not be found.", base::escape(unit));
}

/// The units that the words mean: names as they are, patterns as what the instance knows. The words' order, each once.
Result<std::vector<std::string>> names_of(Instance& instance, const std::vector<std::string>& words) {
  std::vector<std::string> names;
  std::optional<std::vector<Json>> known;
  const auto add = [&](std::string name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  };
  for (const std::string& word : words) {
    if (!is_pattern(word)) {
      add(unit_name_of(word));
      continue;
    }
    if (!known) {
      PERDURE_TRY(known, instance.list());
    }
    for (const Json& unit : *known) {
      if (std::string id = text_of(unit, "Id"); ::fnmatch(word.c_str(), id.c_str(), 0) == 0) add(std::move(id));
    }
  }
  return names;
}

std::string json_line(const std::vector<Json>& units) {
  return Json(units).dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

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

Result<Json> instance_properties(Instance& instance, const std::vector<std::string>& properties) {
  Json request{{"verb", "instance"}};
  if (!properties.empty()) request["properties"] = properties;
  PERDURE_TRY(Answer answer, instance.ask(request));
  return answer.data.value("instance", Json::object());
}

int show(Instance& instance, const Arguments& arguments) {
  std::vector<Json> objects;
  if (arguments.words.empty()) {
    auto object = instance_properties(instance, arguments.properties);
    if (!object) return give_up(object.error());
    if (arguments.json)
      return print(object->dump(-1, ' ', false, Json::error_handler_t::replace) + '\n') ? exit_done : exit_failed;
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
std::string log_end(const std::string& directory, const std::string& unit, std::uint64_t lines) {
  std::string text;
  const auto shown = logbook::show_log({.log_directory = directory, .unit = unit, .last = lines, .terminal = true},
                                       [&](std::string_view part) {
                                         text += part;
                                         return true;
                                       });
  if (!shown) return fmt::format("\n(no log: {})\n", shown.error().message());
  return *shown == 0 ? "" : '\n' + text;
}

int status(Instance& instance, const Arguments& arguments, const Places& places, const Style& style) {
  if (arguments.words.empty()) {
    const auto object = instance_properties(instance, {});
    if (!object) return give_up(object.error());
    const std::string text = arguments.json ? object->dump(-1, ' ', false, Json::error_handler_t::replace) + '\n'
                                            : instance_block(*object, style, now_us());
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
      missing += could_not_be_found(id) + '\n';
      of_this = exit_no_such_unit;
    } else {
      if (!text.empty()) text += '\n';
      text += status_block(unit, style, now_us(), command_of(number_of(unit, "MainPID")));
      if (const auto lines = arguments.lines.value_or(status_log_lines); lines != 0 && !arguments.json)
        text += log_end(logs, id, lines);
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
    return print(list.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n') ? exit_done : exit_failed;
  }
  const ListOptions options{.plain = arguments.plain, .no_legend = arguments.no_legend, .all = arguments.all};
  return print(unit_table(*units, options, style)) ? exit_done : exit_failed;
}

// --- start, stop, restart, reset-failed, exit -------------------------------------------------------------------------------

/// Ctrl-C ends the waiting, not the job.
void leave_the_job(int /*number*/) {
  constexpr std::string_view message = "\nperdure: no longer waiting; what was asked for goes on\n";
  constexpr int interrupted = 130;
  os::sys::write(STDERR_FILENO, message.data(), message.size());
  ::_exit(interrupted);
}

void let_interrupts_leave_jobs() {
  struct sigaction action {};
  action.sa_handler = leave_the_job;
  os::sys::sigaction(SIGINT, &action, nullptr);
}

int exit_code_of(std::string_view refusal) {
  if (refusal == "no-such-unit") return exit_not_installed;
  return refusal == "bad-unit" ? exit_not_configured : exit_failed;
}

/// Whether the unit is where the verb wanted it: asked where nobody remembers how the job ended.
bool is_as_wanted(Verb verb, const Json& unit) {
  const std::string active = text_of(unit, "ActiveState");
  const bool is_down = active == "inactive" || active == "failed";
  return verb == Verb::Stop ? is_down : !is_down;
}

int change(Instance& instance, const Arguments& arguments) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  if (names->empty()) {
    complain("no unit has such a name; nothing was changed; see \"perdure list-units --all\"");
    return exit_not_installed;
  }
  const std::string_view verb = verb_name(arguments.verb);
  if (!arguments.no_block) let_interrupts_leave_jobs();
  const auto ends = instance.change(verb, *names, arguments.no_block ? Wait::No : Wait::Yes);
  if (!ends) return give_up(ends.error());

  int code = exit_done;
  std::vector<std::string> failed;
  for (const JobEnd& end : *ends) {
    if (!end.code.empty()) {
      complain(end.message);
      if (code == exit_done) code = exit_code_of(end.code);
    } else if (!end.result.empty() && end.result != "done") {
      failed.push_back(end.unit);
    }
  }
  if (failed.empty()) return code;
  const auto units = instance.units(failed, {});
  if (!units) return give_up(units.error());
  for (std::size_t i = 0; i < failed.size(); ++i) {
    const auto end = std::find_if(ends->begin(), ends->end(), [&](const JobEnd& e) { return e.unit == failed[i]; });
    if ((end->result == "unknown" || end->result == "unseen") && is_as_wanted(arguments.verb, (*units)[i])) continue;
    complain(job_failure(verb, (*units)[i], end->result));
    if (code == exit_done) code = exit_failed;
  }
  return code;
}

int reset_failed(Instance& instance, const Arguments& arguments) {
  const auto names = names_of(instance, arguments.words);
  if (!names) return give_up(names.error());
  if (names->empty() && !arguments.words.empty()) return exit_done;  // patterns that mean nothing
  const auto answer = instance.ask({{"verb", "reset-failed"}, {"units", *names}});
  return answer ? exit_done : give_up(answer.error());
}

/// How long the keeper may take to end once nobody listens any more.
constexpr std::chrono::seconds keeper_ends_within{10};

/// True where it has ended, or cannot be watched (it may live in another pid namespace).
bool keeper_has_ended(const UniqueFd& keeper) {
  if (!keeper) return true;
  pollfd end{keeper.get(), POLLIN, 0};
  const auto deadline = os::monotonic_now() + keeper_ends_within;
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - os::monotonic_now());
    if (left.count() <= 0) return false;
    if (os::sys::poll(&end, 1, static_cast<int>(left.count())) > 0) return true;
  }
}

int end_instance(Instance& instance, const Arguments& arguments) {
  const auto facts = instance_properties(instance, {"KeeperPID"});
  if (!facts) return give_up(facts.error());
  const std::uint64_t pid = number_of(*facts, "KeeperPID");
  const UniqueFd keeper{os::sys::pidfd_open(static_cast<pid_t>(pid), 0)};
  const auto answer = instance.ask({{"verb", "shutdown"}});
  if (!answer) return give_up(answer.error());
  if (arguments.no_block) return exit_done;
  let_interrupts_leave_jobs();
  if (const auto ended = instance.wait_for_end(); !ended) return give_up(ended.error());
  if (keeper_has_ended(keeper)) return exit_done;
  complain(fmt::format("the instance answers no more, but its keeper (pid {}) has not ended within {} s", pid,
                       keeper_ends_within.count()));
  return exit_failed;
}

// --- logs -------------------------------------------------------------------------------------------------------------------

/// Where the instance says that its logs are, if no directory was named and it can be asked.
std::string log_directory(const Places& places) {
  if (places.log_was_named) return places.log;
  auto instance = Instance::connect(places.control_socket());
  if (!instance) return places.log;
  const auto where = instance_properties(*instance, {"LogDirectory"});
  std::string directory = where ? text_of(*where, "LogDirectory") : "";
  return directory.empty() ? places.log : directory;
}

int logs(const Arguments& arguments, const Places& places) {
  const std::string unit = unit_name_of(arguments.units.empty() ? arguments.words.front() : arguments.units.front());
  const auto format = logbook::parse_show_format(arguments.output.value_or(arguments.json ? "json" : "short"));
  if (!format) {
    complain(fmt::format("logs has no format {}; it has short, short-iso, cat, json", base::quote(*arguments.output)));
    return exit_failed;
  }
  logbook::ShowOptions options{.log_directory = log_directory(places),
                               .unit = unit,
                               .format = *format,
                               .last = arguments.lines,
                               .follow = arguments.follow,
                               .terminal = ::isatty(STDOUT_FILENO) == 1};
  if (arguments.follow && !arguments.lines) options.last = status_log_lines;
  if (options.last == UINT64_MAX) options.last.reset();
  const auto shown = logbook::show_log(options, print);
  return shown ? exit_done : give_up(shown.error());
}

int help(const Arguments& arguments) {
  const auto text = help_text(arguments.words.empty() ? "" : arguments.words.front());
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
  if (arguments.verb == Verb::Help) return help(arguments);
  if (arguments.verb == Verb::Logs) return logs(arguments, places);
  auto instance = Instance::connect(places.control_socket());
  if (!instance) return give_up(instance.error());
  switch (arguments.verb) {
    case Verb::IsActive:
    case Verb::IsFailed: return tell_state(*instance, arguments);
    case Verb::Show: return show(*instance, arguments);
    case Verb::Status: return status(*instance, arguments, places, Style::for_stdout());
    case Verb::ListUnits: return list_units(*instance, arguments, Style::for_stdout());
    case Verb::Start:
    case Verb::Stop:
    case Verb::Restart: return change(*instance, arguments);
    case Verb::ResetFailed: return reset_failed(*instance, arguments);
    case Verb::Exit: return end_instance(*instance, arguments);
    default: return exit_failed;  // the others are carried out before
  }
}

}  // namespace perdure::client
