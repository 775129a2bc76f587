// Services of every type with every phase, and what must be true of them whoever has been killed.
//
// They die by themselves, are reloaded, restarted, and go on in another process; some do none of it. Their processes keep a ledger.
// Left out: the killing. Thread safety: one thread.
#pragma once

#include <string>
#include <vector>

#include "instance.hpp"
#include "truth.hpp"

namespace supervisor_test {

class Phases {
 public:
  /// Adds them to an instance that has not been started, `count` in all.
  Phases(Instance& instance, unsigned count);
  /// Waits until each is up. Requires: the instance has been started.
  void begin();
  /// Asks for reloads and restarts, and waits for none of them.
  void look(UnknownEnds unknown);
  /// Lets nobody die any more, and judges everything. Leaves the instance stopped.
  void judge(UnknownEnds unknown);
  /// One line of counts.
  [[nodiscard]] std::string text() const;

 private:
  struct Member {
    Service& service;
    bool has_main;      ///< while it is up
    bool is_steady;     ///< nobody and nothing ends it
    bool is_restarted;  ///< by us
    unsigned restarts = 0;
  };
  [[nodiscard]] bool is_up(const Member& member);

  Instance& instance_;
  std::vector<Member> members_{};
  std::size_t runs_ = 0, reloads_ = 0, handovers_ = 0, asked_ = 0;
};

}  // namespace supervisor_test
