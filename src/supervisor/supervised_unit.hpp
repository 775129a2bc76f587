// SupervisedUnit and Run: what the manager's shell holds for a unit, beside the core's record of it.
//
// Left out: decisions and everything that must outlive the manager (core::UnitRecord, the journal, the keeper's table).
// Thread safety: one thread. Fork and signal safety: none.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/event.hpp"
#include "core/unit_record.hpp"
#include "logbook/pipe_pacing.hpp"
#include "logbook/unit_log.hpp"
#include "perdure/unique_fd.hpp"
#include "supervisor/instance_view.hpp"
#include "supervisor/launch.hpp"
#include "supervisor/named_dependencies.hpp"
#include "supervisor/unit_files.hpp"
#include "unit/unit_spec.hpp"

namespace perdure::supervisor {

/// 32 digits.
std::string hexadecimal(const std::array<std::uint8_t, 16>& bytes);

/// What is known of a run's main process; of the last one it outlives the run.
struct MainProcess {
  std::uint64_t run = 0;
  pid_t pid = 0;  ///< 0: none was made yet
  std::array<std::uint8_t, 16> invocation{};
  Timestamp started{};
  Timestamp exited{};
  std::uint64_t log_pipe = 0;  ///< its inode; 0: none
  std::optional<core::Exit> exit{};
};

/// A process that helps to start, reload or stop the service.
struct ControlProcess {
  std::uint32_t spawn = 0;
  pid_t pid = 0;  ///< 0: ordered, and none was made yet
  UniqueFd pidfd{};
  std::optional<core::Exit> exit{};
  bool setup_failed = false;
};

/// One activation: its descriptors, and what is known of its main process.
struct Run : MainProcess {
  std::uint32_t spawn = 0;       ///< of the main process
  std::uint32_t last_spawn = 0;  ///< the highest that was started, or tried to
  std::unique_ptr<ControlProcess> control{};
  std::vector<std::uint32_t> unacknowledged{};  ///< spawns that the keeper holds an entry for
  std::uint32_t held = 0;                       ///< the only one of these, which the core is through with; 0: none
  pid_t main_candidate = 0;                     ///< found, and not tracked yet
  UniqueFd main_candidate_fd{};
  UniqueFd pidfd{};
  UniqueFd log{};             ///< read end of the pipe
  UniqueFd gate{};            ///< read end; says whether the program was executed
  bool setup_failed = false;  ///< it never became the program
  logbook::PipePacing pacing{};
  int watch = -1;               ///< of ProcessTracking
  bool is_watched = false;      ///< the core wants to know when nothing is left
  bool looks_for_main = false;  ///< FindMain was ordered, and not answered
  bool told_empty = false;
  bool has_directories = false;  ///< RuntimeDirectory= and its relatives were made for it
  bool told_unheard = false;     ///< a message that NotifyAccess= does not include was said
  bool told_claim = false;       ///< a MAINPID= that is none of its processes was said
  bool told_dump = false;        ///< that its stop waits for a core dump was said
  bool log_is_polled = false;    ///< the pipe is in the poller's set
  bool log_has_ended = false;    ///< nobody has it open for writing
  bool is_released = false;      ///< waits only for its last log bytes to be written
  bool is_killed = false;        ///< all of it got SIGKILL
  std::uint64_t oom_kills = 0;   ///< of its processes, when that was last counted
  std::uint8_t looks = 0;        ///< at whether it is empty, in a row
  /// No process is known to be alive.
  [[nodiscard]] bool is_without_process() const noexcept {
    const bool has_main = pid != 0 && !exit;
    return !has_main && (control == nullptr || control->pid == 0 || control->exit.has_value());
  }
};

struct SupervisedUnit {
  core::UnitId id = core::no_unit;
  std::string name{};
  std::string description{};
  std::string fragment_path{};
  std::vector<std::string> drop_ins{};  ///< their paths, in the order in which they count
  std::string load_error{};
  std::vector<std::string> remarks{};
  std::string last_failure{};  ///< why the last start or run went wrong, one line
  std::string status_text{};   ///< STATUS= of its last message, one line
  int status_errno = 0;        ///< ERRNO=
  std::string log_trouble{};   ///< why its output cannot be recorded at present, one line
  LoadState load_state = LoadState::NotFound;
  bool has_default_dependencies = true;
  bool refuses_manual_start = false;
  bool refuses_manual_stop = false;
  /// Of the texts that it was loaded from, or could not be; 0: it is more than these say, or is not saved as it is.
  std::uint64_t sources_hash = 0;
  std::vector<NamedDependency> named{};  ///< as these texts have it
  std::uint32_t own_remarks = 0;         ///< those at the front of `remarks` that say nothing of other units
  core::ServiceType type = core::ServiceType::Simple;
  core::RestartWhen restart = core::RestartWhen::No;
  core::UnitKind kind = core::UnitKind::Service;
  Launch launch{};  ///< of the first ExecStart=
  /// What else must be known at a start; most services have nothing of it, and it is kept for those that do.
  std::unique_ptr<unit::UnitSpec> spec{};
  std::vector<std::unique_ptr<Run>> runs{};  ///< the present one last
  std::unique_ptr<logbook::UnitLog> log{};   ///< made with the first byte
  std::unique_ptr<MainProcess> last{};       ///< of the last run that has been released; most never had one
  std::uint64_t next_run = 0;                ///< recorded, and no process of it ordered yet
  std::array<std::uint8_t, 16> next_invocation{};
  base::Instant telling_since{};  ///< of the lines about its endings, which are told a few at a time
  std::uint32_t told = 0;
  Timestamp state_change{};
  Timestamp active_enter{};
  Timestamp inactive_enter{};

  [[nodiscard]] Run* find_run(std::uint64_t number) const noexcept {
    for (const auto& run : runs) {
      if (run->run == number) return run.get();
    }
    return nullptr;
  }
  /// Of the present run, or of the last one.
  [[nodiscard]] const MainProcess& main_process() const noexcept {
    static constexpr MainProcess never{};
    if (const Run* const run = last_run()) return *run;
    return last != nullptr ? *last : never;
  }
  [[nodiscard]] Run* last_run() const noexcept { return runs.empty() ? nullptr : runs.back().get(); }
};

}  // namespace perdure::supervisor
