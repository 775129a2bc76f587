// InstanceView: what the verbs of the control socket may see of the running instance, and ask of it.
//
// The manager implements it over its unit table and the core; a test implements it with plain values. Nothing here waits, and
// nothing here calls back: the end of a job is told to Verbs::job_finished later, from the loop.
// Left out: who may ask (the control server has checked that), how an answer is spelled (verbs.hpp).
// Thread safety: one thread, the loop's. Fork and signal safety: none.
//
//     if (const auto unit = instance.unit("web.service")) use(unit->active_state);
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/action.hpp"
#include "core/event.hpp"
#include "supervisor/instance_request.hpp"

namespace perdure::supervisor {

/// One moment on both clocks, in microseconds as systemd counts them: CLOCK_REALTIME since 1970, CLOCK_MONOTONIC since the boot.
/// 0 and 0: never.
struct Timestamp {
  std::uint64_t realtime_us = 0;
  std::uint64_t monotonic_us = 0;
};

/// A unit as `status`, `show` and `list-units` tell of it, in systemd's words. Views are valid until the instance next changes.
struct UnitStatus {
  std::string_view name{};                  ///< Id=, with its suffix
  std::string_view description{};           ///< empty: the name is shown
  std::string_view load_state{};            ///< "loaded", "bad-setting", "error", "masked"
  std::string_view load_error{};            ///< one line; why it is not "loaded"
  std::string_view fragment_path{};         ///< absolute; empty: no file
  std::span<const std::string> drop_ins{};  ///< their paths, in the order in which they count
  std::string_view type{};                  ///< "simple", "exec"
  std::string_view active_state{};          ///< "active", "activating", "deactivating", "inactive", "failed"
  std::string_view sub_state{};             ///< "running", "dead", "auto-restart", …
  std::string_view result{};                ///< "success", "exit-code", …
  std::string_view invocation_id{};         ///< 32 hexadecimal digits of the present or last run; empty: never started
  std::string_view control_group{};         ///< below the cgroup root; empty: none
  std::string_view restart{};               ///< Restart= as configured: "no", "always", …
  pid_t main_pid = 0;                       ///< 0: none runs
  pid_t exec_main_pid = 0;                  ///< of the present or last main process
  std::optional<core::Exit> last_exit{};    ///< how the last main process ended; none: it runs, or none was started
  std::uint32_t restarts = 0;               ///< NRestarts=
  Timestamp state_change{};                 ///< when active_state or sub_state changed last
  Timestamp active_enter{};                 ///< when it became active last
  Timestamp inactive_enter{};               ///< when it became inactive or failed last
  Timestamp exec_main_start{};
  Timestamp exec_main_exit{};
  core::JobId job = core::no_job;  ///< in flight
  core::JobType job_type = core::JobType::Start;
  bool can_reload = false;               ///< it has ExecReload=
  std::string_view status_text{};        ///< STATUS= of its last message
  int status_errno = 0;                  ///< ERRNO= of it
  std::string_view syslog_identifier{};  ///< empty: the program's name
  bool syslog_level_prefix = true;
  /// What a person should know of it, one line each: directives that are not implemented, rights that are missing.
  std::vector<std::string_view> remarks{};
};

/// The instance itself.
struct InstanceFacts {
  std::string_view version{};
  pid_t keeper_pid = 0;
  pid_t manager_pid = 0;
  std::uint64_t manager_restarts = 0;  ///< by the keeper, since the instance started
  std::uint64_t orphans_reaped = 0;    ///< by the keeper: processes that were nobody's main process; as it told last
  bool keeper_is_locked = true;        ///< its memory cannot be swapped out
  bool keeper_is_spared = true;        ///< its oom_score_adj is -1000: it is the last to be ended for want of memory
  std::size_t units = 0;               ///< NServices=: loaded
  std::size_t active = 0;
  std::size_t failed = 0;
  std::size_t jobs = 0;         ///< in flight
  Timestamp started{};          ///< the keeper
  Timestamp manager_started{};  ///< the present manager
  bool is_shutting_down = false;
  std::string_view process_tracking{};  ///< "cgroup v2", "cgroup v1", "best effort"
  std::string_view control_group{};     ///< of the instance; empty: none
  std::string_view runtime_dir{};
  std::string_view state_dir{};
  std::string_view log_dir{};
  std::vector<std::string_view> degraded{};  ///< one line each: what does not work as it should, and why
  std::vector<std::string_view> remarks{};   ///< one line each: what works as it can here, and is good to know
};

/// Why a job or a request was not taken. Nothing has changed.
struct Refusal {
  enum class Code : std::uint8_t {
    NoSuchUnit,     ///< not in the loaded set
    BadUnit,        ///< its file cannot be used; the message says why
    ShuttingDown,   ///< the instance stops
    NotApplicable,  ///< the unit is not made for that: no ExecReload=, RefuseManualStart=
    Busy,           ///< a limit of the instance is reached; later it may work
  };
  Code code = Code::NoSuchUnit;
  std::string message{};  ///< one line: what was refused, why, what to do; empty: the usual words for the code
};

/// A text that a unit is made of.
struct UnitText {
  std::string path{};
  std::string text{};
};
/// What the loader says of a unit: one line of a file.
struct Finding {
  std::string path{};
  int line = 0;  ///< 0: none
  enum class Severity : std::uint8_t { Error, Warning, Remark } severity = Severity::Warning;
  std::string message{};
};

class InstanceView {
 public:
  InstanceView() = default;
  InstanceView(const InstanceView&) = delete;
  InstanceView& operator=(const InstanceView&) = delete;
  virtual ~InstanceView() = default;

