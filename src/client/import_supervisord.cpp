#include "client/import_supervisord.hpp"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/unit_text.hpp"

namespace perdure::client {
namespace {

constexpr int default_priority = 999;
constexpr int default_stop_wait_s = 10, default_start_s = 1, default_start_retries = 3;

enum class Autorestart : std::uint8_t { Never, Unexpected, Always };

/// What one program says, once for all of its processes.
struct Program {
  const SupervisordSection* section = nullptr;
  std::string name{};
  std::string group{};  ///< empty: none
  int priority = default_priority;
  int processes = 1, first_process = 0;
  bool autostart = true, is_fcgi = false;
};

/// One process: a service.
struct Process {
  const Program* program = nullptr;
  std::string unit{};  ///< "worker_00.service"
  Variables variables{};
  std::vector<std::pair<std::string, std::string>> environment{};  ///< its own
};

std::string place_of(const SupervisordSection& section, std::string_view setting) {
  const SupervisordSetting* const found = section.find(setting);
  return found == nullptr ? section.place : found->place;
}

std::optional<bool> boolean(std::string_view text) {
  for (const std::string_view yes : {"y", "yes", "t", "true", "on", "1"}) {
    if (base::equals_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"n", "no", "f", "false", "off", "0"}) {
    if (base::equals_ignoring_case(text, no)) return false;
  }
  return std::nullopt;
}

std::optional<std::string> signal_of(std::string_view text) {
  std::string word{base::trim(text)};
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  std::string_view name{word};
  base::remove_prefix(name, "SIG");
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* const known = ::sigabbrev_np(number);
    if (known != nullptr && (name == known || name == std::to_string(number))) return fmt::format("SIG{}", known);
  }
  return std::nullopt;
}

/// A comment on one line, whatever stands in the value.
std::string comment(std::string_view setting, std::string_view value, std::string_view meaning) {
  constexpr std::size_t value_max = 100;
  std::string shown = base::escape(base::trim(value.substr(0, value.find('\n'))));
  if (shown.size() > value_max) shown = shown.substr(0, value_max) + "…";
  return fmt::format("# {}={}: {}\n", setting, shown, meaning);
}

/// Settings of a program that become something, and those of which a comment tells.
constexpr auto known_settings = std::to_array<std::string_view>({"command",
                                                                 "process_name",
                                                                 "numprocs",
                                                                 "numprocs_start",
                                                                 "priority",
                                                                 "autostart",
                                                                 "startsecs",
                                                                 "startretries",
                                                                 "autorestart",
                                                                 "exitcodes",
                                                                 "stopsignal",
                                                                 "stopwaitsecs",
                                                                 "stopasgroup",
                                                                 "killasgroup",
                                                                 "user",
                                                                 "redirect_stderr",
                                                                 "stdout_logfile",
                                                                 "stdout_logfile_maxbytes",
                                                                 "stdout_logfile_backups",
                                                                 "stdout_capture_maxbytes",
                                                                 "stdout_events_enabled",
                                                                 "stdout_syslog",
                                                                 "stderr_logfile",
                                                                 "stderr_logfile_maxbytes",
                                                                 "stderr_logfile_backups",
                                                                 "stderr_capture_maxbytes",
                                                                 "stderr_events_enabled",
                                                                 "stderr_syslog",
                                                                 "environment",
                                                                 "directory",
                                                                 "umask",
                                                                 "serverurl",
                                                                 "socket",
                                                                 "socket_owner",
                                                                 "socket_mode",
                                                                 "socket_backlog"});

class Importing {
 public:
  Importing(const SupervisordFile& file, const Variables& environment) : file_(file) {
    for (const auto& [name, value] : environment) base_variables_["ENV_" + name] = value;
    base_variables_["here"] = file.directory;
    const auto host = environment.find("HOSTNAME");
    base_variables_["host_node_name"] = host == environment.end() ? "localhost" : host->second;
    units_.errors = file.errors;
    units_.remarks = file.remarks;
  }

