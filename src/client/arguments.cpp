#include "client/arguments.hpp"

#include <getopt.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "client/command_table.hpp"

namespace perdure::client {
namespace {

/// What getopt_long(3) answers for the first row; short options are answered by their letter.
constexpr int first_row = 1000;
/// What `journalctl -e` and `-n` without a number mean.
constexpr std::uint64_t pager_end_lines = 1000, default_lines = 10;

CommandLine command_line_of(std::string_view program) {
  const std::string_view name = program.substr(program.rfind('/') + 1);
  for (const CommandLine line : {CommandLine::Systemctl, CommandLine::Journalctl}) {
    if (name == name_of(line)) return line;
  }
  return CommandLine::Perdure;
}

Error usage(CommandLine line, std::string what) { return Error{fmt::format("{}; see \"{} --help\"", what, name_of(line))}; }

std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> list;
  for (const std::string_view part : base::split(text, ',')) {
    if (!base::trim(part).empty()) list.emplace_back(base::trim(part));
  }
  return list;
}
void add_parts(std::vector<std::string>& list, std::string_view text) {
  for (std::string& part : parts_of(text)) list.push_back(std::move(part));
}

/// "SIGTERM" for "TERM", "term", "15"; numbers without a name stay. Nothing where no signal is called so.
std::optional<std::string> signal_name(std::string_view word) {
  const int last = SIGRTMAX;
  if (const auto number = base::parse_number<int>(word)) {
    if (*number < 1 || *number > last) return std::nullopt;
    const char* const name = ::sigabbrev_np(*number);
    return name == nullptr ? std::string{word} : fmt::format("SIG{}", name);
  }
  std::string name{word};
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c; });
  if (!name.starts_with("SIG")) name.insert(0, "SIG");
  std::string_view rest{name};
  base::remove_prefix(rest, "SIG");
  for (const std::string_view real_time : {"RTMIN", "RTMAX"}) {
    std::string_view offset = rest;
    if (!base::remove_prefix(offset, real_time)) continue;
    if (offset.empty()) return name;
    const auto number = offset.size() < 2 ? std::nullopt : base::parse_number<int>(offset.substr(1));
    const bool is_good = number && *number <= last - SIGRTMIN && offset.front() == (real_time == "RTMIN" ? '+' : '-');
    return is_good ? std::optional{name} : std::nullopt;
  }
  for (int number = 1; number < last; ++number) {
    const char* const known = ::sigabbrev_np(number);
    if (known != nullptr && rest == known) return name;
  }
  return std::nullopt;
}

class Parsing {
 public:
  Parsing(int count, char* const words[]) : count_(count), words_(words) {
    if (count > 0) arguments_.command_line = command_line_of(words[0]);
    if (is_journalctl()) arguments_.verb = Verb::Logs;
    for (int i = 1; i < count && words_after_dashes_ < 0; ++i) {
      if (std::string_view{words[i]} == "--") words_after_dashes_ = count - i - 1;
    }
  }

  Result<Arguments> parse() {
    PERDURE_CHECK(take_options());
    arguments_.has_command = optind > 1 && std::string_view{words_[optind - 1]} == "--";
    const bool has_verb = optind < count_ && !is_journalctl();
    if (has_verb) PERDURE_CHECK(take_verb(words_[optind++]));
    arguments_.words.assign(words_ + std::min(optind, count_), words_ + count_);
    if (instead_) {
      arguments_.words.clear();
      if (*instead_ == Verb::Help && has_verb && arguments_.verb != Verb::Help)
        arguments_.words.emplace_back(verb_name(arguments_.verb));
      arguments_.verb = *instead_;
      return std::move(arguments_);
    }
    sort_what_verbs_share();
    PERDURE_CHECK(check_words());
    return std::move(arguments_);
  }

 private:
  [[nodiscard]] bool is_journalctl() const noexcept { return arguments_.command_line == CommandLine::Journalctl; }
  [[nodiscard]] bool is_here(std::uint8_t command_lines) const noexcept {
    return (command_lines & bit_of(arguments_.command_line)) != 0;
  }
  [[nodiscard]] Error wrong(std::string what) const { return usage(arguments_.command_line, std::move(what)); }

