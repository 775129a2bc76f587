// FaultPlan: for its lifetime, makes the n-th call through the seam fail. For tests only.
//
// Calls of all threads are counted together, from the plan's construction on; one plan may exist at a time. Left out: calls that
// do not use the seam, so a test's own libc calls are never hit.
// Thread safety: the counters are atomic; construct and destroy on one thread. Fork: a child has its own copy of the counters.
//
//     FaultPlan plan{{.call = Call::rename, .nth = 1, .error = ENOSPC}};
//     EXPECT_FALSE(write_file_atomically(path, "new").has_value());
//     EXPECT_TRUE(plan.fired());
//
//     for (unsigned n = 1;; ++n) {                       // every call that an action makes fails once
//       FaultPlan plan{{.nth = n, .error = EIO}};
//       SCOPED_TRACE(n);
//       check_that_nothing_is_lost();
//       if (!plan.fired()) break;
//     }
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <optional>

#include "os/system.hpp"

namespace perdure::os::testing {

/// Which calls fail, and how.
struct Fault {
  std::optional<Call> call{};  ///< the kind of call that is counted; none counts them all
  unsigned nth = 1;            ///< the first one that fails, counted from 1; 0 only counts
  int error = EIO;             ///< the errno it fails with
  unsigned times = 1;          ///< how many in a row fail; EINTR more than once is repeated as often by repeating calls
};

class FaultPlan {
 public:
  explicit FaultPlan(Fault fault) noexcept {
    if (armed_.exchange(true)) {
      std::fputs("FaultPlan: another plan still exists; only one at a time can own the hook\n", stderr);
      std::abort();
    }
    fault_ = fault;
    calls_ = 0;
    failures_ = 0;
    failed_call_ = Call::count_;
    previous_ = set_fault_hook(&decide);
  }
  ~FaultPlan() {
    set_fault_hook(previous_);
    armed_ = false;
  }
  FaultPlan(const FaultPlan&) = delete;
  FaultPlan& operator=(const FaultPlan&) = delete;

  /// At least one call was made to fail.
  [[nodiscard]] bool fired() const noexcept { return failures_ > 0; }
  /// How many calls of the kind were made so far, the failed ones included.
  [[nodiscard]] unsigned calls() const noexcept { return calls_; }
  /// The name of the call that failed last, for reports; "none" as long as none did.
  [[nodiscard]] const char* failed_call() const noexcept {
    const Call call = failed_call_;
    return call == Call::count_ ? "none" : call_name(call);
  }

 private:
  static int decide(Call call) noexcept {
    if (fault_.call && *fault_.call != call) return 0;
    const unsigned number = ++calls_;
    if (fault_.nth == 0 || number < fault_.nth || number - fault_.nth >= fault_.times) return 0;
    failed_call_ = call;
    ++failures_;
    return fault_.error;
  }

  // A hook has no argument of ours to find its plan by, hence static.
  inline static std::atomic<bool> armed_{false};
  inline static Fault fault_{};
  inline static std::atomic<unsigned> calls_{0};
  inline static std::atomic<unsigned> failures_{0};
  inline static std::atomic<Call> failed_call_{Call::count_};
  FaultHook previous_ = nullptr;
};

}  // namespace perdure::os::testing
