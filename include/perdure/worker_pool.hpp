// WorkerPool: a fixed number of threads that take tasks from a bounded queue.
//
// For work that must not stop the loop which brings it: requests, files, lookups. Every task is run once, in the order of
// submission as far as several threads allow. stop() lets the queue drain; a limit drops what is still queued then, and says how
// much. A task that throws harms no other: its words go to `on_failure`. Whoever wants a result submits a std::packaged_task.
// Left out: priorities, threads that come and go, ending a task from outside (let long ones look at Context::stopping()).
// Thread safety: all calls but moving and destruction, from any thread, tasks included, unless said otherwise. Fork: threads do
// not survive it; start pools in the body of run(). Signals: the threads inherit the mask of who starts them. Signal safety: none.
//
//     PERDURE_TRY(auto pool, perdure::WorkerPool::start({.name = "convert", .threads = 4, .queue_max = 100}));
//     while (auto file = inbox.next(ctx))
//       pool.submit([file] { convert(*file); });     // waits while 100 are queued
//     pool.stop();                                   // all that was submitted is done
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "perdure/callback.hpp"
#include "perdure/export.hpp"
#include "perdure/result.hpp"

namespace perdure {

/// What became of a task that was submitted. But for Queued it was not taken: it never runs, and is destroyed.
enum class Submitted : std::uint8_t {
  Queued,    ///< runs once, unless a stop with a limit drops it
  Full,      ///< the queue is full and the caller did not want to wait, or must not: it is one of the pool's own threads
  TimedOut,  ///< the queue was still full when the time was over
  Stopping,  ///< stop() was called
};

struct WorkerPoolOptions {
  /// The threads are called NAME-1, NAME-2, …; the kernel shows 15 bytes, so a long name is cut before the number.
  std::string name = "worker";
  /// 0: one for each processor. 1024 at most.
  unsigned threads = 0;
  /// How many tasks may wait for a thread; at least 1.
  std::size_t queue_max = 1024;
  /// On the pool's thread, with what() of the exception that a task threw. Empty: a line on stderr. What it throws itself goes
  /// there too.
  Callback<void(std::string_view what)> on_failure{};
};

class PERDURE_EXPORT WorkerPool {
 public:
  /// Starts the threads. On failure (EAGAIN: RLIMIT_NPROC, TasksMax=): none is left running.
  static Result<WorkerPool> start(WorkerPoolOptions options);
  WorkerPool(WorkerPool&& other) noexcept;
  WorkerPool& operator=(WorkerPool&& other) noexcept;
  /// As stop().
  ~WorkerPool();

  /// A callable without arguments that need not be copyable, so that a task can own a descriptor. What it returns is ignored.
  class Task;

  /// Waits while the queue is full: Queued or Stopping. Called by a task of this pool it does not wait, because all threads could
  /// wait for each other: Full.
  Submitted submit(Task task);
  /// Does not wait: Queued, Full or Stopping.
  [[nodiscard]] Submitted try_submit(Task task);
  /// Waits `limit` at most: Queued, TimedOut, Stopping; Full as in submit().
  [[nodiscard]] Submitted submit_within(std::chrono::nanoseconds limit, Task task);

  /// Takes no more tasks, has all that are queued run, and returns when the threads have ended. Calling it again does nothing.
  /// Requires: not called by a task of this pool.
  void stop();
  /// The same, but what is still queued after `limit` is dropped; a task that runs then is waited for. Returns how many were
  /// dropped.
  std::size_t stop_within(std::chrono::nanoseconds limit);
  /// Returns once nothing is queued and nothing runs. Requires: not called by a task of this pool.
  void wait_until_idle();

  struct Use {
    std::size_t queued = 0;
    std::size_t running = 0;
    std::uint64_t done = 0;     ///< tasks that ended, those that threw among them
    std::uint64_t failed = 0;   ///< those that threw
    std::uint64_t dropped = 0;  ///< queued ones that a stop with a limit left undone
  };
  /// All at one instant.
  [[nodiscard]] Use use() const;
  /// How many there are.
  [[nodiscard]] unsigned threads() const noexcept;

 private:
  struct State;
  explicit WorkerPool(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

class WorkerPool::Task {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Task>) && std::is_invocable_v<std::decay_t<F>&> Task(F&& callable)
      : held_(std::make_unique<Held<std::decay_t<F>>>(std::forward<F>(callable))) {}  // NOLINT
  /// Requires: not moved from.
  void operator()() { held_->call(); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual void call() = 0;
  };
  template <class F>
  struct Held final : Base {
    template <class G>
    explicit Held(G&& callable) : callable_(std::forward<G>(callable)) {}
    void call() override { static_cast<void>(callable_()); }
    F callable_;
  };
  std::unique_ptr<Base> held_;
};

}  // namespace perdure