  ImportedUnits import() {
    daemon_ = file_.find("supervisord");
    if (daemon_ == nullptr && units_.errors.empty())
      wrong(file_.directory, "there is no section [supervisord]; supervisord refuses such a file, too");
    read_daemon();
    for (const SupervisordSection& section : file_.sections) read_section(section);
    for (const SupervisordSection& section : file_.sections) read_group(section);
    for (Program& program : programs_) add_processes(program);
    for (const Process& process : processes_) write_service(process);
    for (const Program& program : programs_) write_sets(program);
    for (const auto& [group, programs] : groups_) write_group(group, programs);
    mention_what_starts();
    if (!units_.errors.empty()) units_.files.clear();
    return std::move(units_);
  }

 private:
  void wrong(std::string_view place, std::string_view what) {
    std::string line = fmt::format("{}: {}", base::escape(place), what);  // once, however many processes say it
    auto& errors = units_.errors;
    if (std::find(errors.begin(), errors.end(), line) == errors.end()) errors.push_back(std::move(line));
  }
  void remark(std::string_view place, std::string_view what) {
    units_.remarks.push_back(fmt::format("{}: {}", base::escape(place), what));
  }

  // ---- values ----

  /// The value of a setting with everything put in; nothing where it is missing, or wrong, which is said.
  std::optional<std::string> text(const SupervisordSection& section, std::string_view setting, const Variables& variables) {
    const SupervisordSetting* const found = section.find(setting);
    if (found == nullptr) return std::nullopt;
    auto value = expand_supervisord(found->value, variables);
    if (value) return *std::move(value);
    wrong(found->place, fmt::format("{}: {}", setting, value.error().message()));
    return std::nullopt;
  }

  int number(const SupervisordSection& section, std::string_view setting, const Variables& variables, int otherwise,
             int least = 0) {
    const auto value = text(section, setting, variables);
    if (!value) return otherwise;
    const auto parsed = base::parse_number<int>(*value);
    if (parsed && *parsed >= least) return *parsed;
    wrong(place_of(section, setting), fmt::format("{} wants a number, not {}", setting, base::quote(*value)));
    return otherwise;
  }

  bool yes(const SupervisordSection& section, std::string_view setting, const Variables& variables, bool otherwise) {
    const auto value = text(section, setting, variables);
    if (!value) return otherwise;
    if (const auto parsed = boolean(*value)) return *parsed;
    wrong(place_of(section, setting), fmt::format("{} wants true or false, not {}", setting, base::quote(*value)));
    return otherwise;
  }

  std::vector<std::pair<std::string, std::string>> environment(const SupervisordSection& section,
                                                               const Variables& variables) {
    const auto value = text(section, "environment", variables);
    if (!value) return {};
    auto pairs = split_supervisord_environment(*value);
    if (pairs) return *std::move(pairs);
    wrong(place_of(section, "environment"), pairs.error().message());
    return {};
  }

  /// A name that both a unit and supervisord accept.
  std::string name_of(const SupervisordSection& section) {
    std::string name{base::trim(std::string_view{section.name}.substr(section.name.find(':') + 1))};
    if (name.empty() || name.find_first_of(" :/") != std::string::npos)
      wrong(section.place, fmt::format("[{}] has no name that supervisord accepts", base::escape(section.name)));
    return name;
  }

  // ---- reading ----

  void read_daemon() {
    if (daemon_ == nullptr) return;
    daemon_environment_ = environment(*daemon_, base_variables_);
    for (const auto& [name, value] : daemon_environment_) base_variables_["ENV_" + name] = value;
    daemon_directory_ = text(*daemon_, "directory", base_variables_);
    daemon_user_ = text(*daemon_, "user", base_variables_);
    daemon_umask_ = text(*daemon_, "umask", base_variables_);
    if (const auto* const setting = daemon_->find("minfds"))
      remark(setting->place,
             "minfds is not carried over: services get the usual limits; LimitNOFILE= in a unit sets another");
  }

  void read_section(const SupervisordSection& section) {
    const std::string_view name = section.name;
    if (name.starts_with("eventlistener:")) {
      remark(section.place,
             fmt::format("[{}] was left out: event listeners speak a protocol of supervisord's own", base::escape(name)));
    } else if (name == "inet_http_server") {
      remark(section.place, "[inet_http_server] was left out: perdure has no web server");
    } else if (name.starts_with("program:") || name.starts_with("fcgi-program:")) {
      Program program{.section = &section, .name = name_of(section), .is_fcgi = name.starts_with("fcgi-program:")};
      Variables variables = base_variables_;
      variables["program_name"] = variables["group_name"] = program.name;
      program.priority = number(section, "priority", variables, default_priority, -1'000'000);
      program.processes = number(section, "numprocs", variables, 1, 1);
      program.first_process = number(section, "numprocs_start", variables, 0);
      program.autostart = yes(section, "autostart", variables, true);
      if (program.processes > imported_processes_max) {
        wrong(place_of(section, "numprocs"),
              fmt::format("{} processes; {} is the most", program.processes, imported_processes_max));
        program.processes = 1;
      }
      programs_.push_back(std::move(program));
    }
  }

