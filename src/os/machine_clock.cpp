// The clock that daemons wait by outside of tests; apart from clock.cpp because ppoll(2) is not POSIX.1-2008's.
#include <algorithm>
#include <type_traits>

#include "os/clock.hpp"
#include "os/linux.hpp"

namespace perdure::os {
namespace {

class MachineClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const noexcept override { return monotonic_now(); }
  int poll(std::span<pollfd> fds, std::optional<Instant> deadline) noexcept override {
    timespec limit{};
    if (deadline) {
      const auto left = std::max(*deadline - monotonic_now(), std::chrono::nanoseconds{0});
      limit.tv_sec = static_cast<time_t>(std::chrono::duration_cast<std::chrono::seconds>(left).count());
      limit.tv_nsec = static_cast<long>((left % std::chrono::seconds{1}).count());
    }
    return sys::ppoll(fds.data(), fds.size(), deadline ? &limit : nullptr, nullptr);
  }
};

// Threads may still wait when exit(3) runs destructors.
static_assert(std::is_trivially_destructible_v<MachineClock>);

}  // namespace

Clock& machine_clock() noexcept {
  static MachineClock clock;
  return clock;
}

}  // namespace perdure::os
