// Running: one running body as its Context sees it; and RunningThread, the one that waits on a thread of its own.
//
// The body of run() and each worker of an App is one: it has a stop event, a heartbeat and a readiness of its own. Whoever
// owns it decides what its readiness means and when it is told to stop.
// Left out: starting the thread, judging a heartbeat (daemon.hpp).
// Thread safety: beat(), stopping(), log() and request_stop() from any thread, tell_to_stop() and the heartbeat from the owner's;
// the rest belongs to the body's thread. Signal safety: none.
//
//     class Body final : public RunningThread { … };
//     Context context{body};
//     body.enter(); run(context);                        // elsewhere: body.tell_to_stop()
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "os/clock.hpp"
#include "perdure/heartbeat.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/log.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::detail {

/// What a Context stands on. An interface at a seam: real threads, and a clock of a test's own.
class Running {
 public:
  Running() = default;
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  virtual ~Running() = default;

  /// The clock that the body's waits are measured with.
  [[nodiscard]] virtual base::Instant now() const noexcept = 0;
  /// As Context::wait_fds.
  virtual int wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration) = 0;
  [[nodiscard]] virtual int stop_fd() const noexcept = 0;
  [[nodiscard]] virtual bool stopping() const noexcept = 0;
  [[nodiscard]] virtual StopReason stop_reason() const noexcept = 0;
  virtual std::stop_token stop_token() = 0;
  virtual void request_stop() noexcept = 0;
  virtual void beat() noexcept = 0;
  virtual void ready() = 0;
  virtual Log& log() noexcept = 0;
  [[nodiscard]] virtual const std::vector<std::string>& args() const noexcept = 0;
  /// As Context::listener.
  [[nodiscard]] virtual int listener(std::string_view name) = 0;
  virtual ListenFds& listen_fds() noexcept = 0;
  [[nodiscard]] virtual const std::string& pid_file() const noexcept = 0;
};

/// One that runs on a thread of this process.
class RunningThread : public Running {
 public:
  /// Its waits and its heartbeat are measured by `clock`, which must outlive it.
  explicit RunningThread(os::Clock& clock) noexcept : clock_(clock) {}
  /// Makes the stop event. Before anything else.
  Result<void> prepare();
  /// From enter() on it counts as late when it neither waits nor beats for `deadline`. Before the first enter().
  void expect_beats(std::chrono::nanoseconds deadline, base::Instant now) {
    heartbeat_.emplace(deadline, now);
    heartbeat_->enter_wait();
  }
  [[nodiscard]] Heartbeat* heartbeat() noexcept { return heartbeat_ ? &*heartbeat_ : nullptr; }
  /// On its thread, before the body: a heartbeat begins, readiness can be said.
  void enter() noexcept;
  /// On its thread, after the body: whoever has ended is not late.
  void leave() noexcept;
  /// The kernel's id of the thread that is in it; 0 for none.
  [[nodiscard]] const std::atomic<pid_t>& thread() const noexcept { return thread_; }
  /// Waits return, now and from now on. What comes back, if anything, is to be asked to stop on a thread that may run the
  /// program's code: a stop token calls whatever was registered with it.
  std::optional<std::stop_source> tell_to_stop() noexcept;

  [[nodiscard]] base::Instant now() const noexcept override { return clock_.now(); }
  int wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration) override;
  [[nodiscard]] int stop_fd() const noexcept override { return stop_event_.get(); }
  [[nodiscard]] bool stopping() const noexcept override { return stopping_.load(std::memory_order_acquire); }
  std::stop_token stop_token() override;
  void beat() noexcept override;
  void ready() override;

 protected:
  /// Once after each enter(), on the body's thread.
  virtual void became_ready() = 0;

 private:
  os::Clock& clock_;
  UniqueFd stop_event_;
  std::optional<Heartbeat> heartbeat_;
  std::atomic<bool> stopping_{false};
  std::atomic<pid_t> thread_{0};
  std::mutex token_mutex_;
  std::optional<std::stop_source> stop_source_;
  // The body's thread's own.
  bool said_ready_ = false;
  std::vector<pollfd> poll_set_;
};

}  // namespace perdure::detail