  void read_group(const SupervisordSection& section) {
    if (!section.name.starts_with("group:")) return;
    const std::string name = name_of(section);
    const auto list = text(section, "programs", base_variables_);
    if (!list) return wrong(section.place, fmt::format("[{}] has no programs=", base::escape(section.name)));
    if (const auto* const priority = section.find("priority"); priority != nullptr)
      remark(priority->place, "the priority of a group is not carried over; those of its programs are");
    groups_.emplace_back(name, std::vector<const Program*>{});
    for (const std::string_view part : base::split(*list, ',')) {
      const std::string_view wanted = base::trim(part);
      const auto program =
          std::find_if(programs_.begin(), programs_.end(), [&](const Program& p) { return p.name == wanted; });
      if (program == programs_.end()) {
        wrong(place_of(section, "programs"),
              fmt::format("[{}] names {}, and there is no such program", base::escape(section.name), base::quote(wanted)));
        continue;
      }
      program->group = name;
      groups_.back().second.push_back(&*program);
    }
  }

  void add_processes(const Program& program) {
    for (int i = 0; i < program.processes; ++i) {
      Process process{.program = &program, .variables = base_variables_};
      process.variables["program_name"] = program.name;
      process.variables["group_name"] = program.group.empty() ? program.name : program.group;
      process.variables["process_num"] = std::to_string(program.first_process + i);
      process.variables["numprocs"] = std::to_string(program.processes);
      process.environment = environment(*program.section, process.variables);
      for (const auto& [name, value] : process.environment) process.variables["ENV_" + name] = value;
      const auto name = text(*program.section, "process_name", process.variables);
      if (program.processes > 1 && !name)
        return wrong(program.section->place,
                     fmt::format("{} processes need a process_name= with %(process_num)d", program.processes));
      // One process is called as its program is: its own name is for lists of several.
      process.unit = unit_stem_of(program.processes == 1 ? program.name : *name) + ".service";
      if (!names_.insert(process.unit).second)
        return wrong(place_of(*program.section, "process_name"),
                     fmt::format("two processes would both become {}", process.unit));
      processes_.push_back(std::move(process));
    }
  }

  // ---- writing ----

  /// A path as supervisord would resolve it.
  std::string resolved(std::string path, const std::optional<std::string>& directory) const {
    if (path.starts_with('/')) return path;
    if (path.starts_with("./")) path.erase(0, 2);
    return directory.value_or(daemon_directory_.value_or(file_.directory)) + '/' + path;
  }

  void write_service(const Process& process);
  void write_sets(const Program& program);
  void write_group(const std::string& group, const std::vector<const Program*>& programs);
  void mention_what_starts();

  std::string unit_section(const Process& process);
  std::string command(const Process& process, const std::optional<std::string>& directory);
  Autorestart autorestart(const Process& process);
  std::string start_limits(const Process& process);
  std::string restarting(const Process& process);
  std::string stopping(const Process& process);
  std::string output(const Process& process, std::string_view stream, bool is_joined, const std::string& first);
  std::string output_lines(const Process& process);
  std::string surroundings(const Process& process, const std::optional<std::string>& directory);
  std::string left_over(const Process& process);
  void add_file(std::string name, std::string text, std::string_view place);

