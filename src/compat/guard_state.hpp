// What a DaemonGuard knows, and calling its callback: the same on every system. realDaemon() is not: supervised_guard.cpp for
// POSIX, guard_windows.cpp.
// Thread safety: all. Fork safety: a child has its own copy. Signal safety: none.
//
//     return compat::call(callback, argc, argv, &compat::complain);
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "perdure/compat/daemon.hpp"

namespace perdure::compat {

/// What a callback that threw, or that was empty, ends with; the code that existing programs return for a failure.
inline constexpr int callback_failed = 1;

/// A line on stderr, after what std::cout holds back.
void complain(std::string_view text);
/// The callback's result. An exception and an empty callback are complained about.
int call(const std::function<int(int argc, char** argv)>& callback, int argc, char** argv,
         void (*complaint)(std::string_view));

struct GuardSettings {
  std::chrono::seconds restart_interval;
  std::chrono::milliseconds stop_timeout;
};
GuardSettings guard_settings() noexcept;

}  // namespace perdure::compat

namespace atom::async {

struct DaemonGuard::State {
  std::atomic<int> parent_id{0};
  std::atomic<int> main_id{0};
  std::atomic<std::int64_t> parent_start{0};  ///< nanoseconds since 1970; 0: not started
  std::atomic<std::int64_t> main_start{0};
  std::atomic<int> restarts{0};
  std::atomic<bool> running{false};
  mutable std::mutex mutex;
  std::string pid_path;  ///< absolute; guarded by mutex

  std::string path() const {
    const std::scoped_lock guard{mutex};
    return pid_path;
  }
  static std::int64_t nanoseconds(std::chrono::system_clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
  }
  void begin_main(int pid, std::chrono::system_clock::time_point time) {
    main_id = pid;
    main_start = nanoseconds(time);
    running = true;
  }
};

}  // namespace atom::async
