// Writing unit files: words and values so that systemd and perdure read back what was meant, and names that units can have.
//
// The rules are those of systemd.service(5), "Command lines", and systemd.syntax(7): words in double quotes with C escapes, "%%"
// for "%", "$$" for "$". Left out: reading (config, unit). Thread and fork safety: pure functions. Signal safety: none.
//
//     "ExecStart=" + client::command_text({"/bin/echo", "50% of $5"})       // ExecStart=/bin/echo "50%% of $$5"
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::client {

/// A word as it is written after ExecStart=; variables stand for themselves.
std::string command_word(std::string_view word);
/// A word of Environment=, "NAME=VALUE", in which "$" means nothing.
std::string setting_word(std::string_view word);
/// The words of a command, the first of which is the program.
std::string command_text(const std::vector<std::string>& words);
/// A value on one line that is no list of words: Description=, WorkingDirectory=. "%" doubled, control characters as spaces.
std::string plain_value(std::string_view text);
/// A unit's name without its type, out of any text: what no name may hold becomes "_", "@" too.
std::string unit_stem_of(std::string_view text);

/// The program that a shell would run for `word`, as an absolute path. `search_path`: $PATH.
Result<std::string> program_path(std::string_view word, std::string_view search_path);

/// The unit of `perdure run -- COMMAND`. Requires: a first word.
struct TransientUnit {
  std::string name{};  ///< "sleep.service"
  std::string text{};
};
/// On failure: one line; the program is not there, or the command cannot be written down.
Result<TransientUnit> transient_unit(const std::vector<std::string>& command, std::string_view search_path,
                                     std::string_view working_directory);

}  // namespace perdure::client
