// Twenty services of all kinds, and what must be true of them whoever has been killed.
//
// Left out: the killing. Thread safety: one thread.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "instance.hpp"

namespace supervisor_test {

/// PERDURE_SEED, or a new one; said on stdout.
std::mt19937 seeded();

class Services {
 public:
  /// Adds `count` of them to an instance that has not been started.
  Services(Instance& instance, unsigned count);
  /// Remembers who runs. Requires: the instance has been started.
  void begin();
  /// Compares how main processes ended with how the manager says they did, and starts those again that run once.
  void look(UnknownEnds unknown);
  /// Lets nobody die any more, and judges everything: lives, ends, then the stop and the logs. Leaves the instance stopped.
  void judge(UnknownEnds unknown);
  /// One line of counts.
  [[nodiscard]] std::string text() const;

 private:
  enum class Kind { Log, Crash, Once, Idle };
  struct Member {
    Service& service;
    Kind kind;
    std::int64_t pid = 0;
  };
  void judge_end(const Member& member, const ShownUnit& shown, std::uint64_t life, UnknownEnds unknown);

  Instance& instance_;
  std::vector<Member> members_{};
  std::uint64_t ends_right_ = 0;
  std::uint64_t ends_unknown_ = 0;
  std::uint64_t lines_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t restarts_ = 0;
};

}  // namespace supervisor_test
