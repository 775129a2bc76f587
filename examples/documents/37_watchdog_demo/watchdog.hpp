// A thread that does nothing but look whether the last kick is too old.
//
// Left out: what follows from it. perdure::Heartbeat, which it stands on, is told the time and so can be tested without one.
// Thread safety: one worker kicks; the watching thread is inside.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include <fmt/core.h>

#include "perdure/heartbeat.hpp"

/// Says so, once per round, when the worker's kick is overdue.
class Watchdog {
 public:
  explicit Watchdog(std::chrono::milliseconds timeout) : kick_{timeout, now()} {}

  void kick(unsigned next_round) {
    kick_.beat(now());
    round_ = next_round;
  }
  [[nodiscard]] bool is_healthy() const { return kick_.age(now()) < kick_.deadline(); }
  [[nodiscard]] auto age() const { return std::chrono::duration_cast<std::chrono::seconds>(kick_.age(now())); }

 private:
  static std::chrono::steady_clock::time_point now() { return std::chrono::steady_clock::now(); }

  void look(const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock{mutex};
    for (unsigned next = 0; !stop.stop_requested();) {
      const unsigned round = round_;
      const bool barks = !is_healthy();
      if (barks && round >= next) {
        fmt::print("[{}] WARNING: watchdog timeout exceeded!\n", round);
        next = round + 1;
      }
      const auto left = kick_.deadline() - kick_.age(now());
      stopped_.wait_for(lock, stop, barks ? kick_.deadline() / 4 : left, [] { return false; });
    }
  }

  perdure::Heartbeat kick_;
  std::atomic<unsigned> round_{0};
  std::condition_variable_any stopped_;
  std::jthread looking_{[this](const std::stop_token& stop) { look(stop); }};  // last: it uses all of the above
};
