#include "client/rendering.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::client {
namespace {

constexpr std::uint64_t cld_exited = 1, cld_killed = 2, cld_dumped = 3;  // waitid(2)

struct Look {
  std::string_view mark;
  Colour colour;
};

Look look_of(std::string_view active_state) noexcept {
  if (active_state == "active") return {"●", Colour::Green};
  if (active_state == "reloading") return {"↻", Colour::Green};
  if (active_state == "failed") return {"×", Colour::Red};
  if (active_state == "activating" || active_state == "deactivating") return {"●", Colour::None};
  return {"○", Colour::None};
}

std::string line(std::string_view name, std::string_view text) { return fmt::format("{:>11}: {}\n", name, text); }

std::string since(std::uint64_t realtime_us, std::uint64_t now_us) {
  if (realtime_us == 0) return {};
  return fmt::format(" since {}; {}", moment_text(realtime_us), ago_text(realtime_us, now_us));
}

std::uint64_t since_us(const Json& unit, std::string_view active_state) {
  if (active_state == "active" || active_state == "reloading") return number_of(unit, "ActiveEnterTimestamp");
  if (active_state == "inactive" || active_state == "failed") return number_of(unit, "InactiveEnterTimestamp");
  return number_of(unit, "StateChangeTimestamp");
}

/// "(code=exited, status=1/FAILURE)"; empty where no main process has ended.
std::string ending(const Json& unit) {
  const int status = static_cast<int>(number_of(unit, "ExecMainStatus"));
  switch (number_of(unit, "ExecMainCode")) {
    case cld_exited: {
      const auto name = exit_code_name(status);
      return fmt::format("(code=exited, status={}{}{})", status, name.empty() ? "" : "/", name);
    }
    case cld_killed: return fmt::format("(code=killed, signal={})", signal_text(status));
    case cld_dumped: return fmt::format("(code=dumped, signal={})", signal_text(status));
    default: break;
  }
  const auto known = unit.find("ExecMainExitKnown");
  const bool is_unknown = known != unit.end() && known->is_boolean() && !known->get<bool>();
  return is_unknown ? "(code=unknown: it ended while nobody could see how)" : "";
}

std::string shown(const std::string& name, const Json& value) {
  if (value.is_string()) return base::escape(value.get_ref<const std::string&>());
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_integer() && name.ends_with("Timestamp")) {
    const auto moment = value.get<std::uint64_t>();
    return moment == 0 ? "" : moment_text(moment);
  }
  if (value.is_array()) {
    std::string text;
    for (const Json& element : value) text += (text.empty() ? "" : "; ") + shown(name, element);
    return text;
  }
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// One block for each directory: "Drop-In: /etc/systemd/system/web.service.d", and below it "└─10-a.conf, 20-b.conf".
std::string drop_in_lines(const Json& unit) {
  constexpr std::string_view indent = "             ";
  const auto paths = unit.find("DropInPaths");
  if (paths == unit.end() || !paths->is_array()) return {};
  std::map<std::string, std::string> names;  // by directory
  for (const Json& element : *paths) {
    const std::string path = element.is_string() ? element.get<std::string>() : std::string{};
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) continue;
    std::string& list = names[path.substr(0, slash)];
    list += (list.empty() ? "" : ", ") + base::escape(path.substr(slash + 1));
  }
  std::string text;
  for (const auto& [directory, list] : names) {
    text += text.empty() ? line("Drop-In", base::escape(directory)) : fmt::format("{}{}\n", indent, base::escape(directory));
    text += fmt::format("{}└─{}\n", indent, list);
  }
  return text;
}

std::string remark_lines(const Json& object, const char* name, std::string_view title) {
  std::string text;
  const auto remarks = object.find(name);
  if (remarks == object.end() || !remarks->is_array()) return text;
  for (const Json& remark : *remarks) text += line(title, shown(name, remark));
  return text;
}

}  // namespace

