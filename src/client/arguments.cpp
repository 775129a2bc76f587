#include "client/arguments.hpp"

#include <getopt.h>

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"

namespace perdure::client {
namespace {

struct VerbRow {
  std::string_view name;
  Verb verb;
  std::string_view words;
  std::string_view help;
};

constexpr std::array verbs{
    VerbRow{"run", Verb::Run, "[UNIT…|FILE…|DIRECTORY…]",
            "run units in the foreground; starts the instance that the other verbs talk to"},
    VerbRow{"start", Verb::Start, "UNIT…", "start units, and wait until they have started"},
    VerbRow{"stop", Verb::Stop, "UNIT…", "stop units, and wait until nothing of them runs"},
    VerbRow{"restart", Verb::Restart, "UNIT…", "stop units if they run, then start them"},
    VerbRow{"status", Verb::Status, "[UNIT…]", "tell of units, with the end of their logs; without a unit: of the instance"},
    VerbRow{"show", Verb::Show, "[UNIT…]", "print properties, one NAME=VALUE per line; without a unit: the instance's"},
    VerbRow{"is-active", Verb::IsActive, "UNIT…", "print the state; exit 0 if one of the units is active, else 3"},
    VerbRow{"is-failed", Verb::IsFailed, "UNIT…", "print the state; exit 0 if one of the units has failed, else 1"},
    VerbRow{"list-units", Verb::ListUnits, "[PATTERN…]",
            "list units that are active, failed or changing; all of them with --all"},
    VerbRow{"reset-failed", Verb::ResetFailed, "[UNIT…]",
            "forget the failure of units, and their start limit; without a unit: of all"},
    VerbRow{"logs", Verb::Logs, "-u UNIT", "print what a unit has written; it works without the instance, too"},
    VerbRow{"exit", Verb::Exit, "", "stop everything in order, and the instance"},
    VerbRow{"help", Verb::Help, "[VERB]", "print this, or about one verb"},
};

enum Option : int {
  all_option = 'a',
  follow_option = 'f',
  help_option = 'h',
  full_option = 'l',
  lines_option = 'n',
  output_option = 'o',
  property_option = 'p',
  quiet_option = 'q',
  unit_option = 'u',
  cgroup_root_option = 256,
  failed_option,
  json_option,
  log_dir_option,
  no_block_option,
  no_legend_option,
  no_pager_option,
  plain_option,
  runtime_dir_option,
  state_option,
  state_dir_option,
  target_option,
  unit_path_option,
  value_option,
  version_option,
};

struct OptionRow {
  const char* name;
  int value;
  const char* argument;  ///< nullptr: takes none
  std::string_view help;
};

constexpr std::array options{
    OptionRow{"runtime-dir", runtime_dir_option, "DIR", "where the instance's socket and lock are"},
    OptionRow{"state-dir", state_dir_option, "DIR", "where it keeps what must outlive it"},
    OptionRow{"log-dir", log_dir_option, "DIR", "where units' output is kept"},
    OptionRow{"unit-path", unit_path_option, "DIR", "run: look for unit files here, and nowhere else (repeatable)"},
    OptionRow{"cgroup-root", cgroup_root_option, "DIR", "run: make cgroups below this one"},
    OptionRow{"target", target_option, "NAME", "run: start NAME.target and what it wants"},
    OptionRow{"no-block", no_block_option, nullptr, "start, stop, restart, exit: do not wait"},
    OptionRow{"property", property_option, "NAME[,NAME…]", "show: only these"},
    OptionRow{"value", value_option, nullptr, "show: without NAME="},
    OptionRow{"all", all_option, nullptr, "list-units: inactive ones, too; show: empty properties, too"},
    OptionRow{"failed", failed_option, nullptr, "list-units: as --state=failed"},
    OptionRow{"state", state_option, "STATE[,STATE…]", "list-units: only units in one of these load, active or sub states"},
    OptionRow{"plain", plain_option, nullptr, "list-units: without marks in front"},
    OptionRow{"no-legend", no_legend_option, nullptr, "list-units: without header and summary"},
    OptionRow{"json", json_option, nullptr, "print JSON on one line"},
    OptionRow{"quiet", quiet_option, nullptr, "is-active, is-failed: print nothing"},
    OptionRow{"unit", unit_option, "UNIT", "logs: of this unit"},
    OptionRow{"lines", lines_option, "N", "status, logs: so many lines from the end (\"all\": all)"},
    OptionRow{"follow", follow_option, nullptr, "logs: go on with what comes"},
    OptionRow{"output", output_option, "FORMAT", "logs: short, short-iso, cat, json; elsewhere json is --json"},
    OptionRow{"full", full_option, nullptr, "accepted, and without effect"},
    OptionRow{"no-pager", no_pager_option, nullptr, "accepted, and without effect: there is no pager"},
    OptionRow{"help", help_option, nullptr, "print this"},
    OptionRow{"version", version_option, nullptr, "print the version"},
};

constexpr std::string_view advice = "see \"perdure --help\"";

bool is_short(int value) noexcept { return value < 256; }

Error usage(std::string what) { return Error{fmt::format("{}; {}", what, advice)}; }

/// What getopt_long(3) calls '?': `word` is what it looked at last, optopt what it made of it.
Error unknown_option(std::string_view word) {
  const auto row = std::find_if(options.begin(), options.end(), [](const OptionRow& r) { return r.value == optopt; });
  if (row != options.end()) return usage(fmt::format("option --{} takes no value", row->name));
  if (optopt != 0) return usage(fmt::format("unknown option -{}", base::escape(std::string(1, static_cast<char>(optopt)))));
  std::string what = fmt::format("unknown option {}", base::escape(word));
  std::vector<std::string_view> names;
  for (const OptionRow& r : options) names.emplace_back(r.name);
  base::remove_prefix(word, "--");
  if (const auto near = base::closest(word.substr(0, word.find('=')), names))
    what += fmt::format("; did you mean --{}?", *near);
  return usage(std::move(what));
}

void add_parts(std::vector<std::string>& list, std::string_view text) {
  for (const std::string_view part : base::split(text, ',')) {
    if (!base::trim(part).empty()) list.emplace_back(base::trim(part));
  }
}

/// getopt_long has found `value`, with `text` as its argument where it has one.
Result<void> take(Arguments& arguments, std::optional<Verb>& instead, int value, const char* text) {
  switch (value) {
    case runtime_dir_option: arguments.runtime_dir = text; break;
    case state_dir_option: arguments.state_dir = text; break;
    case log_dir_option: arguments.log_dir = text; break;
    case cgroup_root_option: arguments.cgroup_root = text; break;
    case target_option: arguments.target = text; break;
    case unit_path_option: arguments.unit_path.emplace_back(text); break;
    case no_block_option: arguments.no_block = true; break;
    case property_option: add_parts(arguments.properties, text); break;
    case value_option: arguments.value_only = true; break;
    case all_option: arguments.all = true; break;
    case failed_option: arguments.states.emplace_back("failed"); break;
    case state_option: add_parts(arguments.states, text); break;
    case plain_option: arguments.plain = true; break;
    case no_legend_option: arguments.no_legend = true; break;
    case json_option: arguments.json = true; break;
    case quiet_option: arguments.quiet = true; break;
    case unit_option: arguments.units.emplace_back(text); break;
    case follow_option: arguments.follow = true; break;
    case output_option:
      arguments.output = text;
      arguments.json = arguments.json || *arguments.output == "json";
      break;
    case lines_option:
      arguments.lines.reset();
      if (std::string_view{text} == "all") {
        arguments.lines = UINT64_MAX;
      } else if (arguments.lines = base::parse_number<std::uint64_t>(text); !arguments.lines) {
        return usage(fmt::format("-n wants a number of lines, or \"all\", not {}", base::quote(text)));
      }
      break;
    case help_option: instead = Verb::Help; break;
    case version_option: instead = Verb::Version; break;
    default: break;  // accepted, and without effect
  }
  return {};
}

Result<void> take_verb(Arguments& arguments, std::string_view word) {
  const auto row = std::find_if(verbs.begin(), verbs.end(), [&](const VerbRow& r) { return r.name == word; });
  if (row != verbs.end()) {
    arguments.verb = row->verb;
    return {};
  }
  std::string what = fmt::format("unknown verb {}", base::escape(word));
  std::vector<std::string_view> names;
  for (const VerbRow& r : verbs) names.push_back(r.name);
  if (const auto near = base::closest(word, names)) what += fmt::format("; did you mean {}?", *near);
  return usage(std::move(what));
}

Result<void> check_words(const Arguments& arguments) {
  const auto needs = [&](std::string_view what) {
    return usage(fmt::format("{} needs {}", verb_name(arguments.verb), what));
  };
  switch (arguments.verb) {
    case Verb::Start:
    case Verb::Stop:
    case Verb::Restart:
    case Verb::IsActive:
    case Verb::IsFailed:
      if (arguments.words.empty()) return needs("at least one unit");
      break;
    case Verb::Logs:
      if (arguments.units.size() + arguments.words.size() != 1) return needs("one unit: -u UNIT");
      break;
    case Verb::Exit:
      if (!arguments.words.empty()) return needs("no words");
      break;
    default: break;
  }
  return {};
}

std::string option_words(const OptionRow& row) {
  std::string words = is_short(row.value) ? fmt::format("-{}, ", static_cast<char>(row.value)) : "    ";
  words += fmt::format("--{}", row.name);
  if (row.argument != nullptr) words += fmt::format("={}", row.argument);
  return words;
}

/// Columns that `text` takes on a terminal; all of it is ASCII but for "…".
std::size_t width(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void add_line(std::string& text, std::string_view left, std::string_view right, std::size_t column) {
  text += fmt::format("  {}{}{}\n", left, std::string(width(left) < column ? column - width(left) : 1, ' '), right);
}

}  // namespace

std::string_view verb_name(Verb verb) noexcept {
  const auto row = std::find_if(verbs.begin(), verbs.end(), [&](const VerbRow& r) { return r.verb == verb; });
  return row == verbs.end() ? "version" : row->name;
}

Result<Arguments> parse_arguments(int count, char* const words[]) {
  std::string short_options = ":";
  std::vector<option> long_options;
  for (const OptionRow& row : options) {
    long_options.push_back({row.name, row.argument != nullptr ? required_argument : no_argument, nullptr, row.value});
    if (!is_short(row.value)) continue;
    short_options += static_cast<char>(row.value);
    if (row.argument != nullptr) short_options += ':';
  }
  long_options.push_back({nullptr, 0, nullptr, 0});

  Arguments arguments;
  std::optional<Verb> instead;
  optind = 0;  // getopt(3): starts afresh
  opterr = 0;
  for (;;) {
    const int found = ::getopt_long(count, words, short_options.c_str(), long_options.data(), nullptr);
    if (found == -1) break;
    if (found == ':') return usage(fmt::format("option {} needs a value", base::escape(words[optind - 1])));
    if (found == '?') return unknown_option(words[optind - 1]);
    PERDURE_CHECK(take(arguments, instead, found, optarg));
  }
  arguments.has_command = optind > 1 && std::string_view{words[optind - 1]} == "--";
  if (optind < count) PERDURE_CHECK(take_verb(arguments, words[optind++]));
  // `perdure run -- CMD`: getopt took the `--` only where it stood before the verb.
  arguments.words.assign(words + std::min(optind, count), words + count);
  if (instead) {
    arguments.words.clear();
    if (*instead == Verb::Help && arguments.verb != Verb::ListUnits) arguments.words.emplace_back(verb_name(arguments.verb));
    arguments.verb = *instead;
    return arguments;
  }
  PERDURE_CHECK(check_words(arguments));
  return arguments;
}

Result<std::string> help_text(std::string_view verb) {
  std::string text;
  if (!verb.empty()) {
    const auto row = std::find_if(verbs.begin(), verbs.end(), [&](const VerbRow& r) { return r.name == verb; });
    if (row == verbs.end()) return usage(fmt::format("unknown verb {}", base::escape(verb)));
    return fmt::format("perdure [OPTIONS] {} {}\n\n  {}\n\nOptions: perdure --help\n", row->name, row->words, row->help);
  }
  text +=
      "Examples:\n"
      "  perdure run ./units                       run what stands in a directory of unit files\n"
      "  perdure status web.service                how is it?\n"
      "  perdure logs -u web.service -f            what does it say?\n"
      "  perdure restart web.service\n"
      "\n"
      "Usage: perdure [OPTIONS] VERB [WORDS]        (no verb: list-units)\n"
      "\n"
      "Verbs:\n";
  for (const VerbRow& row : verbs) {
    add_line(text, row.words.empty() ? std::string{row.name} : fmt::format("{} {}", row.name, row.words), row.help, 32);
  }
  text += "\nOptions:\n";
  for (const OptionRow& row : options) add_line(text, option_words(row), row.help, 32);
  text +=
      "\nUnits: \"web\" means web.service; patterns such as \"web*\" mean the units that the instance knows.\n"
      "Environment: PERDURE_RUNTIME_DIR, PERDURE_STATE_DIR, PERDURE_LOG_DIR stand for the options of that name.\n"
      "Exit codes: 0 done; 1 failed, or wrong usage; 3 status, is-active: not active; 4 status: no such unit, or no "
      "rights;\n"
      "5 start, stop, restart: no such unit; 6: its file cannot be used.\n";
  return text;
}

std::string unit_name_of(std::string_view word) {
  constexpr std::array<std::string_view, 11> suffixes{".service", ".socket", ".target", ".device", ".mount", ".automount",
                                                      ".swap",    ".timer",  ".path",   ".slice",  ".scope"};
  const bool has_one = std::any_of(suffixes.begin(), suffixes.end(), [&](std::string_view s) { return word.ends_with(s); });
  return std::string{word} + (has_one ? "" : ".service");
}

bool is_pattern(std::string_view word) noexcept { return word.find_first_of("*?[") != std::string_view::npos; }

}  // namespace perdure::client
