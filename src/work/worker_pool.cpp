#include "perdure/worker_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "os/clock.hpp"

namespace perdure {
namespace {

constexpr unsigned threads_max = 1024;
constexpr std::size_t thread_name_max = 15;  // pthread_setname_np(3): 16 bytes with the NUL
// Far enough for any wait, and near enough that adding it to the clock cannot overflow.
constexpr std::chrono::nanoseconds limit_max = std::chrono::hours{24 * 365};

std::string thread_name(std::string_view pool, std::size_t number) {
  const std::string suffix = fmt::format("-{}", number);
  return fmt::format("{}{}", pool.substr(0, thread_name_max - suffix.size()), suffix);
}

// Tasks of a pool may not wait for their own pool, so each thread knows whose it is.
thread_local const void* pool_of_this_thread = nullptr;

base::Instant after(std::chrono::nanoseconds limit) { return os::monotonic_now() + std::min(limit, limit_max); }

}  // namespace

struct WorkerPool::State {
  explicit State(WorkerPoolOptions wanted) : options(std::move(wanted)) {}

  const WorkerPoolOptions options;

  std::mutex mutex;  // guards everything up to `threads`
  std::condition_variable work_or_stop, room_or_stop, idle;
  std::deque<Task> queue;
  bool is_stopping = false;
  std::size_t running = 0;
  std::uint64_t done = 0, failed = 0, dropped = 0;

  std::mutex joining;  // guards `threads` once they run; taken before `mutex`, never while holding it
  std::vector<std::thread> threads;
  unsigned count = 0;  // of threads; does not change once they run

  [[nodiscard]] bool is_own_thread() const noexcept { return pool_of_this_thread == this; }
  [[nodiscard]] bool is_idle() const noexcept { return queue.empty() && running == 0; }
  [[nodiscard]] bool takes_or_stops() const noexcept { return is_stopping || queue.size() < options.queue_max; }

  // `until`: nothing for ever.
  Submitted submit(Task&& task, std::optional<base::Instant> until) {
    std::unique_lock lock{mutex};
    if (!takes_or_stops()) {
      if (is_own_thread()) return Submitted::Full;
      if (!until) {
        room_or_stop.wait(lock, [this] { return takes_or_stops(); });
      } else if (!room_or_stop.wait_until(lock, *until, [this] { return takes_or_stops(); })) {
        return Submitted::TimedOut;
      }
    }
    return push(std::move(task));
  }

  Submitted push(Task&& task) {
    if (is_stopping) return Submitted::Stopping;
    queue.push_back(std::move(task));
    work_or_stop.notify_one();
    return Submitted::Queued;
  }

  void run(std::size_t number) {
    pthread_setname_np(pthread_self(), thread_name(options.name, number).c_str());
    pool_of_this_thread = this;
    std::unique_lock lock{mutex};
    for (;;) {
      work_or_stop.wait(lock, [this] { return is_stopping || !queue.empty(); });
      if (queue.empty()) return;
      bool has_failed = false;
      {
        Task task = std::move(queue.front());
        queue.pop_front();
        ++running;
        lock.unlock();
        room_or_stop.notify_one();
        has_failed = !carry_out(task);
      }  // what the task owned is gone before anybody hears that it ended
      lock.lock();
      --running;
      ++done;
      failed += has_failed ? 1 : 0;
      if (is_idle()) idle.notify_all();
    }
  }

  bool carry_out(Task& task) noexcept {
    try {
      task();
      return true;
    } catch (const std::exception& error) {
      report(error.what());
    } catch (...) {
      report("something that is no std::exception");
    }
    return false;
  }

  void report(std::string_view what) noexcept {
    try {
      if (!options.on_failure) return complain("a task threw", what);
      options.on_failure(what);
    } catch (const std::exception& error) {
      complain("on_failure threw", error.what());
    } catch (...) {
      complain("on_failure threw", "something that is no std::exception");
    }
  }

