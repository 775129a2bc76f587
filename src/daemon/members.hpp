// Members: what a body that consists of several threads lets the daemon around it see of them.
//
// run() has one body, and the daemon knows all there is to know about it. An App's body is a crew of workers and checks: the
// daemon asks it who is late, what is missing and what is to be told, and for the rest treats it as any other body.
// Left out: what the members do, and when (the app module).
// Thread safety: begin() while there is one thread; what is const, from the control thread and from
// those of components at any time, and never blocks long.
//
//     class Crew final : public daemon::Members { … };
//     daemon::run_members(argc, argv, options, body, crew);
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "daemon/report.hpp"
#include "perdure/heartbeat.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"

namespace perdure::detail {
class Daemon;
}

namespace perdure::daemon {

/// Somebody whose heartbeat the control thread looks at, from the start to the end.
struct Watched {
  std::string who;  ///< "the body", `worker "poll"`
  const Heartbeat* heartbeat;
  const std::atomic<pid_t>* thread;  ///< 0 while it does not run
};

class Members {
 public:
  Members() = default;
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;
  virtual ~Members() = default;

  /// Before the control thread starts; `options` are as `configure` left them. `beat_within`: the heartbeat's deadline for whoever
  /// has none of its own; 0: none.
  virtual Result<void> begin(detail::Daemon& daemon, const Options& options, std::chrono::nanoseconds beat_within,
                             base::Instant now) = 0;
  /// Who is watched. Called once, after begin().
  virtual std::vector<Watched> watched() = 0;
  /// A watched one became late, or beats again; the control thread has logged it.
  virtual void lateness_changed(std::size_t watched, bool is_late) = 0;
  /// Adds workers and checks.
  virtual void describe(Condition& condition) const = 0;
  /// Which liveness checks fail, in words; "" for none.
  [[nodiscard]] virtual std::string unhealthy() const = 0;
  /// Why it is not ready yet, in words.
  [[nodiscard]] virtual std::string missing() const = 0;
  /// Who still runs, in words, with thread and system call; "" for nobody.
  [[nodiscard]] virtual std::string unfinished() const = 0;
  /// Why the body ended with a code other than 0; "" where it did not.
  [[nodiscard]] virtual std::string failure() const = 0;
};

/// As run_erased(), for a body that is `members`. Whether it is ready is for the body to say.
int run_members(int argc, char** argv, const Options& options, Callback<int(Context&)> body, Members& members);

}  // namespace perdure::daemon
