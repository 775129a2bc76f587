// Launch: what one command of a unit is started with.
//
// compile() turns a command of a loaded unit into the executor's spec (wire/spawn_spec.hpp) and what the manager has to open for
// it. Users and groups are looked up then, environment files read, $VAR replaced, the program found in the search path, the filter
// of system calls compiled. For a unit without environment files the outcome is the same until a file of accounts changes, so that
// a restart is a handful of system calls; wants_fresh_compile() says of which units it is not.
// Left out: INVOCATION_ID (per run), log pipes and cgroups (per run), directories (unit_directories.hpp), when what is run (core).
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(CompiledLaunch compiled, compile(spec, spec.service.exec_stop[0], CommandRole::Stop, accounts, surroundings,
//                                                  {{"MAINPID=812", "SERVICE_RESULT=success"}}));
//     PERDURE_CHECK(specs.put(unit.stop_place, compiled.bytes));
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "supervisor/accounts.hpp"
#include "supervisor/spec_file.hpp"
#include "supervisor/system_call_filter.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// Which of the unit's lists a command is from. Only the start's has a gate and is watched.
enum class CommandRole : std::uint8_t { Condition, StartPre, Start, StartPost, Reload, Stop, StopPost };
/// "ExecStartPre="
std::string_view directive_of(CommandRole role) noexcept;

/// A file that the manager opens before each start.
struct StreamFile {
  std::string path{};
  int flags = 0;  ///< of open(2)
};

struct Launch {
  SpecPlace place{};
  /// What the child gets after the spec, in this order: stdin's file, the log, stdout's and stderr's file, the gate.
  bool has_log = false;
  std::uint32_t files_before_log = 0;
  bool has_gate = false;
  std::vector<StreamFile> files{};
  uid_t log_owner = 0;  ///< the pipe is given to the unit's user, whoever the command runs as: a run's commands share it
  gid_t log_group = 0;
  std::string program{};  ///< for messages
};

struct CompiledLaunch {
  Launch launch{};
  std::vector<char> bytes{};
  std::vector<std::string> remarks{};  ///< what was skipped and why, one line each
};

/// Where RuntimeDirectory= and its relatives are, by unit::DirectoryKind; an empty one cannot be had here.
using DirectoryBases = std::array<std::string, unit::directory_kind_count>;

/// What the compiler must know of the world.
struct LaunchSurroundings {
  uid_t our_uid = 0;
  gid_t our_gid = 0;
  std::uint64_t nofile_soft = 1024;  ///< RLIMIT_NOFILE as the instance found it
  std::uint64_t nofile_hard = 1024;
  std::vector<std::string> environment{};        ///< every service's, before its own
  std::vector<std::string> start_environment{};  ///< the instance's, for PassEnvironment=
  std::string search_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  DirectoryBases directory_bases{"/run", "/var/lib", "/var/cache", "/var/log", "/etc"};
  std::uint64_t inherited_ambient = 0;  ///< the instance's own ambient capabilities, which no service inherits
  std::shared_ptr<SystemCallFilters> filters = std::make_shared<SystemCallFilters>();
};

/// For a user's instance the bases are those of the user: what %t, %S, %C, %L and %E mean.
DirectoryBases directory_bases_of(const unit::Specifiers& machine);

/// `extra_environment`: NAME=VALUE of what only the moment knows, MAINPID, SERVICE_RESULT, EXIT_CODE, EXIT_STATUS, NOTIFY_SOCKET,
/// WATCHDOG_USEC, or INVOCATION_ID where a command line refers to it; a unit's own setting of the same name counts more, as in
/// systemd. With WATCHDOG_USEC the start's process gets WATCHDOG_PID.
/// On failure: one line that says which directive cannot be satisfied; the command must not run.
Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const unit::ExecCommand& command, CommandRole role,
                               const Accounts& accounts, const LaunchSurroundings& surroundings,
                               std::span<const std::string> extra_environment = {});

/// The first command of ExecStart=.
Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const Accounts& accounts, const LaunchSurroundings& surroundings);

/// Whom the unit runs as, looked up: User= and Group=, the instance's own where they are not set.
Result<User> user_of_unit(const unit::ServiceSpec& service, const Accounts& accounts,
                          const LaunchSurroundings& surroundings);

/// Something is read, or only known, right before each spawn: environment files, $INVOCATION_ID in a command line.
bool wants_fresh_compile(const unit::UnitSpec& unit);

}  // namespace perdure::supervisor