std::string status_block(const Json& unit, const Style& style, std::uint64_t now_us, std::string_view command) {
  const std::string id = text_of(unit, "Id"), description = text_of(unit, "Description"),
                    active = text_of(unit, "ActiveState"), sub = text_of(unit, "SubState"), result = text_of(unit, "Result"),
                    load = text_of(unit, "LoadState"), load_error = text_of(unit, "LoadError"),
                    file = text_of(unit, "FragmentPath");
  const Look look = look_of(active);
  std::string text = fmt::format("{} {}", style.paint(look.colour, look.mark), base::escape(id));
  if (!description.empty() && description != id) text += " - " + base::escape(description);
  text += '\n';

  std::string loaded = style.paint(load == "loaded" ? Colour::None : Colour::Red, load);
  if (!file.empty()) loaded += fmt::format(" ({})", base::escape(file));
  text += line("Loaded", loaded);
  text += drop_in_lines(unit);
  if (!load_error.empty()) text += line("Fault", base::escape(load_error));

  std::string state = sub.empty() || sub == active ? active : fmt::format("{} ({})", active, sub);
  if (!result.empty() && result != "success") state += fmt::format(" (Result: {})", result);
  text += line("Active", style.paint(look.colour, state) + since(since_us(unit, active), now_us));

  if (const auto job = number_of(unit, "Job"); job != 0)
    text += line("Job", fmt::format("{} {}", job, text_of(unit, "JobType")));
  if (const auto pid = number_of(unit, "MainPID"); pid != 0) {
    text += line("Main PID", fmt::format("{}{}", pid, command.empty() ? "" : fmt::format(" ({})", base::escape(command))));
  } else if (const std::string how = ending(unit); !how.empty()) {
    const std::uint64_t ended = number_of(unit, "ExecMainPID");  // 0: nobody remembers
    text += line("Main PID", (ended == 0 ? "" : fmt::format("{} ", ended)) + how);
    const bool has_exited = number_of(unit, "ExecMainCode") == cld_exited;
    const auto hint = exit_code_hint(has_exited ? static_cast<int>(number_of(unit, "ExecMainStatus")) : 0);
    if (!hint.empty()) text += line("Hint", hint);
  }
  if (const auto restarts = number_of(unit, "NRestarts"); restarts != 0) text += line("Restarts", std::to_string(restarts));
  if (const std::string group = text_of(unit, "ControlGroup"); !group.empty()) text += line("CGroup", base::escape(group));
  return text + remark_lines(unit, "Remarks", "Remark");
}

std::string instance_block(const Json& instance, const Style& style, std::uint64_t now_us) {
  const std::string state = text_of(instance, "SystemState");
  const Colour colour = state == "running" ? Colour::Green : state == "degraded" ? Colour::Red : Colour::None;
  const std::uint64_t started = number_of(instance, "StartTimestamp"), restarts = number_of(instance, "ManagerRestarts");
  std::string text = fmt::format("{} perdure {}\n", style.paint(colour, "●"), base::escape(text_of(instance, "Version")));
  text += line("State", style.paint(colour, state));
  text += line("Units", fmt::format("{} loaded, {} active, {} failed", number_of(instance, "NServices"),
                                    number_of(instance, "NActive"), number_of(instance, "NFailedUnits")));
  text += line("Jobs", std::to_string(number_of(instance, "NJobs")));
  if (started != 0) text += line("Since", fmt::format("{}; {}", moment_text(started), ago_text(started, now_us)));
  const std::uint64_t orphans = number_of(instance, "OrphansReaped");
  text += line("Keeper PID", fmt::format("{}{}", number_of(instance, "KeeperPID"),
                                         orphans == 0 ? "" : fmt::format(" (orphans reaped: {})", orphans)));
  text += line("Manager PID", fmt::format("{}{}", number_of(instance, "ManagerPID"),
                                          restarts == 0 ? "" : fmt::format(" (restarts: {})", restarts)));
  text += line("Tracking", base::escape(text_of(instance, "ProcessTracking")));
  if (const std::string group = text_of(instance, "ControlGroup"); !group.empty())
    text += line("CGroup", base::escape(group));
  text += line("Runtime", base::escape(text_of(instance, "RuntimeDirectory")));
  text += line("State dir", base::escape(text_of(instance, "StateDirectory")));
  text += line("Logs", base::escape(text_of(instance, "LogDirectory")));
  return text + remark_lines(instance, "Degraded", "Degraded") + remark_lines(instance, "Remarks", "Remark");
}

