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

#include "daemon/lifecycle.hpp"
#include "perdure/control.hpp"
#include "perdure/log.hpp"

namespace perdure::daemon {

/// What is told, all of it.
struct Condition {
  std::string name;
  std::string version;
  State state;
  bool stuck;
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
};

/// Lines for people; the same as JSON for programs.
Reply status_reply(const Condition& condition);
/// Prometheus' text exposition format 0.0.4.
Reply metrics_reply(const Condition& condition);
/// " in system call read", or nothing where it is not in one or the kernel does not say.
std::string in_system_call(std::string_view call);
/// Control characters become blanks, for protocols whose records end at a newline.
std::string one_line(std::string_view text);
/// "3 d 4 h", "2 min 5 s", "0 s": two units at most.
std::string span_text(std::chrono::nanoseconds span);

}  // namespace perdure::daemon
