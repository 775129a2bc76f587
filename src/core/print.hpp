// What happened and what is to be done, as text: one vocabulary for the log, `status`, and the scenarios of the tests.
//
// Events read back what they print, except for those whose values do not fit in a line (UnitLoaded, UnitRestored).
// Left out: escaping of unit names (whoever gives them), times of day.
// Thread, fork and signal safety: pure functions; they allocate.
//
//     log(to_text(action, names));                        // "SpawnProcess web/3/1"
//     if (auto event = parse_event("ProcessExited web/3/1 killed SIGSEGV", names)) engine.step(now, *event, actions);
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/action.hpp"
#include "core/engine.hpp"

namespace perdure::core {

/// What units are called; one that is not in it prints as "#7".
using UnitNames = std::map<UnitId, std::string, std::less<>>;

/// ActiveState= and SubState=, in systemd's words: "active" and "running".
struct StateWords {
  std::string_view active{};
  std::string_view sub{};
};
[[nodiscard]] StateWords state_words(const UnitRecord& record) noexcept;

/// "running", "stop-sigterm"
[[nodiscard]] std::string_view name(ServiceState state) noexcept;
/// Result=: "success", "exit-code", "start-limit-hit"
[[nodiscard]] std::string_view name(ServiceResult result) noexcept;
/// "start", "stop", "restart", "reload", "try-restart"
[[nodiscard]] std::string_view name(JobType type) noexcept;
/// systemd's words for the end of a job: "done", "failed", "canceled", "timeout", "refused",
/// "dependency", "skipped"
[[nodiscard]] std::string_view name(JobResult result) noexcept;
/// "SIGTERM", or "signal 35" where it has no name.
[[nodiscard]] std::string signal_name(int number);
/// "exited 1", "killed SIGKILL", "dumped SIGSEGV", "unknown"
[[nodiscard]] std::string to_text(const Exit& exit);

[[nodiscard]] std::string to_text(const Event& event, const UnitNames& names = {});
[[nodiscard]] std::string to_text(const Action& action, const UnitNames& names = {});
/// What differs from a unit that was never started: "web running run=3/1 main=running restarts=2"
[[nodiscard]] std::string to_text(const UnitRecord& record, const UnitNames& names = {});

/// Nothing where it is no event, or one about a unit without a name.
[[nodiscard]] std::optional<Event> parse_event(std::string_view text, const UnitNames& names);

}  // namespace perdure::core
