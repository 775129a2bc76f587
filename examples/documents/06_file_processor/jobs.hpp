// Jobs: names that wait for a worker or are being worked on. Bounded, and no name is in it twice. Thread safety: all calls.
//
//     while (const auto name = jobs.take()) { work(*name); jobs.done(*name); }      // a worker; ends after close()
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

class Jobs {
 public:
  explicit Jobs(std::size_t waiting_max) : waiting_max_(waiting_max) {}

  /// False: there is no room. A name that is there already is not taken twice, and that is fine.
  bool offer(const std::string& name) {
    const std::lock_guard lock{mutex_};
    if (names_.contains(name)) return true;
    if (closed_ || waiting_.size() >= waiting_max_) return false;
    names_.insert(name);
    waiting_.push_back(name);
    changed_.notify_all();
    return true;
  }
  /// Waits for a name; none once the jobs are closed and all given out.
  std::optional<std::string> take() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return closed_ || !waiting_.empty(); });
    if (waiting_.empty()) return std::nullopt;
    std::string name = std::move(waiting_.front());
    waiting_.pop_front();
    return name;
  }
  /// What take() gave may be offered again.
  void done(const std::string& name) {
    const std::lock_guard lock{mutex_};
    names_.erase(name);
    changed_.notify_all();
  }
  /// Takes no offers any more and waits until all is done; false where that takes too long, and what waits is dropped.
  bool close(std::chrono::milliseconds within) {
    std::unique_lock lock{mutex_};
    closed_ = true;
    changed_.notify_all();
    if (changed_.wait_for(lock, within, [this] { return names_.empty(); })) return true;
    waiting_.clear();
    return false;
  }

 private:
  const std::size_t waiting_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> waiting_;
  std::set<std::string> names_;  ///< those that wait, and those given out and not done
  bool closed_ = false;
};