  void complain(const char* occasion, std::string_view what) noexcept {
    try {
      const std::string line = fmt::format("{}: {}: {}\n", base::escape(options.name), occasion, base::escape(what));
      std::fputs(line.c_str(), stderr);
    } catch (...) {  // out of memory
    }
  }

  std::size_t stop(std::optional<base::Instant> until) {
    PERDURE_ASSERT(!is_own_thread(), "a task cannot stop its own pool: it would wait for itself");
    std::deque<Task> left_over;  // destroyed without the mutex: what tasks own is not ours to know
    {
      std::unique_lock lock{mutex};
      is_stopping = true;
      work_or_stop.notify_all();
      room_or_stop.notify_all();
      if (until && !idle.wait_until(lock, *until, [this] { return is_idle(); })) {
        left_over = std::exchange(queue, {});
        dropped += left_over.size();
      }
    }
    const std::lock_guard lock{joining};
    for (std::thread& thread : std::exchange(threads, {})) thread.join();
    return left_over.size();
  }
};

Result<WorkerPool> WorkerPool::start(WorkerPoolOptions options) {
  if (options.queue_max == 0) {
    return Error{fmt::format("cannot start the pool {}: its queue holds no task; queue_max must be 1 or more",
                             base::quote(options.name))};
  }
  const unsigned wanted = options.threads > 0 ? options.threads : std::max(1U, std::thread::hardware_concurrency());
  if (options.threads > threads_max) {
    return Error{fmt::format("cannot start the pool {} with {} threads: {} are the most", base::quote(options.name), wanted,
                             threads_max)};
  }
  auto state = std::make_unique<State>(std::move(options));
  state->threads.reserve(wanted);
  state->count = wanted;
  try {
    for (std::size_t number = 1; number <= wanted; ++number) {
      state->threads.emplace_back([state = state.get(), number] { state->run(number); });
    }
  } catch (const std::system_error& error) {
    const std::size_t running = state->threads.size();
    state->stop(std::nullopt);
    return Error::from_errno(error.code().value(), fmt::format("start thread {} of {} of the pool", running + 1, wanted),
                             state->options.name)
        .with_advice("none is left running; ask for fewer threads, or raise RLIMIT_NPROC or TasksMax=");
  }
  return WorkerPool{std::move(state)};
}

WorkerPool::WorkerPool(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
WorkerPool::WorkerPool(WorkerPool&& other) noexcept = default;
WorkerPool& WorkerPool::operator=(WorkerPool&& other) noexcept {
  if (this != &other) {
    if (state_) state_->stop(std::nullopt);
    state_ = std::move(other.state_);
  }
  return *this;
}
WorkerPool::~WorkerPool() {
  if (state_) state_->stop(std::nullopt);
}

Submitted WorkerPool::submit(Task task) { return state_->submit(std::move(task), std::nullopt); }

Submitted WorkerPool::try_submit(Task task) {
  const std::lock_guard lock{state_->mutex};
  return state_->takes_or_stops() ? state_->push(std::move(task)) : Submitted::Full;
}

Submitted WorkerPool::submit_within(std::chrono::nanoseconds limit, Task task) {
  return state_->submit(std::move(task), after(limit));
}

void WorkerPool::stop() { state_->stop(std::nullopt); }
std::size_t WorkerPool::stop_within(std::chrono::nanoseconds limit) { return state_->stop(after(limit)); }

void WorkerPool::wait_until_idle() {
  PERDURE_ASSERT(!state_->is_own_thread(), "a task cannot wait until its own pool is idle: it would wait for itself");
  std::unique_lock lock{state_->mutex};
  state_->idle.wait(lock, [this] { return state_->is_idle(); });
}

WorkerPool::Use WorkerPool::use() const {
  const std::lock_guard lock{state_->mutex};
  return {.queued = state_->queue.size(),
          .running = state_->running,
          .done = state_->done,
          .failed = state_->failed,
          .dropped = state_->dropped};
}

unsigned WorkerPool::threads() const noexcept { return state_->count; }

}  // namespace perdure