std::string property_lines(const Json& object, Names names, Empty empty) {
  std::string text;
  for (const auto& [name, value] : object.items()) {
    const std::string as_text = shown(name, value);
    if (as_text.empty() && empty == Empty::Hide) continue;
    if (names == Names::Show) text += name + '=';
    text += as_text + '\n';
  }
  return text;
}

std::string unit_table(const std::vector<Json>& units, const ListOptions& options, const Style& style) {
  constexpr std::size_t columns = 4;  // and the description, whose width does not matter
  constexpr std::array<const char*, columns + 1> properties{"Id", "LoadState", "ActiveState", "SubState", "Description"};
  constexpr std::array<std::string_view, columns + 1> titles{"UNIT", "LOAD", "ACTIVE", "SUB", "DESCRIPTION"};
  std::array<std::size_t, columns> widths{};
  for (std::size_t i = 0; i < columns; ++i) {
    widths[i] = options.no_legend ? 0 : titles[i].size();
    for (const Json& unit : units) widths[i] = std::max(widths[i], base::escape(text_of(unit, properties[i])).size());
  }
  std::string text;
  const std::string_view indent = options.plain ? "" : "  ";
  if (!options.no_legend) {
    std::string header{indent};
    for (std::size_t i = 0; i < columns; ++i) header += fmt::format("{:<{}} ", titles[i], widths[i]);
    header += titles[columns];
    text += style.has_colours() ? fmt::format("\x1b[0;4m{}\x1b[0m\n", header) : header + '\n';
  }
  for (const Json& unit : units) {
    const bool has_failed = text_of(unit, "ActiveState") == "failed", is_loaded = text_of(unit, "LoadState") == "loaded";
    const Colour colour = has_failed ? Colour::Red : is_loaded ? Colour::None : Colour::Yellow;
    if (!options.plain) text += colour == Colour::None ? "  " : style.paint(colour, "●") + ' ';
    for (std::size_t i = 0; i < columns; ++i) {
      // Of one that has failed the name and the states are red; of one that is not loaded, why.
      const bool is_red = has_failed ? i != 1 : !is_loaded && i == 1;
      text += style.paint(is_red ? Colour::Red : Colour::None,
                          fmt::format("{:<{}}", base::escape(text_of(unit, properties[i])), widths[i])) +
              ' ';
    }
    text += base::escape(text_of(unit, properties[columns])) + '\n';
  }
  if (options.no_legend) return text;
  text += fmt::format("\n{}\n", style.paint(Colour::Bold, fmt::format("{} loaded units listed.", units.size())));
  if (!options.all) text += style.paint(Colour::Grey, "Inactive units are shown with --all.") + '\n';
  return text;
}

std::string job_table(const Json& jobs, const ListOptions& options, const Style& style) {
  constexpr std::size_t columns = 4;
  constexpr std::array<std::string_view, columns> titles{"JOB", "UNIT", "TYPE", "STATE"};
  if (jobs.empty()) return options.no_legend ? "" : "No jobs running.\n";
  std::vector<std::array<std::string, columns>> rows;
  std::array<std::size_t, columns> widths{};
  for (std::size_t i = 0; i < columns; ++i) widths[i] = options.no_legend ? 0 : titles[i].size();
  for (const Json& job : jobs) {
    rows.push_back({std::to_string(number_of(job, "id")), base::escape(text_of(job, "unit")),
                    base::escape(text_of(job, "type")), base::escape(text_of(job, "state"))});
    for (std::size_t i = 0; i < columns; ++i) widths[i] = std::max(widths[i], rows.back()[i].size());
  }
  std::string text;
  if (!options.no_legend) {
    const std::string header =
        fmt::format("{:<{}} {:<{}} {:<{}} {}", titles[0], widths[0], titles[1], widths[1], titles[2], widths[2], titles[3]);
    text += style.has_colours() ? fmt::format("\x1b[0;4m{}\x1b[0m\n", header) : header + '\n';
  }
  for (const auto& row : rows)
    text += fmt::format("{:>{}} {:<{}} {:<{}} {}\n", row[0], widths[0], row[1], widths[1], row[2], widths[2], row[3]);
  if (!options.no_legend)
    text += fmt::format(
        "\n{}\n", style.paint(Colour::Bold, fmt::format("{} job{} listed.", rows.size(), rows.size() == 1 ? "" : "s")));
  return text;
}

