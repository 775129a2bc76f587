// Launch: what a unit is started with, compiled once, so that a restart is a handful of system calls.
//
// compile() turns a loaded unit into the executor's spec (wire/spawn_spec.hpp) and what the manager has to open for it. Users
// and groups are looked up then, $VAR is replaced, the program is found in the search path. The specs of all units stand one
// after another in one memory file, the SpecFile, which goes along with every order to the keeper.
// Left out: INVOCATION_ID (per run), log pipes and cgroups (per run).
// Thread safety: one thread. Fork and signal safety: none.
//
//     PERDURE_TRY(CompiledLaunch compiled, compile(spec, accounts, surroundings));
//     PERDURE_TRY(compiled.launch.place, specs.add(compiled.bytes));
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"
#include "supervisor/accounts.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// Where a spec stands in the SpecFile.
struct SpecPlace {
  std::uint64_t offset = 0;
  std::uint32_t size = 0;
};

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
  uid_t log_owner = 0;  ///< the pipe is given to this user, so that the service may open /dev/stdout
  gid_t log_group = 0;
  std::string program{};  ///< for messages
};

struct CompiledLaunch {
  Launch launch{};
  std::vector<char> bytes{};
};

/// What the compiler must know of the world.
struct LaunchSurroundings {
  uid_t our_uid = 0;
  gid_t our_gid = 0;
  std::uint64_t nofile_soft = 1024;  ///< RLIMIT_NOFILE as the instance found it
  std::uint64_t nofile_hard = 1024;
  std::vector<std::string> environment{};  ///< every service's, before its own
  std::string search_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
};

/// On failure: one line that says which directive cannot be satisfied; the unit must not start.
Result<CompiledLaunch> compile(const unit::UnitSpec& unit, const Accounts& accounts, const LaunchSurroundings& surroundings);

class SpecFile {
 public:
  static Result<SpecFile> open();
  /// Appends a block and says where it stands, or will stand after the next flush().
  Result<SpecPlace> add(const std::vector<char>& bytes);
  /// Writes what was added since; where that fails, all of it is tried again by the next. Nothing to do costs nothing.
  Result<void> flush();
  [[nodiscard]] int fd() const noexcept { return file_.get(); }

 private:
  explicit SpecFile(UniqueFd file) noexcept : file_(std::move(file)) {}
  UniqueFd file_;
  std::uint64_t size_ = 0;         ///< with what is not written yet
  std::vector<char> unwritten_{};  ///< the end of it
};

}  // namespace perdure::supervisor
