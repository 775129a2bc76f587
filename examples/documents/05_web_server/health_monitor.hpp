// HealthMonitor: whether something has been done lately. The start counts as activity. The clock is the monotonic one, or a
// test's: a step of the wall clock makes nothing stale. Thread safety: all calls.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

struct HealthStatus {
  bool healthy;
  std::string status;  ///< "OK" or "STALE"
  std::chrono::steady_clock::time_point last_activity;
  std::uint64_t processed_items;
};

class HealthMonitor {
 public:
  using Clock = std::chrono::steady_clock;
  using Now = std::function<Clock::time_point()>;
  explicit HealthMonitor(Now now = Clock::now) : now_(std::move(now)), last_activity_(now_()) {}

  void record_activity() {
    last_activity_ = now_();
    ++processed_items_;
  }
  /// STALE once the last activity is `stale_after` ago.
  [[nodiscard]] HealthStatus status(std::chrono::milliseconds stale_after) const {
    const Clock::time_point last = last_activity_;
    const bool healthy = now_() - last < stale_after;
    return {healthy, healthy ? "OK" : "STALE", last, processed_items_};
  }
  [[nodiscard]] Clock::time_point now() const { return now_(); }

 private:
  const Now now_;
  std::atomic<Clock::time_point> last_activity_;
  std::atomic<std::uint64_t> processed_items_{0};
};