  enum class Detail : std::uint8_t {
    Known,       ///< what is in memory
    WithProcess  ///< remarks tell also what /proc says of the main process
  };
  /// None: no such unit.
  [[nodiscard]] virtual std::optional<UnitStatus> unit(std::string_view name, Detail detail) const = 0;
  /// Shows the units whose names come after `after` ("": all), in the order of their names' bytes, until `visit` says false.
  virtual void visit_units(std::string_view after, const std::function<bool(const UnitStatus&)>& visit) const = 0;
  [[nodiscard]] virtual InstanceFacts facts() const = 0;

  /// Asks the core for a job at its next step. Its end will be told to Verbs::job_finished, never from within this call.
  virtual std::variant<core::JobId, Refusal> request_job(core::JobType type, std::string_view unit) = 0;
  /// Whether the end of `job` is still to come; a job taken by an earlier manager counts too.
  [[nodiscard]] virtual bool is_in_flight(core::JobId job) const = 0;
  /// Forgets a failure and the start limit's count. None: done.
  virtual std::optional<Refusal> reset_failed(std::string_view unit) = 0;
  /// Signals processes of the unit's present run. How many; or why not.
  virtual std::variant<std::size_t, Refusal> send_signal(std::string_view unit, int signal, KillWhom whom) = 0;
  /// The unit's files as they are now, its own first; nothing where there is none.
  [[nodiscard]] virtual std::vector<UnitText> texts(std::string_view unit) const = 0;
  /// What loading the unit, or the file at a path, would say now. Changes nothing.
  [[nodiscard]] virtual std::vector<Finding> verify(std::string_view unit_or_path) const = 0;
  /// What the unit wants and requires, or who wants and requires it; by name.
  [[nodiscard]] virtual std::vector<std::string_view> dependencies(std::string_view unit, bool is_reverse) const = 0;
  /// Reads the files of all units again.
  virtual void reload_files() = 0;
  /// Ends a job; none that is in flight: false.
  virtual bool cancel(core::JobId job) = 0;
  /// What every service finds in its environment, NAME=VALUE.
  [[nodiscard]] virtual std::vector<std::string> environment() const = 0;
  /// Begins the orderly stop of everything.
  virtual void shut_down() = 0;
  /// As shut_down(); the instance ends with `code`.
  virtual void exit_with(int code) = 0;
};

}  // namespace perdure::supervisor
