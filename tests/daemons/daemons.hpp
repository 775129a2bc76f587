// The daemons that are run for real: how each is asked whether it works, what systemd 252 showed of its unit, and where perdure
// differs from that, with the reason.
//
// What systemd showed was recorded with Debian 12's systemd 252 as process 1, the same packages and the same unit files: after the
// start, after a reload, two seconds after SIGKILL to the main process, after a stop.
// Left out: how it is compared (daemons_test.cpp). Thread safety: constants.
//
//     for (const Daemon& daemon : daemons()) run(daemon);
#pragma once

#include <iosfwd>
#include <span>
#include <string_view>
#include <vector>

namespace daemons_test {

enum class Step { Start, User, Answer, Reload, Kill, Stop, StartAgain, Log, Recover };
std::string_view word_of(Step step) noexcept;

/// Where a step ends differently than under systemd. Where `ours` stands in what is seen, the test accepts it and prints the reason.
struct Difference {
  Step step;
  std::string_view ours;
  std::string_view reason;
};

/// What becomes of the unit when its main process is killed.
enum class AfterKill { Restarted, Failed };

struct Daemon {
  std::string_view name;
  std::string_view unit;
  std::string_view setup{};    ///< shell commands before the start: what an administrator or another service provides
  std::string_view question;   ///< a shell command that succeeds where the daemon does its work
  std::string_view user;       ///< whose the main process is
  std::string_view says{};     ///< stands in its log; empty: it writes to files of its own
  bool can_reload;             ///< the unit has ExecReload=
  std::string_view change{};   ///< shell commands that change its configuration
  std::string_view changed{};  ///< as `question`, succeeds once the change is in use
  AfterKill after_kill;
  std::string_view result_of_kill = "success";  ///< Result= where it has failed
  std::vector<Difference> differences{};
};

std::span<const Daemon> daemons();
/// The name, for the test's.
std::ostream& operator<<(std::ostream& out, const Daemon& daemon);

}  // namespace daemons_test
