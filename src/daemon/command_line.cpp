#include "daemon/command_line.hpp"

#include <algorithm>
#include <deque>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::daemon {
namespace {

bool is_flag_field(const detail::FieldEntry& field) { return field.type == "yes|no"; }

/// The text below the options in --help.
std::string footer(const Options& options) {
  if (options.verbs == Verbs::Off) return {};
  std::string text = "Verbs (first word):\n";
  for (const auto& [verb, help] : built_in_verbs()) text += fmt::format("  {:<12} {}\n", verb, help);
  for (const ControlCommand& command : options.commands) text += fmt::format("  {:<12} {}\n", command.name, command.help);
  text += fmt::format("\nExamples:\n  {0} --foreground        run here; Ctrl-C stops it\n", options.name);
  text += fmt::format("  {0} start               run in the background\n  {0} status; {0} stop", options.name);
  return text;
}

/// "; did you mean X?", or nothing.
std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  const std::vector<std::string_view> candidates{known.begin(), known.end()};
  const auto meant = base::closest(word, candidates);
  return meant ? fmt::format("; did you mean {}?", *meant) : std::string{};
}

}  // namespace

const std::vector<std::pair<std::string, std::string>>& built_in_verbs() {
  static const std::vector<std::pair<std::string, std::string>> verbs = {
      {"start", "run in the background; returns once it is ready"},
      {"stop", "stop the running instance and wait until it has ended"},
      {"restart", "stop, then start"},
      {"reload", "load the configuration again; says why if it is refused"},
      {"upgrade", "replace the running program by what is at its path now, without a gap"},
      {"status", "what the running instance is doing (exit code 0, 1, 3, 4 as LSB)"},
      {"health", "0 if it makes progress, else 2; with --max-age N, by its health file"},
      {"log-level", "show or set the log level"},
      {"metrics", "figures in Prometheus' text format"},
  };
  return verbs;
}

