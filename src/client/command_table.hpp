// The verbs and options of the command line, as tables: what parse_arguments() knows and help_text() prints.
//
// One binary has three command lines: its own, and, through links of that name, what exists here of systemctl's and journalctl's.
// A row says in which of them it stands. Left out: what a verb does (commands.hpp).
// Thread and fork safety: constants. Signal safety: all.
//
//     for (const VerbRow& row : verb_rows()) if (row.command_lines & in_systemctl) …
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "client/arguments.hpp"

namespace perdure::client {

/// Bits of command_lines.
inline constexpr std::uint8_t in_perdure = 1, in_systemctl = 2, in_journalctl = 4;
std::uint8_t bit_of(CommandLine line) noexcept;
/// "perdure", "systemctl", "journalctl".
std::string_view name_of(CommandLine line) noexcept;

struct VerbRow {
  std::string_view name;
  Verb verb;
  std::string_view words;
  std::string_view help;
  std::uint8_t command_lines = in_perdure | in_systemctl;
};
/// In the order of the help.
std::span<const VerbRow> verb_rows() noexcept;

/// What getopt_long(3) answers; those of one letter are the letter.
enum Option : int {
  all_option = 'a',
  boot_option = 'b',
  follow_option = 'f',  ///< systemctl: --force
  help_option = 'h',
  full_option = 'l',
  lines_option = 'n',
  output_option = 'o',
  property_option = 'p',  ///< logs: a priority
  property_value_option = 'P',
  quiet_option = 'q',
  reverse_option = 'r',  ///< systemctl: --recursive
  signal_option = 's',
  since_option = 'S',
  type_option = 't',  ///< logs: an identifier
  unit_option = 'u',
  until_option = 'U',
  pager_end_option = 'e',
  harmless_option = 256,  ///< accepted, and without effect
  cgroup_root_option,
  console_option,
  syslog_option,
  failed_option,
  force_option,
  isolation_option,
  job_mode_option,
  json_option,
  kill_whom_option,
  log_dir_option,
  no_block_option,
  no_hostname_option,
  no_legend_option,
  no_tail_option,
  pass_env_option,
  plain_option,
  reverse_tree_option,
  runtime_dir_option,
  state_option,
  state_dir_option,
  system_option,
  target_option,
  unit_path_option,
  user_option,
  utc_option,
  value_option,
  version_option,
};

struct OptionRow {
  const char* name;      ///< nullptr: a letter only
  int value;             ///< of Option
  const char* argument;  ///< nullptr: takes none
  std::string_view help;
  std::uint8_t command_lines = in_perdure;
  char letter = 0;                ///< 0: none, or that of `value`
  bool argument_is_free = false;  ///< may be missing
};
/// In the order of the help.
std::span<const OptionRow> option_rows() noexcept;
/// The letter of an option; 0 where it has none.
char letter_of(const OptionRow& row) noexcept;

}  // namespace perdure::client
