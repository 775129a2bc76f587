// ExecCommand: one command of ExecStart= and its relatives, systemd.service(5) "Command lines".
//
// Words, quotes, escapes and specifiers are settled when the unit is loaded. $VAR and ${VAR} are not: they stand for what the
// process's environment will hold, which only whoever starts it knows completely ($USER, $RUNTIME_DIRECTORY), so it calls
// expand_arguments() with that environment.
// Thread and fork safety: plain values, pure functions. Signal safety: none.
//
//     const std::vector<std::string> argv = expand_arguments(service.exec_start.front(), {"PORT=80", "USER=web"});
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "unit/specifiers.hpp"

namespace perdure::unit {

inline constexpr std::size_t commands_max = 64;
inline constexpr std::size_t arguments_max = 8192;

/// What a command may keep of the rights that User= and the sandbox directives would take.
enum class Rights : std::uint8_t {
  OfUnit,
  Full,              ///< "+": the manager's own; User=, Group=, capabilities and sandbox do not apply
  KeepUser,          ///< "!": the set-up of User= is left to the program; the rest applies
  KeepUserIfNeeded,  ///< "!!": as "!" only where the kernel has no ambient capabilities, which every kernel we run on has
};

struct ExecCommand {
  std::string path{};               ///< absolute, or a bare name that is looked up in the search path of the manager
  std::vector<std::string> argv{};  ///< argv[0] included, never empty; $VAR not yet replaced
  bool ignores_failure = false;     ///< "-"
  bool expands_variables = true;    ///< false: ":"
  Rights rights = Rights::OfUnit;
  friend bool operator==(const ExecCommand&, const ExecCommand&) = default;
};

struct CommandLine {
  std::vector<ExecCommand> commands{};  ///< several where ";" stands between them
  std::vector<std::string> warnings{};
};

/// A command with "-" that cannot be read ends the line with a warning, as systemd 252 does.
/// On failure: the Error says which part of the line is wrong.
Result<CommandLine> parse_command_line(std::string_view text, const SpecifierContext& context);

/// argv with "$VAR" as a word of its own replaced by the words of its value (none where it is not set), "${VAR}" by the value as
/// it is, "$$" by "$". `environment` holds NAME=VALUE, the last one of a name counts. Ensures: never empty.
std::vector<std::string> expand_arguments(const ExecCommand& command, std::span<const std::string> environment);

/// Names that the command's $VAR and ${VAR} refer to, each once.
std::vector<std::string> variables_of(const ExecCommand& command);

}  // namespace perdure::unit