  const SupervisordFile& file_;
  const SupervisordSection* daemon_ = nullptr;
  Variables base_variables_{};
  std::vector<std::pair<std::string, std::string>> daemon_environment_{};
  std::optional<std::string> daemon_directory_{}, daemon_user_{}, daemon_umask_{};
  std::vector<Program> programs_{};
  std::vector<std::pair<std::string, std::vector<const Program*>>> groups_{};
  std::vector<Process> processes_{};
  std::set<std::string, std::less<>> names_{};
  ImportedUnits units_{};
};

std::string Importing::unit_section(const Process& process) {
  const Program& program = *process.program;
  std::string text = fmt::format("[Unit]\nDescription={}\n", plain_value(process.unit.substr(0, process.unit.rfind('.'))));
  std::optional<int> before;
  for (const Program& other : programs_) {
    if (other.priority < program.priority && (!before || other.priority > *before)) before = other.priority;
  }
  if (before) {
    text += comment("priority", std::to_string(program.priority),
                    "those with the next lower number are started before, and stopped after");
    for (const Process& other : processes_) {
      if (other.program->priority == *before) text += fmt::format("After={}\n", other.unit);
    }
  }
  if (!program.group.empty()) text += fmt::format("PartOf={}.target\n", unit_stem_of(program.group));
  else if (program.processes > 1) text += fmt::format("PartOf={}.target\n", unit_stem_of(program.name));
  return text + start_limits(process);
}

std::string Importing::command(const Process& process, const std::optional<std::string>& directory) {
  const SupervisordSection& section = *process.program->section;
  const auto line = text(section, "command", process.variables);
  if (!line) {
    if (section.find("command") == nullptr)
      wrong(section.place, fmt::format("[{}] has no command=", base::escape(section.name)));
    return {};
  }
  auto words = split_supervisord_command(*line);
  if (!words || words->empty()) {
    wrong(place_of(section, "command"), words ? "the command is empty" : words.error().message());
    return {};
  }
  std::string text;
  std::string& program = words->front();
  if (!program.starts_with('/') && program.find('/') != std::string::npos) {
    const std::string as_written = program;
    program = resolved(program, directory);
    text += comment("command", as_written, "the program's path was made absolute");
  } else if (!program.starts_with('/') && std::string_view{"-@:+!"}.find(program.front()) != std::string_view::npos) {
    wrong(place_of(section, "command"),
          fmt::format("{} cannot be the name of a program in a unit file; write its path", base::quote(program)));
  }
  return text + "ExecStart=" + command_text(*words) + '\n';
}

Autorestart Importing::autorestart(const Process& process) {
  const SupervisordSection& section = *process.program->section;
  const std::string word = text(section, "autorestart", process.variables).value_or("unexpected");
  if (const auto as_boolean = boolean(word)) return *as_boolean ? Autorestart::Always : Autorestart::Never;
  if (!base::equals_ignoring_case(word, "unexpected"))
    wrong(place_of(section, "autorestart"),
          fmt::format("autorestart wants true, false or unexpected, not {}", base::quote(word)));
  return Autorestart::Unexpected;
}

/// What stands in [Unit]: how many starts may fail.
std::string Importing::start_limits(const Process& process) {
  const SupervisordSection& section = *process.program->section;
  const int retries = number(section, "startretries", process.variables, default_start_retries),
            start_s = number(section, "startsecs", process.variables, default_start_s);
  if (autorestart(process) == Autorestart::Never) {
    if (section.find("startretries") == nullptr || retries == 0) return {};
    return comment("startretries", std::to_string(retries),
                   "not carried over; supervisord tries again although autorestart=false");
  }
  if (start_s == 0)
    return comment("startsecs", "0", "no start counts as failed, so there is no limit") + "StartLimitIntervalSec=0\n";
  // As long as so many starts can take, one after the other, each of which ends just too early.
  const std::int64_t interval_s = (std::int64_t{retries} + 1) * (std::int64_t{start_s} + 1);
  return comment(
             "startsecs", std::to_string(start_s),
             "an earlier end is a failed start; supervisord waits longer before each try, here the pause stays the same") +
         fmt::format("StartLimitIntervalSec={}\nStartLimitBurst={}\n", interval_s, std::int64_t{retries} + 1);
}

std::string Importing::restarting(const Process& process) {
  const SupervisordSection& section = *process.program->section;
  std::set<int> codes;
  const std::string list = text(section, "exitcodes", process.variables).value_or("0");
  for (const std::string_view part : base::split(list, ',')) {
    const auto code = base::parse_number<int>(base::trim(part));
    if (code && *code >= 0 && *code <= 255) codes.insert(*code);
    else if (!base::trim(part).empty())
      wrong(place_of(section, "exitcodes"), fmt::format("exitcodes wants numbers from 0 to 255, not {}", base::quote(part)));
  }
  const Autorestart restart = autorestart(process);
  std::string lines;
  switch (restart) {
    case Autorestart::Always: lines += "Restart=always\n"; break;
    case Autorestart::Never: lines += "Restart=no\n"; break;
    case Autorestart::Unexpected:
      // supervisord expects exit codes only: an end by a signal is never one of them.
      lines += "Restart=on-failure\n";
      lines += fmt::format("RestartForceExitStatus={}SIGHUP SIGINT SIGTERM SIGPIPE\n", codes.contains(0) ? "" : "0 ");
      break;
  }
  std::string others;
  for (const int code : codes) others += code == 0 ? "" : (others.empty() ? "" : " ") + std::to_string(code);
  if (!others.empty()) lines += fmt::format("SuccessExitStatus={}\n", others);
  return lines + (restart == Autorestart::Never ? "" : "RestartSec=1\n");
}

std::string Importing::stopping(const Process& process) {
  const SupervisordSection& section = *process.program->section;
  const Variables& variables = process.variables;
  std::string lines;
  if (const auto word = text(section, "stopsignal", variables)) {
    const auto signal = signal_of(*word);
    if (!signal) wrong(place_of(section, "stopsignal"), fmt::format("stopsignal: {} is no signal", base::quote(*word)));
    else if (*signal != "SIGTERM") lines += fmt::format("KillSignal={}\n", *signal);
  }
  lines += fmt::format("TimeoutStopSec={}\n", number(section, "stopwaitsecs", variables, default_stop_wait_s));
  const bool stops_group = yes(section, "stopasgroup", variables, false),
             kills_group = yes(section, "killasgroup", variables, stops_group);
  if (stops_group && !kills_group)
    wrong(place_of(section, "killasgroup"), "stopasgroup=true goes with killasgroup=true only");
  if (stops_group) return lines + "KillMode=control-group\n";
  if (!kills_group)
    lines +=
        "# killasgroup=false: supervisord leaves the children of a process running; here they end with it (KillMode=process "
        "leaves them, too)\n";
  return lines + "KillMode=mixed\n";
}

/// Where one of the two outputs goes. `first`: what was said for stdout, when it is stderr's turn.
std::string Importing::output(const Process& process, std::string_view stream, bool is_joined, const std::string& first) {
  const SupervisordSection& section = *process.program->section;
  const std::string setting = fmt::format("{}_logfile", stream),
                    directive = stream == "stdout" ? "StandardOutput" : "StandardError";
  std::string lines;
  for (const std::string_view other : {"capture_maxbytes", "events_enabled"}) {
    const std::string name = fmt::format("{}_{}", stream, other);
    if (const auto* const found = section.find(name);
        found != nullptr && found->value != "0" && boolean(found->value) != false)
      lines += comment(name, found->value, "not carried over: there are no events");
  }
  const std::string syslog = fmt::format("{}_syslog", stream);
  if (section.find(syslog) != nullptr && yes(section, syslog, process.variables, false))
    lines += comment(syslog, "true", "not carried over: the output is in the unit's own log");
  if (is_joined) return lines + "StandardError=inherit\n";
  const std::string value = text(section, setting, process.variables).value_or("AUTO");
  const auto is = [&](std::string_view word) { return base::equals_ignoring_case(value, word); };
  if (is("none")) return lines + directive + "=null\n";
  // What is not said goes to the unit's log; stderr follows stdout, unless it is told not to.
  const std::string to_journal = stream == "stderr" && !first.empty() ? "StandardError=journal\n" : "";
  if (is("auto")) return lines + to_journal;
  if (is("syslog"))
    return lines + comment(setting, value, "not carried over: the output is in the unit's own log") + to_journal;
  if (value == "/dev/stdout" || value == "/dev/stderr" || value.starts_with("/dev/fd/") ||
      value.starts_with("/proc/self/fd/"))
    return lines +
           comment(setting, value, "it is in the unit's own log, and on perdure's standard output with --console=prefix") +
           to_journal;
  const std::string maxbytes = fmt::format("{}_maxbytes", setting), backups = fmt::format("{}_backups", setting);
  const std::string limit = text(section, maxbytes, process.variables).value_or("50MB");
  if (limit != "0")
    lines += comment(maxbytes, limit,
                     fmt::format("nothing rotates the file below; without that line the output is in the unit's own log, "
                                 "which is rotated ({}={})",
                                 backups, text(section, backups, process.variables).value_or("10")));
  return lines + fmt::format("{}=append:{}\n", directive, plain_value(resolved(value, std::nullopt)));
}

std::string Importing::output_lines(const Process& process) {
  const std::string first = output(process, "stdout", false, {});
  const bool says_where = first.find("StandardOutput=") != std::string::npos;
  return first + output(process, "stderr",
                        yes(*process.program->section, "redirect_stderr", process.variables, false) && says_where,
                        says_where ? first : "");
}

std::string Importing::surroundings(const Process& process, const std::optional<std::string>& directory) {
  const SupervisordSection& section = *process.program->section;
  std::string lines;
  if (const auto where = directory ? directory : daemon_directory_)
    lines += fmt::format("WorkingDirectory={}\n", plain_value(resolved(*where, std::nullopt)));
  auto user = text(section, "user", process.variables);
  if (!user) user = daemon_user_;
  if (user && *user != "root" && *user != "0") lines += fmt::format("User={}\n", plain_value(*user));
  auto umask = text(section, "umask", process.variables);
  if (!umask) umask = daemon_umask_;
  if (umask) {
    const bool is_octal = !umask->empty() && umask->size() <= 4 &&
                          std::all_of(umask->begin(), umask->end(), [](char c) { return c >= '0' && c <= '7'; });
    if (is_octal) lines += fmt::format("UMask={:0>4}\n", *umask);
    else wrong(place_of(section, "umask"), fmt::format("umask wants an octal number, not {}", base::quote(*umask)));
  }
  auto variables = daemon_environment_;
  for (const auto& own : process.environment) {
    std::erase_if(variables, [&](const auto& known) { return known.first == own.first; });
    variables.push_back(own);
  }
  for (const auto& [name, value] : variables) {
    const bool is_name = !name.empty() && !base::is_digit(name.front()) && std::all_of(name.begin(), name.end(), [](char c) {
      return c == '_' || base::is_digit(c) || base::is_lower(base::to_lower(c));
    });
    if (is_name) lines += fmt::format("Environment={}\n", setting_word(name + '=' + value));
    else lines += comment("environment", name, "not carried over: no variable can have this name in a unit file");
  }
  return lines;
}

/// Comments on what became nothing.
std::string Importing::left_over(const Process& process) {
  const SupervisordSection& section = *process.program->section;
  std::string lines;
  if (const auto* const url = section.find("serverurl"))
    lines += comment("serverurl", url->value, "not carried over: services ask perdure over its control socket");
  if (const auto* const name = section.find("process_name"); name != nullptr && process.program->processes == 1) {
    const auto shown = text(section, "process_name", process.variables);
    if (shown && *shown != process.program->name)
      lines += comment("process_name", *shown, "the unit is called as the program is");
  }
  for (const auto& [name, setting] : section.settings) {
    if (std::find(known_settings.begin(), known_settings.end(), name) == known_settings.end())
      lines += comment(name, setting.value, "supervisord does not know this either");
    // Whoever reads the unit elsewhere should know that the value was another one there.
    for (std::size_t at = 0; (at = setting.value.find("%(ENV_", at)) != std::string::npos; ++at) {
      const std::string variable = setting.value.substr(at + 6, setting.value.find(')', at) - at - 6);
      const std::string line = fmt::format("# {} had the value of the variable {} put in when this was written\n",
                                           base::escape(name), base::escape(variable));
      if (lines.find(line) == std::string::npos) lines += line;
    }
  }
  return lines;
}

void Importing::add_file(std::string name, std::string text, std::string_view place) {
  const bool is_known =
      std::any_of(units_.files.begin(), units_.files.end(), [&](const auto& file) { return file.name == name; });
  if (is_known) return wrong(place, fmt::format("two sections would both become {}", name));
  units_.files.push_back({std::move(name), std::move(text)});
}

void Importing::write_service(const Process& process) {
  const Program& program = *process.program;
  const auto directory = text(*program.section, "directory", process.variables);
  std::string text =
      fmt::format("# Written by \"perdure import supervisord\" from [{}] of {}.\n", base::escape(program.section->name),
                  base::escape(program.section->place.substr(0, program.section->place.rfind(':'))));
  text += left_over(process) + '\n' + unit_section(process) + "\n[Service]\n";
  text += command(process, directory) + surroundings(process, directory);
  if (program.is_fcgi) text += fmt::format("StandardInput=socket\nSockets={}.socket\n", unit_stem_of(program.name));
  text += output_lines(process) + restarting(process) + stopping(process);
  // fcgi: what is not said would go to the socket, too.
  if (program.is_fcgi && text.find("StandardOutput=") == std::string::npos) text += "StandardOutput=journal\n";
  text += program.autostart ? "\n[Install]\nWantedBy=multi-user.target\n"
                            : "\n# autostart=false: there is no [Install], so nothing but a request starts it\n";
  add_file(process.unit, std::move(text), program.section->place);
}

void Importing::write_sets(const Program& program) {
  const std::string stem = unit_stem_of(program.name);
  if (program.is_fcgi) {
    Variables variables = base_variables_;
    variables["program_name"] = variables["group_name"] = program.name;
    const auto socket = text(*program.section, "socket", variables);
    if (!socket)
      return wrong(program.section->place, fmt::format("[{}] has no socket=", base::escape(program.section->name)));
    std::string_view address{*socket};
    std::string listen;
    if (base::remove_prefix(address, "unix://")) listen = address;
    else if (base::remove_prefix(address, "tcp://")) listen = address.starts_with("*:") ? address.substr(2) : address;
    else
      wrong(place_of(*program.section, "socket"),
            fmt::format("socket wants unix://PATH or tcp://HOST:PORT, not {}", base::quote(*socket)));
    std::string lines = fmt::format(
        "# Written by \"perdure import supervisord\" from [{}].\n\n[Unit]\nDescription={}\n\n[Socket]\nListenStream={}\n",
        base::escape(program.section->name), plain_value(program.name), plain_value(listen));
    if (const auto owner = text(*program.section, "socket_owner", variables)) {
      lines += fmt::format("SocketUser={}\n", plain_value(owner->substr(0, owner->find(':'))));
      if (owner->find(':') != std::string::npos)
        lines += fmt::format("SocketGroup={}\n", plain_value(owner->substr(owner->find(':') + 1)));
    }
    lines += fmt::format("SocketMode={:0>4}\n", text(*program.section, "socket_mode", variables).value_or("0700"));
    if (const auto backlog = text(*program.section, "socket_backlog", variables))
      lines += fmt::format("Backlog={}\n", plain_value(*backlog));
    add_file(stem + ".socket", std::move(lines), program.section->place);
  }
  if (program.processes == 1 || program.group == program.name) return;
  std::string text =
      fmt::format("# Written by \"perdure import supervisord\": the {} processes of [{}].\n\n[Unit]\nDescription={}\n",
                  program.processes, base::escape(program.section->name), plain_value(program.name));
  for (const Process& process : processes_) {
    if (process.program == &program) text += fmt::format("Wants={}\n", process.unit);
  }
  add_file(stem + ".target", std::move(text), program.section->place);
}

void Importing::write_group(const std::string& group, const std::vector<const Program*>& programs) {
  std::string text = fmt::format("# Written by \"perdure import supervisord\" from [group:{}].\n\n[Unit]\nDescription={}\n",
                                 base::escape(group), plain_value(group));
  for (const Process& process : processes_) {
    if (std::find(programs.begin(), programs.end(), process.program) != programs.end())
      text += fmt::format("Wants={}\n", process.unit);
  }
  const SupervisordSection* const section = file_.find("group:" + group);
  add_file(unit_stem_of(group) + ".target", std::move(text), section == nullptr ? file_.directory : section->place);
}

void Importing::mention_what_starts() {
  const bool has_one = std::any_of(programs_.begin(), programs_.end(), [](const Program& p) { return p.autostart; });
  if (programs_.empty()) remark(file_.directory, "there is no [program:…] in it");
  else if (!has_one)
    remark(file_.directory,
           "no program has autostart=true, so no unit has [Install]: \"perdure run DIRECTORY\" would start all of them; "
           "name those to start");
}

}  // namespace

ImportedUnits import_supervisord(const std::string& path, const Variables& environment) {
  Variables prefixed;
  for (const auto& [name, value] : environment) prefixed["ENV_" + name] = value;
  const SupervisordFile file = read_supervisord_file(path, prefixed);
  return Importing{file, environment}.import();
}

}  // namespace perdure::client
