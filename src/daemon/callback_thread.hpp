// CallbackThread: the thread on which hooks and commands of the program run, one at a time, in the order they were asked for.
//
// Started on first need, so that a daemon without hooks has none. A task must not throw.
// Thread safety: post() from any thread; the rest from the owner.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "os/clock.hpp"

namespace perdure::daemon {

class CallbackThread {
 public:
  /// While it is not idle it is at work, for `clock`, which must outlive it.
  explicit CallbackThread(os::Clock& clock) noexcept : clock_(clock) {}
  CallbackThread(const CallbackThread&) = delete;
  CallbackThread& operator=(const CallbackThread&) = delete;
  ~CallbackThread() { finish(); }

  /// Queues a task. After finish() it is dropped.
  void post(std::function<void()> task);
  /// Lets the running task end, drops the queued ones, joins.
  void finish() noexcept;
  /// A task runs at this moment.
  [[nodiscard]] bool is_busy() const;
  /// The kernel's id of the thread; 0 before the first task.
  [[nodiscard]] pid_t id() const;

 private:
  void run();

  os::Clock& clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;
  std::thread thread_;
  pid_t id_ = 0;
  bool busy_ = false;
  bool finishing_ = false;
};

}  // namespace perdure::daemon
