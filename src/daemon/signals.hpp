// Signals: what arrived, noted by one handler, for a thread that can do something about it.
//
// install() puts one async-signal-safe handler on TERM, INT, HUP, USR1 and USR2 (SA_RESTART) and ignores PIPE. The handler sets a
// bit, writes an eventfd and keeps errno. The third TERM or INT ends the process at once, from the handler: whatever the
// rest of it is stuck in. Synchronous signals are never touched; nothing stays blocked.
// Handlers are a property of the process, so this is the one place of the library with state at namespace scope.
// Thread safety: install() and remove() with one thread; take() from one thread. Fork: inherited. Signal safety: the handler.
#pragma once

#include <csignal>
#include <cstdint>
#include <memory>
#include <mutex>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::daemon {

/// What has arrived since the last look.
struct Arrived {
  unsigned terms = 0;  ///< SIGTERM, how often
  unsigned ints = 0;   ///< SIGINT, how often
  bool hup = false;
  bool usr1 = false;
  bool usr2 = false;
  [[nodiscard]] bool any() const noexcept { return terms != 0 || ints != 0 || hup || usr1 || usr2; }
};

class Signals {
 public:
  /// Installs the handlers. On failure (no descriptor left): nothing is changed.
  static Result<Signals> install();
  /// Hears of no signal of the process's, only of arrive(): for a daemon that shares its process with others (hosted.hpp).
  static Result<Signals> silent();
  Signals(Signals&&) noexcept;
  Signals& operator=(Signals&&) = delete;
  /// Puts the previous dispositions back, where it changed them.
  ~Signals();

  /// The default dispositions, for a process that is a client of itself; catch_signals() undoes it.
  void restore_defaults() noexcept;
  void catch_signals() noexcept;
  /// Readable when something arrived; also the daemon's wake-up: wake() makes it readable.
  [[nodiscard]] int fd() const noexcept { return event_.get(); }
  void wake() const noexcept;
  /// The last TERM or INT that arrived, also after it was taken; 0 for none, and of silent(). Async-signal-safe, from any thread.
  [[nodiscard]] int stop_signal() const noexcept;
  /// Empties fd() and gives what arrived.
  Arrived take() noexcept;
  /// As if `number` had arrived. Requires: silent(). Any thread.
  void arrive(int number) noexcept;

 private:
  struct Told {
    std::mutex mutex{};
    Arrived arrived{};
  };
  explicit Signals(UniqueFd event, std::unique_ptr<Told> told = nullptr) noexcept
      : event_(std::move(event)), told_(std::move(told)) {}
  UniqueFd event_;
  std::unique_ptr<Told> told_;  ///< of silent() alone
};

}  // namespace perdure::daemon