  /// The option that getopt_long(3) means by what it answered.
  [[nodiscard]] const OptionRow* row_of(int found) const {
    const auto rows = option_rows();
    if (found >= first_row) return &rows[static_cast<std::size_t>(found - first_row)];
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [&](const OptionRow& r) { return is_here(r.command_lines) && letter_of(r) == found; });
    return row == rows.end() ? nullptr : &*row;
  }

  Result<void> take_options() {
    std::string letters = ":";
    std::vector<option> long_options;
    int number = first_row;
    for (const OptionRow& row : option_rows()) {
      const int value = number++;
      if (!is_here(row.command_lines)) continue;
      const int has_argument = row.argument_is_free      ? optional_argument
                               : row.argument != nullptr ? required_argument
                                                         : no_argument;
      if (row.name != nullptr) long_options.push_back({row.name, has_argument, nullptr, value});
      const char letter = letter_of(row);
      if (letter == 0 || letters.find(letter) != std::string::npos) continue;
      letters += letter;
      letters.append(static_cast<std::size_t>(has_argument), ':');  // getopt(3): one colon, or two
    }
    long_options.push_back({nullptr, 0, nullptr, 0});
    optind = 0;  // getopt(3): starts afresh
    opterr = 0;
    for (;;) {
      const int found = ::getopt_long(count_, words_, letters.c_str(), long_options.data(), nullptr);
      if (found == -1) return {};
      if (found == ':') return wrong(fmt::format("option {} needs a value", base::escape(words_[optind - 1])));
      if (found == '?') return unknown_option(words_[optind - 1]);
      PERDURE_CHECK(take(*row_of(found), optarg));
    }
  }

  /// `word` is what getopt_long(3) looked at last, optopt what it made of it.
  [[nodiscard]] Error unknown_option(std::string_view word) const {
    if (const OptionRow* const row = optopt >= first_row ? row_of(optopt) : nullptr)
      return wrong(fmt::format("option --{} takes no value", row->name));
    if (optopt != 0)
      return wrong(fmt::format("unknown option -{}", base::escape(std::string(1, static_cast<char>(optopt)))));
    std::string what = fmt::format("unknown option {}", base::escape(word));
    std::vector<std::string_view> names;
    for (const OptionRow& row : option_rows()) {
      if (is_here(row.command_lines) && row.name != nullptr) names.emplace_back(row.name);
    }
    base::remove_prefix(word, "--");
    if (const auto near = base::closest(word.substr(0, word.find('=')), names))
      what += fmt::format("; did you mean --{}?", *near);
    return wrong(std::move(what));
  }

  Result<void> take_lines(const char* text) {
    // As journalctl does: `-n` is followed by a number, or by something else.
    if (text == nullptr && optind < count_) {
      const std::string_view next{words_[optind]};
      if (next == "all" || base::parse_number<std::uint64_t>(next)) text = words_[optind++];
    }
    if (text == nullptr) {
      arguments_.lines = default_lines;
    } else if (std::string_view{text} == "all") {
      arguments_.lines = UINT64_MAX;
    } else if (arguments_.lines = base::parse_number<std::uint64_t>(text); !arguments_.lines) {
      return wrong(fmt::format("-n wants a number of lines, or \"all\", not {}", base::quote(text)));
    }
    return {};
  }

  Result<void> take_boot(const char* text) {
    if (text == nullptr && is_journalctl() && optind < count_ && std::string_view{words_[optind]} == "0")
      text = words_[optind++];
    if (text != nullptr && std::string_view{text} != "0")
      return wrong(fmt::format("only this boot is known: -b, and not {}", base::quote(text)));
    arguments_.this_boot = true;
    return {};
  }

  Result<void> choose(std::string& place, std::string_view option, std::string_view text,
                      std::initializer_list<std::string_view> words) const {
    if (std::find(words.begin(), words.end(), text) == words.end()) {
      return wrong(fmt::format("--{} wants one of {}, not {}", option, fmt::join(words, ", "), base::quote(text)));
    }
    place = text;
    return {};
  }

  Result<void> take_syslog(std::string_view where) {
    if (where != "auto" && where != "off" && !where.starts_with('/'))
      return wrong(fmt::format("--syslog wants auto, off or an absolute path, not {}", base::quote(where)));
    arguments_.syslog = where;
    return {};
  }

  Result<void> take(const OptionRow& row, const char* text) {
    switch (row.value) {
      case runtime_dir_option: arguments_.runtime_dir = text; break;
      case state_dir_option: arguments_.state_dir = text; break;
      case log_dir_option: arguments_.log_dir = text; break;
      case system_option: arguments_.scope = Scope::System; break;
      case user_option: arguments_.scope = Scope::User; break;
      case cgroup_root_option: arguments_.cgroup_root = text; break;
      case target_option: arguments_.target = text; break;
      case unit_path_option: arguments_.unit_path.emplace_back(text); break;
      case console_option: return choose(arguments_.console.emplace(), row.name, text, {"prefix", "json", "off"});
      case syslog_option: return take_syslog(text);
      case isolation_option: return choose(arguments_.isolation.emplace(), row.name, text, {"as-systemd", "strict"});
      case pass_env_option: arguments_.pass_env.emplace_back(text == nullptr ? "*" : text); break;
      case job_mode_option: {
        std::string mode;
        return choose(mode, row.name, text, {"replace"});
      }
      case no_block_option: arguments_.no_block = true; break;
      case property_value_option: arguments_.value_only = true; [[fallthrough]];
      case property_option: properties_.emplace_back(text); break;
      case value_option: arguments_.value_only = true; break;
      case all_option: arguments_.all = true; break;
      case failed_option: arguments_.states.emplace_back("failed"); break;
      case state_option: add_parts(arguments_.states, text); break;
      case type_option: types_.emplace_back(text); break;
      case plain_option: arguments_.plain = true; break;
      case no_legend_option: arguments_.no_legend = true; break;
      case json_option: arguments_.json = true; break;
      case quiet_option: arguments_.quiet = true; break;
      case unit_option: arguments_.units.emplace_back(text); break;
      case since_option: arguments_.since = text; break;
      case until_option: arguments_.until = text; break;
      case follow_option: arguments_.follow = true; break;
      case no_tail_option: arguments_.lines = UINT64_MAX; break;
      case pager_end_option: arguments_.lines = arguments_.lines.value_or(pager_end_lines); break;
      case reverse_option:
      case reverse_tree_option: arguments_.reverse = true; break;
      case utc_option: arguments_.utc = true; break;
      case no_hostname_option: arguments_.no_hostname = true; break;
      case force_option: arguments_.force = true; break;
      case output_option:
        arguments_.output = text;
        arguments_.json = arguments_.json || *arguments_.output == "json";
        break;
      case signal_option: {
        auto name = signal_name(text);
        if (!name) return wrong(fmt::format("{} is no signal", base::quote(text)));
        arguments_.signal = *std::move(name);
        break;
      }
      case kill_whom_option: return choose(arguments_.kill_whom, row.name, text, {"main", "control", "all"});
      case lines_option: return take_lines(text);
      case boot_option: return take_boot(text);
      case help_option: instead_ = Verb::Help; break;
      case version_option: instead_ = Verb::Version; break;
      default: break;  // accepted, and without effect
    }
    return {};
  }

  Result<void> take_verb(std::string_view word) {
    std::vector<std::string_view> names;
    for (const VerbRow& row : verb_rows()) {
      if (!is_here(row.command_lines)) continue;
      if (row.name == word) {
        arguments_.verb = row.verb;
        return {};
      }
      names.push_back(row.name);
    }
    std::string what = fmt::format("unknown verb {}", base::escape(word));
    if (const auto near = base::closest(word, names)) what += fmt::format("; did you mean {}?", *near);
    // Who calls it by that name expects what that name has elsewhere.
    if (arguments_.command_line == CommandLine::Systemctl) {
      std::sort(names.begin(), names.end());
      what += fmt::format("; as systemctl, perdure has: {}", fmt::join(names, " "));
    }
    return wrong(std::move(what));
  }

  /// -p and -t mean something else to `logs` than to the others, and may stand before the verb.
  void sort_what_verbs_share() {
    if (arguments_.verb == Verb::Logs) {
      if (!properties_.empty()) arguments_.priority = std::move(properties_.back());
      arguments_.identifiers = std::move(types_);
    } else {
      for (const std::string& text : properties_) add_parts(arguments_.properties, text);
      for (const std::string& text : types_) add_parts(arguments_.types, text);
    }
    if (arguments_.kill_whom.empty()) arguments_.kill_whom = "all";
    if (arguments_.signal.empty()) arguments_.signal = "SIGTERM";
  }

  Result<void> check_logs() {
    if (is_journalctl()) {
      for (const std::string& word : arguments_.words) {
        std::string_view value{word};
        if (base::remove_prefix(value, "_SYSTEMD_UNIT=")) arguments_.units.emplace_back(value);
        else if (base::remove_prefix(value, "SYSLOG_IDENTIFIER=")) arguments_.identifiers.emplace_back(value);
        else
          return wrong(fmt::format("cannot look for {}: only _SYSTEMD_UNIT=UNIT and SYSLOG_IDENTIFIER=NAME are known here",
                                   base::quote(word)));
      }
    } else {
      arguments_.units.insert(arguments_.units.end(), arguments_.words.begin(), arguments_.words.end());
    }
    arguments_.words.clear();
    if (arguments_.follow && arguments_.reverse) return wrong("logs cannot both follow and begin with the newest line");
    return {};
  }

  Result<void> check_words() {
    const auto& words = arguments_.words;
    const auto needs = [&](std::string_view what) {
      return wrong(fmt::format("{} needs {}", verb_name(arguments_.verb), what));
    };
    switch (arguments_.verb) {
      case Verb::Start:
      case Verb::Stop:
      case Verb::Restart:
      case Verb::TryRestart:
      case Verb::Reload:
      case Verb::ReloadOrRestart:
      case Verb::Kill:
      case Verb::Cat:
      case Verb::Verify:
      case Verb::IsActive:
      case Verb::IsFailed:
        if (words.empty()) return needs("at least one unit");
        break;
      case Verb::Run:
        if (!arguments_.has_command) break;
        if (std::cmp_not_equal(words.size(), words_after_dashes_))
          return wrong("run takes units, or a command after \"--\", and not both");
        if (words.empty()) return needs("a command after \"--\"");
        break;
      case Verb::Logs: return check_logs();
      case Verb::Cancel:
        for (const std::string& word : words) {
          if (!base::parse_number<std::uint64_t>(word))
            return needs(fmt::format("numbers of jobs, not {}", base::quote(word)));
        }
        break;
      case Verb::Exit:
        if (words.size() > 1 || (words.size() == 1 && !base::parse_number<std::uint8_t>(words.front())))
          return needs("an exit code from 0 to 255, or nothing");
        break;
      case Verb::Import:
        if (words.size() != 2 || words.front() != "supervisord")
          return needs("what is imported: \"import supervisord FILE\"");
        break;
      case Verb::DaemonReload:
      case Verb::IsSystemRunning:
      case Verb::ListJobs:
      case Verb::ShowEnvironment:
      case Verb::Version:
        if (!words.empty()) return needs("no words");
        break;
      default: break;
    }
    return {};
  }

  int count_;
  char* const* words_;
  Arguments arguments_{};
  std::optional<Verb> instead_{};
  std::vector<std::string> properties_{}, types_{};
  int words_after_dashes_ = -1;  ///< counted before getopt sorts the words; -1: there is no `--`
};

}  // namespace

std::string_view verb_name(Verb verb) noexcept {
  const auto rows = verb_rows();
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const VerbRow& r) { return r.verb == verb; });
  return row == rows.end() ? "version" : row->name;
}

Result<Arguments> parse_arguments(int count, char* const words[]) { return Parsing{count, words}.parse(); }

std::string unit_name_of(std::string_view word) {
  constexpr std::array<std::string_view, 11> suffixes{".service", ".socket", ".target", ".device", ".mount", ".automount",
                                                      ".swap",    ".timer",  ".path",   ".slice",  ".scope"};
  const bool has_one = std::any_of(suffixes.begin(), suffixes.end(), [&](std::string_view s) { return word.ends_with(s); });
  return std::string{word} + (has_one ? "" : ".service");
}

bool is_pattern(std::string_view word) noexcept { return word.find_first_of("*?[") != std::string_view::npos; }

}  // namespace perdure::client