Result<CommandLine> parse_command_line(const std::vector<std::string>& words, const Options& options,
                                       const std::vector<detail::FieldEntry>& fields) {
  CommandLine line;
  std::vector<std::string> ours{words};
  const auto end_of_ours = std::find(ours.begin(), ours.end(), "--");
  std::vector<std::string> after;
  if (end_of_ours != ours.end()) {
    after.assign(end_of_ours + 1, ours.end());
    ours.erase(end_of_ours, ours.end());
  }

  std::vector<std::string> verbs;
  if (options.verbs == Verbs::On) {
    for (const auto& [verb, help] : built_in_verbs()) verbs.push_back(verb);
    for (const ControlCommand& command : options.commands) verbs.push_back(command.name);
    if (!ours.empty() && std::find(verbs.begin(), verbs.end(), ours.front()) != verbs.end()) {
      line.verb = ours.front();
      ours.erase(ours.begin());
    }
  }

  CLI::App app{options.description, options.name};
  app.allow_extras(true);
  app.set_help_flag("");
  app.get_formatter()->column_width(34);
  bool help = false, version = false, check_config = false, print_config = false, print_unit = false;
  bool foreground = false, background = false;
  std::string pid_file, log_file, config_file, control, instance, user, group, log_level, max_age;
  app.add_flag("-h,--help", help, "this text");
  app.add_flag("-V,--version", version, "the version");
  app.add_flag("--foreground", foreground, "stay on this terminal");
  app.add_flag("--daemon", background, "detach, also under an init")->excludes("--foreground");
  const auto text_option = [&app](const char* name, std::string& value, const char* what) {
    return app.add_option(name, value, what)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  text_option("--pid-file", pid_file, "lock file that holds the pid")->type_name("PATH");
  text_option("--log-file", log_file, "log to this file")->type_name("PATH");
  text_option("--log-level", log_level, "debug, info, warning, error or critical")->type_name("LEVEL");
  text_option("--control", control, "control socket, or none")->type_name("PATH");
  text_option("--user", user, "become this user once everything is open")->type_name("USER");
  text_option("--group", group, "and this group; else the user's own")->type_name("GROUP");
  text_option("--instance", instance, "one of several instances: names the files NAME@INSTANCE")->type_name("INSTANCE");
  if (options.config.get() != nullptr || !options.config_file.empty()) {
    text_option("--config", config_file, "configuration file")->type_name("PATH");
    app.add_flag("--check-config", check_config, "check the configuration and exit: 0 or 78");
    app.add_flag("--print-config", print_config, "print the settings in force, secrets as ***, and exit");
  }
  app.add_flag("--print-unit", print_unit, "print a systemd unit file for this command line and exit");
  if (line.verb == "health") text_option("--max-age", max_age, "seconds the health file may be old")->type_name("SECONDS");

  // The results of the settings' flags; a deque because CLI11 keeps references.
  struct Setting {
    const detail::FieldEntry* field;
    std::vector<std::string> values;
    CLI::Option* option;
  };
  std::deque<Setting> settings;
  for (const detail::FieldEntry& field : fields) {
    if (field.flag.empty()) continue;
    Setting& setting = settings.emplace_back(Setting{&field, {}, nullptr});
    if (is_flag_field(field)) {
      setting.option = app.add_flag(field.flag, setting.values, field.help);
    } else {
      setting.option = app.add_option(field.flag, setting.values, field.help)->type_name(field.type);
      setting.option->allow_extra_args(false);  // one word for each occurrence, although it collects into a vector
      setting.option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    }
    setting.option->group("Settings");
  }
  app.footer(footer(options));

  try {
    std::vector<std::string> reversed{ours.rbegin(), ours.rend()};  // CLI11 takes the words from the back
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return Error{std::string{error.what()}};
  }

  std::vector<std::string> known{"--help", "--version"};
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  for (const std::string& word : app.remaining()) {
    if (word.size() > 1 && word.front() == '-') {
      const std::string bare = word.substr(0, word.find('='));
      return Error{"unknown option " + base::escape(bare) + suggestion(bare, known)};
    }
    line.arguments.push_back(word);
  }
  line.arguments.insert(line.arguments.end(), after.begin(), after.end());

  if (!log_level.empty()) {
    line.log_level = parse_level(log_level);
    if (!line.log_level)
      return Error{fmt::format("--log-level: \"{}\" is none of debug, info, warning, error, critical", log_level)};
  }
  const auto taken = [&](const char* name, const std::string& value) -> std::optional<std::string> {
    if (app.get_option_no_throw(name) == nullptr || app.count(name) == 0) return std::nullopt;
    line.instance_options.push_back(std::string{name} + "=" + value);
    return value;
  };
  line.pid_file = taken("--pid-file", pid_file);
  line.log_file = taken("--log-file", log_file);
  line.config_file = taken("--config", config_file);
  line.control = taken("--control", control);
  line.instance = taken("--instance", instance);
  line.user = taken("--user", user);
  line.group = taken("--group", group);
  if (line.log_level) line.instance_options.push_back("--log-level=" + log_level);
  if (line.verb == "health" && app.count("--max-age") != 0) line.max_age = max_age;
  for (Setting& setting : settings) {
    std::vector<std::string>& values = setting.values;
    if (!setting.field->repeatable && values.size() > 1)
      values.erase(values.begin(), values.end() - 1);  // the last one wins
    for (const std::string& value : values) {
      line.settings.emplace_back(setting.field->flag, value);
      line.instance_options.push_back(setting.field->flag + "=" + value);
    }
  }
  if (line.instance && (line.instance->empty() || line.instance->find_first_of("/ \t\n") != std::string::npos))
    return Error{"--instance: a name without blanks and slashes is wanted"};
  if (foreground) line.detach = false;
  if (background) line.detach = true;

  if (help) {
    line.task = Task::Help;
    line.help = app.help();
  } else if (version) {
    line.task = Task::Version;
  } else if (print_unit) {
    line.task = Task::PrintUnit;
  } else if (check_config) {
    line.task = Task::CheckConfig;
  } else if (print_config) {
    line.task = Task::PrintConfig;
  } else if (line.verb == "start") {
    if (foreground) return Error{"start runs in the background; leave the verb out to stay in the foreground"};
    line.is_start = true;
    line.detach = true;
  } else if (!line.verb.empty()) {
    line.task = Task::Verb;
    line.verb_text = fmt::format("{}", fmt::join(line.arguments, " "));
    return line;
  }
  if (options.arguments.empty() && !line.arguments.empty()) {
    return Error{"unexpected argument " + base::escape(line.arguments.front()) + suggestion(line.arguments.front(), verbs)};
  }
  return line;
}

}  // namespace perdure::daemon
