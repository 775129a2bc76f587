// Hosted: a daemon without a process of its own, for tests that have several in one process (testing::Host).
//
// The same Daemon as under run(), on a clock of the test's and with a directory of the test's for all its files. What makes a
// process a daemon is left out: detaching and rights, which left_out() tells of, the lock, signals' handlers, the control socket,
// the environment's init, the upgrade. Configuration, hooks, listeners, components, reload, watchdog and the stop are as ever.
// Thread safety: run() on one thread, which is the daemon's main thread; everything else from any.
//
//     PERDURE_TRY(auto daemon, Hosted::make(options, body, nullptr, std::move(surroundings)));
//     std::thread main{[&] { code = daemon->run(); }};
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/clock.hpp"
#include "perdure/callback.hpp"
#include "perdure/export.hpp"
#include "perdure/log.hpp"
#include "perdure/request.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"

namespace perdure::daemon {
class Members;
}

namespace perdure::detail {

/// What a hosted daemon has instead of a process.
struct HostedSurroundings {
  os::Clock& clock;
  std::vector<std::string> words{};  ///< of the command line, without the program's name
  std::string directory{};           ///< where its files are
  std::string config{};              ///< the configuration file's path
  std::string notify{};              ///< the address of the init's socket
  std::optional<std::chrono::microseconds> watchdog{};
  Callback<Result<void>(const LogLine&)> log{};
};

class PERDURE_EXPORT Hosted {
 public:
  /// Steps 1, 2 and 6 of the start sequence. `members` may be null. On failure: the words that the terminal would read.
  static Result<std::unique_ptr<Hosted>> make(const Options& options, Callback<int(Context&)> body, daemon::Members* members,
                                              HostedSurroundings surroundings);
  Hosted() = default;
  Hosted(const Hosted&) = delete;
  Hosted& operator=(const Hosted&) = delete;
  /// Requires: run() has returned, or was never called.
  virtual ~Hosted() = default;

  /// Steps 8 to 10. Returns the exit code; that of a forced end where there was one.
  virtual int run() = 0;
  /// The code with which the process would have been ended by force. From then on nothing is answered.
  [[nodiscard]] virtual std::optional<int> forced_code() const = 0;
  /// As if the signal had arrived: TERM, INT, HUP, USR1 or USR2.
  virtual void arrive(int signal) noexcept = 0;
  /// As a client of the control socket. `answer` runs on a thread of the daemon's; never, once it has ended.
  virtual void ask(std::string verb, std::string text, std::function<void(Reply)> answer) = 0;
  /// The descriptor that Context::listener() gives; -1: the options name none so.
  [[nodiscard]] virtual int listener(std::string_view name) const = 0;
  /// Why it is not ready, in one line; "": it is.
  [[nodiscard]] virtual std::string why_not_ready() const = 0;
  /// What run() would have done, and was not done.
  [[nodiscard]] virtual const std::vector<std::string>& left_out() const noexcept = 0;
};

}  // namespace perdure::detail
