// The command line of `perdure`: which verb, which options, which words. Text in, values out; nothing is opened or printed.
//
// The grammar is getopt_long(3)'s, as systemctl's: options before, between and after the words, long ones may be abbreviated, `--`
// ends them. Every verb takes every option, as with systemctl; one that means nothing to it changes nothing.
// Called as `systemctl` or `journalctl` (argv[0]), it takes the command line of that name (command_table.hpp).
// Left out: checking the words themselves (verbs differ in what they take), environment and defaults (places.hpp).
// Thread safety: none (getopt keeps its place in globals). Fork: all. Signal safety: none.
//
//     const auto arguments = client::parse_arguments(argc, argv);
//     if (!arguments) complain(arguments.error());      // one line; exit 1
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::client {

enum class Verb : std::uint8_t {
  Cancel,
  Cat,
  DaemonReload,
  Exit,
  Help,
  Import,
  IsActive,
  IsFailed,
  IsSystemRunning,
  Kill,
  ListDependencies,
  ListJobs,
  ListUnits,
  Logs,
  Reload,
  ReloadOrRestart,
  ResetFailed,
  Restart,
  Run,
  Show,
  ShowEnvironment,
  Start,
  Status,
  Stop,
  TryRestart,
  Verify,
  Version,
};

/// Whose command line it is: that of the name under which the program was called.
enum class CommandLine : std::uint8_t { Perdure, Systemctl, Journalctl };
/// Whose instance is meant, where neither an option nor the environment names a directory.
enum class Scope : std::uint8_t { Usual, System, User };

struct Arguments {
  CommandLine command_line = CommandLine::Perdure;
  Verb verb = Verb::ListUnits;
  std::vector<std::string> words{};  ///< after the verb
  bool has_command = false;          ///< `--` stood before the words

  std::optional<std::string> runtime_dir{}, state_dir{}, log_dir{}, cgroup_root{}, target{};
  std::vector<std::string> unit_path{};
  Scope scope = Scope::Usual;

  std::optional<std::string> console{}, syslog{}, isolation{};  ///< run; checked
  std::vector<std::string> pass_env{};                ///< run: patterns of names

  std::vector<std::string> properties{};   ///< -p of others than logs, split at commas
  std::vector<std::string> states{};       ///< --state, split at commas
  std::vector<std::string> types{};        ///< -t of others than logs, split at commas
  std::vector<std::string> units{};        ///< -u
  std::vector<std::string> identifiers{};  ///< -t of logs
  std::optional<std::string> priority{};   ///< -p of logs
  std::optional<std::string> since{}, until{};
  std::optional<std::string> output{};   ///< -o
  std::optional<std::uint64_t> lines{};  ///< -n; UINT64_MAX: all
  std::string signal{};                  ///< -s
  std::string kill_whom{};               ///< checked
  bool value_only = false, json = false, plain = false, quiet = false, no_block = false, follow = false, all = false,
       no_legend = false, reverse = false, this_boot = false, force = false, utc = false, no_hostname = false;
};

/// On failure: one line without the program's name.
Result<Arguments> parse_arguments(int count, char* const words[]);

/// The word of a verb: "is-active".
std::string_view verb_name(Verb verb) noexcept;
/// What `perdure help` prints, or `perdure help VERB`. On failure: no such verb.
Result<std::string> help_text(std::string_view verb, CommandLine line = CommandLine::Perdure);

/// "web" → "web.service"; a name that has the suffix of a kind of unit stays.
std::string unit_name_of(std::string_view word);
/// Whether `word` is a pattern of names, as fnmatch(3) has them.
bool is_pattern(std::string_view word) noexcept;

}  // namespace perdure::client
