// Where a log goes that was not told: the rules of LogTarget::Auto, as values.
//
// The rules are pure, and each is one table in the tests; gathering what they ask about (environment, descriptor 2,
// /dev/log) is apart.
// Environment variables are read with secure_getenv(3): whoever starts a setuid program does not choose its log.
// Thread safety: the rules, all; gathering reads the environment. Signal safety: none.
//
//     const LogTarget target = choose_target(gather_target_facts(under_init));
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "perdure/log.hpp"

namespace perdure::logbook {

struct TargetFacts {
  bool stderr_is_journal = false;  ///< $JOURNAL_STREAM names the very file that descriptor 2 is (systemd.exec(5))
  bool under_init = false;         ///< $NOTIFY_SOCKET was set
  bool stderr_is_usable = false;   ///< descriptor 2 is open and not /dev/null
  bool syslog_exists = false;      ///< a syslog socket is there
};

/// journal → Init · an init that reads stderr → Init · stderr → Stderr · detached → Syslog where there is one, else File.
LogTarget choose_target(const TargetFacts& facts) noexcept;
TargetFacts gather_target_facts(bool under_init) noexcept;

/// "DEVICE:INODE" in decimal names this file.
bool names_journal_stream(std::string_view journal_stream, dev_t device, ino_t inode) noexcept;

struct PathFacts {
  bool is_root = false;
  std::string_view logs_directory{};  ///< $LOGS_DIRECTORY: the first of several, separated by colons
  std::string_view state_home{};      ///< $XDG_STATE_HOME
  std::string_view home{};            ///< $HOME
};

/// $LOGS_DIRECTORY, else /var/log for root, else $XDG_STATE_HOME or ~/.local/state; then /NAME.log. A relative directory
/// counts as not set. Nothing where no rule applies, and for a name that is empty or has a slash in it.
std::optional<std::string> default_log_path(std::string_view name, const PathFacts& facts);
PathFacts gather_path_facts() noexcept;

struct ColourFacts {
  bool is_terminal = false;
  bool no_color = false;  ///< $NO_COLOR is not empty (no-color.org)
  bool force = false;     ///< $CLICOLOR_FORCE is neither empty nor 0
  bool is_dumb = false;   ///< $TERM is dumb or not set
};

/// NO_COLOR wins, then CLICOLOR_FORCE, then the terminal.
bool choose_colour(const ColourFacts& facts) noexcept;
ColourFacts gather_colour_facts(int fd) noexcept;

/// $PERDURE_SYSLOG_SOCKET (for tests and unusual machines), else /dev/log.
std::string syslog_socket_path();
/// $PERDURE_JOURNAL_SOCKET (likewise), else /run/systemd/journal/socket.
std::string journal_socket_path();

}  // namespace perdure::logbook
