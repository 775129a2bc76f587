#include "daemon/callback_thread.hpp"

#include <pthread.h>
#include <unistd.h>

#include <system_error>
#include <utility>

namespace perdure::daemon {

void CallbackThread::post(std::function<void()> task) {
  std::lock_guard lock{mutex_};
  if (finishing_) return;
  if (tasks_.empty() && !busy_) clock_.work_begins();
  tasks_.push_back(std::move(task));
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread{[this] { run(); }};
    } catch (
        const std::system_error&) {  // no thread to be had now (EAGAIN): the task stays queued, the next post tries again
    }
  }
  changed_.notify_one();
}

void CallbackThread::finish() noexcept {
  {
    std::lock_guard lock{mutex_};
    finishing_ = true;
    if (!tasks_.empty() && !busy_) clock_.work_ends();
    tasks_.clear();
    changed_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

bool CallbackThread::is_busy() const {
  std::lock_guard lock{mutex_};
  return busy_;
}

pid_t CallbackThread::id() const {
  std::lock_guard lock{mutex_};
  return id_;
}

void CallbackThread::run() {
  pthread_setname_np(pthread_self(), "callbacks");
  std::unique_lock lock{mutex_};
  id_ = ::gettid();
  for (;;) {
    changed_.wait(lock, [this] { return finishing_ || !tasks_.empty(); });
    if (finishing_) return;
    auto task = std::move(tasks_.front());
    tasks_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    task = nullptr;  // what it captured goes before anybody hears that it ended
    lock.lock();
    busy_ = false;
    if (tasks_.empty()) clock_.work_ends();
  }
}

}  // namespace perdure::daemon
