// Report: how a daemon describes itself: to `status`, to `metrics`, and in the names of what is late.
//
// Values in, text out.
// Thread safety: pure functions.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/lifecycle.hpp"
#include "perdure/control.hpp"
#include "perdure/log.hpp"

namespace perdure::daemon {

/// One thread of the program's that is told of by name.
struct WorkerCondition {
  std::string name;
  std::string_view state;  ///< "ready", …: a word of the module that runs it
  std::uint64_t restarts;
  std::string last_failure;  ///< "" for none
};

/// A check of the program's, as it ended last.
struct CheckCondition {
  std::string name;
  bool is_liveness;
  bool passed;
  std::string why;  ///< what is wrong; "" where nothing is
};

/// A number of the program's.
struct MetricCondition {
  std::string name;
  std::string help;
  std::string_view type;  ///< "counter" or "gauge"
  std::int64_t value;
};

/// What is told, all of it.
struct Condition {
  std::string name;
  std::string version;
  State state;
  std::string unhealthy;  ///< why it is not healthy; "": it makes progress
  pid_t pid;
  std::chrono::system_clock::time_point started_at;
  std::chrono::nanoseconds uptime;
  std::uint64_t reloads;
  std::uint64_t reloads_refused;
  std::string last_refusal;  ///< "" where the last reload went well
  std::optional<std::uint64_t> rss;
  std::optional<std::uint64_t> open_fds;
  Level log_level;
  std::uint64_t lost_log_lines;
  std::string rights{};                   ///< "" where none were to be given up
  std::vector<std::string> reductions{};  ///< what the kernel could not do of it
  std::vector<WorkerCondition> workers{};
  std::vector<CheckCondition> checks{};
  std::vector<MetricCondition> metrics{};
  /// Serving, and what readiness depends on is still so.
  [[nodiscard]] bool is_ready() const noexcept;
  [[nodiscard]] bool is_healthy() const noexcept { return state == State::Ready && unhealthy.empty(); }
};

/// Lines for people; the same as JSON for programs.
Reply status_reply(const Condition& condition);
/// Prometheus' text exposition format 0.0.4, whole lines.
std::string metrics_text(const Condition& condition);
/// The readiness checks that fail, in one line; "" for none.
std::string failed_readiness(const Condition& condition);
/// [a-zA-Z_][a-zA-Z0-9_]*, and not one that begins as ours do.
bool is_metric_name(std::string_view name) noexcept;
/// " in system call read", or nothing where it is not in one or the kernel does not say.
std::string in_system_call(std::string_view call);
/// Control characters become blanks, for protocols whose records end at a newline.
std::string one_line(std::string_view text);
/// "3 d 4 h", "2 min 5 s", "0 s": two units at most.
std::string span_text(std::chrono::nanoseconds span);

}  // namespace perdure::daemon
