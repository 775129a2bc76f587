// The command line of a daemon: which words are ours, which are the program's settings, which are its arguments.
//
// Text in, values out: nothing is looked up, printed or opened. The grammar is CLI11's (long options with `=` or a space);
// a client verb is recognised only as the first word, and `--` ends what is ours.
// Thread safety: pure.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "perdure/log.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"
#include "perdure/settings.hpp"

namespace perdure::daemon {

/// What the first process is to do.
enum class Task : std::uint8_t { Run, Help, Version, CheckConfig, PrintConfig, PrintUnit, Verb };

struct CommandLine {
  Task task = Task::Run;
  /// The client verb, of Task::Verb; never "start", which is Task::Run with `detach`.
  std::string verb{};
  /// The words after the verb that are no options, joined by blanks.
  std::string verb_text{};
  bool is_start = false;         ///< the verb start
  std::optional<bool> detach{};  ///< --daemon or --foreground
  std::optional<std::string> pid_file{}, log_file{}, config_file{}, control{}, instance{}, user{}, group{};
  std::optional<Level> log_level{};
  std::optional<std::string> max_age{};                         ///< of the verb health
  std::vector<std::pair<std::string, std::string>> settings{};  ///< flag, value
  std::vector<std::string> arguments{};
  /// The options that make this instance, for --print-unit: everything but the mode and what prints.
  std::vector<std::string> instance_options{};
  std::string help{};  ///< of Task::Help
};

/// Verbs every daemon answers, with one line of help each.
const std::vector<std::pair<std::string, std::string>>& built_in_verbs();

/// On failure: one line that names the word, without the program's name.
Result<CommandLine> parse_command_line(const std::vector<std::string>& words, const Options& options,
                                       const std::vector<detail::FieldEntry>& fields);

}  // namespace perdure::daemon
