#include "logbook/target.hpp"

#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/text.hpp"
#include "os/system.hpp"

namespace perdure::logbook {
namespace {

std::string_view environment(const char* name) noexcept {
  const char* value = ::secure_getenv(name);
  return value == nullptr ? std::string_view{} : std::string_view{value};
}

bool is_absolute(std::string_view path) noexcept { return path.starts_with('/'); }

// What detaching and 2>/dev/null leave behind.
bool is_dev_null(const struct stat& status) noexcept { return S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3); }

}  // namespace

LogTarget choose_target(const TargetFacts& facts) noexcept {
  if (facts.stderr_is_journal) return LogTarget::Init;
  // An init that sends stderr to /dev/null (StandardError=null, a Type=forking unit) would swallow every line.
  if (facts.stderr_is_usable) return facts.under_init ? LogTarget::Init : LogTarget::Stderr;
  return facts.syslog_exists ? LogTarget::Syslog : LogTarget::File;
}

TargetFacts gather_target_facts(bool under_init) noexcept {
  TargetFacts facts;
  facts.under_init = under_init;
  struct stat status {};
  if (os::sys::fstat(STDERR_FILENO, &status) == 0) {
    facts.stderr_is_usable = !is_dev_null(status);
    facts.stderr_is_journal = names_journal_stream(environment("JOURNAL_STREAM"), status.st_dev, status.st_ino);
  }
  facts.syslog_exists = os::sys::stat(syslog_socket_path().c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
  return facts;
}

bool names_journal_stream(std::string_view journal_stream, dev_t device, ino_t inode) noexcept {
  const auto colon = journal_stream.find(':');
  if (colon == std::string_view::npos) return false;
  return base::parse_number<dev_t>(journal_stream.substr(0, colon)) == device &&
         base::parse_number<ino_t>(journal_stream.substr(colon + 1)) == inode;
}

std::optional<std::string> default_log_path(std::string_view name, const PathFacts& facts) {
  if (name.empty() || name.find('/') != std::string_view::npos) return std::nullopt;
  const std::string_view logs = facts.logs_directory.substr(0, facts.logs_directory.find(':'));
  std::string path;
  if (is_absolute(logs)) {
    path = logs;
  } else if (facts.is_root) {
    path = "/var/log";
  } else if (is_absolute(facts.state_home)) {
    path = facts.state_home;
  } else if (is_absolute(facts.home)) {
    path.append(facts.home).append("/.local/state");
  } else {
    return std::nullopt;
  }
  return path.append("/").append(name).append(".log");
}

PathFacts gather_path_facts() noexcept {
  return {.is_root = ::geteuid() == 0,
          .logs_directory = environment("LOGS_DIRECTORY"),
          .state_home = environment("XDG_STATE_HOME"),
          .home = environment("HOME")};
}

bool choose_colour(const ColourFacts& facts) noexcept {
  if (facts.no_color) return false;
  return facts.force || (facts.is_terminal && !facts.is_dumb);
}

ColourFacts gather_colour_facts(int fd) noexcept {
  const std::string_view force = environment("CLICOLOR_FORCE");
  const std::string_view term = environment("TERM");
  return {.is_terminal = ::isatty(fd) == 1,
          .no_color = !environment("NO_COLOR").empty(),
          .force = !force.empty() && force != "0",
          .is_dumb = term.empty() || term == "dumb"};
}

std::string syslog_socket_path() {
  const std::string_view path = environment("PERDURE_SYSLOG_SOCKET");
  return path.empty() ? "/dev/log" : std::string{path};
}

std::string journal_socket_path() {
  const std::string_view path = environment("PERDURE_JOURNAL_SOCKET");
  return path.empty() ? "/run/systemd/journal/socket" : std::string{path};
}

}  // namespace perdure::logbook