std::string file_texts(const Json& files, const Style& style) {
  std::string text;
  for (const Json& file : files) {
    if (!text.empty()) text += '\n';
    text += style.paint(Colour::Bold, "# " + base::escape(text_of(file, "path"))) + '\n';
    // Line by line: what stands in a file must not drive a terminal.
    const std::string content = text_of(file, "text");
    for (const std::string_view line : base::lines(content)) {
      const auto parts = base::split(line, '\t');
      for (std::size_t at = 0; at < parts.size(); ++at) text += (at == 0 ? "" : "\t") + base::escape(parts[at]);
      text += '\n';
    }
  }
  return text;
}

namespace {

/// Deeper trees are cut: the instance says each unit once, but who speaks may be of another version.
constexpr std::size_t depth_max = 64;

/// `stem`: what stands before the children of this unit.
void add_children(std::string& text, const Json& unit, std::string stem, bool is_plain, const Style& style,
                  std::size_t depth) {
  const auto children = unit.is_object() ? unit.find("children") : unit.end();
  if (children == unit.end() || !children->is_array() || depth == depth_max) return;
  for (std::size_t i = 0; i < children->size(); ++i) {
    const Json& child = (*children)[i];
    const bool is_last = i + 1 == children->size();
    if (!is_plain) {
      const Look look = look_of(text_of(child, "state"));
      text += style.paint(look.colour, look.mark) + ' ';
    }
    text += fmt::format("{}{}{}\n", stem, is_plain ? "  " : is_last ? "└─" : "├─", base::escape(text_of(child, "unit")));
    add_children(text, child, stem + (is_plain || is_last ? "  " : "│ "), is_plain, style, depth + 1);
  }
}

}  // namespace

std::string dependency_tree(const Json& roots, bool is_plain, const Style& style) {
  std::string text;
  for (const Json& root : roots) {
    if (!text.empty()) text += '\n';
    text += base::escape(text_of(root, "unit")) + '\n';
    add_children(text, root, "", is_plain, style, 0);
  }
  return text;
}

std::string job_failure(std::string_view verb, const Json& unit, std::string_view result) {
  const std::string id = base::escape(text_of(unit, "Id")), why = text_of(unit, "Result"), how = ending(unit);
  const std::string_view done = verb == "stop" ? "stop" : verb == "reload" ? "reload" : "start";
  std::string text = fmt::format("{} did not {}: ", id, done);
  if (result == "unseen")
    text = fmt::format("whether {} was started is not known, for the manager ended meanwhile; it was not asked again: ", id);
  if (result == "canceled") text += "another request took the place of this one";
  else if (result == "timeout") text += "it took too long";
  else if (result == "refused") text += "the instance did not take the request";
  else if (why == "start-limit-hit")
    text += fmt::format("it was started too often in too short a time; \"perdure reset-failed {}\" lifts the limit", id);
  else if (how.empty()) text += fmt::format("it is {}", text_of(unit, "ActiveState"));
  else text += fmt::format("its main process ended {}", how);
  if (!why.empty() && why != "success") text += fmt::format(" (Result: {})", why);
  return text + fmt::format("; see \"perdure status {}\" and \"perdure logs -u {}\"", id, id);
}

}  // namespace perdure::client
