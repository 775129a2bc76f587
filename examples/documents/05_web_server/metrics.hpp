// Metrics: what the server counts about itself. Thread safety: all calls.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

class Metrics {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Metrics(Clock::time_point started) : started_(started) {}
  void request_served() noexcept { ++requests_served_; }
  /// Uptime in seconds; `memory`, the resident set, in bytes.
  [[nodiscard]] std::string to_json(Clock::time_point now, std::uint64_t memory) const {
    const std::chrono::duration<double> uptime = now - started_;
    const std::uint64_t served = requests_served_;
    return nlohmann::json{{"uptime", uptime.count()}, {"requests_served", served}, {"memory_usage", memory}}.dump();
  }

 private:
  const Clock::time_point started_;
  std::atomic<std::uint64_t> requests_served_{0};
};
