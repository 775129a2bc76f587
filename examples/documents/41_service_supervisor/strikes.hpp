// When a service that fails its health checks is replaced: not at the first failure, which may be a hiccup, but at the
// third in a row; and not for ever. Pure: facts in, verdicts out; time is a parameter.
#pragma once

#include <chrono>
#include <deque>

enum class Verdict {
  Nothing,
  Recovered,  ///< healthy again after failures
  Warn,       ///< failed, but not often enough
  Replace,    ///< failed so often that it has to go; the count starts over
  GiveUp,     ///< replaced too often already
};

class Strikes {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  struct Limits {
    unsigned strikes = 3;
    unsigned replacements = 5;                                ///< at most so many …
    std::chrono::nanoseconds within = std::chrono::hours{1};  ///< … in this time
  };
  explicit Strikes(Limits limits) : limits_(limits) {}

  Verdict healthy() {
    const unsigned had = count_;
    count_ = 0;
    return had > 0 ? Verdict::Recovered : Verdict::Nothing;
  }
  Verdict failed(TimePoint now) {
    if (++count_ < limits_.strikes) return Verdict::Warn;
    while (!replaced_.empty() && now - replaced_.front() > limits_.within) replaced_.pop_front();
    if (replaced_.size() >= limits_.replacements) return Verdict::GiveUp;
    replaced_.push_back(now);
    count_ = 0;
    return Verdict::Replace;
  }
  /// Failures in a row, since the last healthy check or replacement.
  [[nodiscard]] unsigned count() const { return count_; }

 private:
  Limits limits_;
  unsigned count_ = 0;
  std::deque<TimePoint> replaced_;
};
