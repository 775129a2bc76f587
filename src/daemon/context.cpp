#include <time.h>

#include <algorithm>
#include <cerrno>

#include "daemon/daemon.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/run.hpp"

namespace perdure {
namespace {

/// Tells the heartbeat that the body waits on purpose, for as long as it lives.
class Waiting {
 public:
  explicit Waiting(Heartbeat* heartbeat) noexcept : heartbeat_(heartbeat) {
    if (heartbeat_ != nullptr) heartbeat_->enter_wait();
  }
  ~Waiting() {
    if (heartbeat_ != nullptr) heartbeat_->leave_wait(os::monotonic_now());
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Heartbeat* heartbeat_;
};

// No limit, and a limit further away than the clock can count, are the same.
constexpr std::chrono::nanoseconds longest_wait = std::chrono::hours{24} * 365 * 100;

}  // namespace

bool Context::wait(std::chrono::nanoseconds duration) {
  // Not positive: a look. In wait_fds a negative duration would wait without limit.
  return wait_fds({}, std::max(duration, std::chrono::nanoseconds{0})) >= 0;
}

bool Context::wait_until(std::chrono::steady_clock::time_point instant) {
  // What lies behind us is not subtracted: time_point::min() less the time of now would come out as the far future.
  const base::Instant now = os::monotonic_now();
  return wait(instant > now ? instant - now : std::chrono::nanoseconds{0});
}

int Context::wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration) {
  ready();
  if (daemon_.stopping()) return -1;
  const bool limited = duration >= std::chrono::nanoseconds{0};
  const base::Instant end = os::monotonic_now() + std::min(limited ? duration : longest_wait, longest_wait);

  std::vector<pollfd>& set = daemon_.poll_set();
  set.assign(1, pollfd{daemon_.stop_fd(), POLLIN, 0});
  set.insert(set.end(), fds.begin(), fds.end());

  const Waiting waiting{daemon_.heartbeat()};
  for (;;) {
    const auto left = std::max(end - os::monotonic_now(), std::chrono::nanoseconds{0});
    const timespec limit{static_cast<time_t>(std::chrono::duration_cast<std::chrono::seconds>(left).count()),
                         static_cast<long>((left % std::chrono::seconds{1}).count())};
    const int count = os::sys::ppoll(set.data(), set.size(), &limit, nullptr);
    if (daemon_.stopping() || (count > 0 && set.front().revents != 0)) return -1;
    if (count > 0) {
      std::copy(set.begin() + 1, set.end(), fds.begin());
      return count;
    }
    // A signal's handler ran (EINTR): the control thread deals with it; this wait goes on. Anything else that ppoll(2) can say
    // (EINVAL, ENOMEM) must not become a busy loop: it is waited out like silence.
    if (count == 0 || errno != EINTR) {
      for (pollfd& fd : fds) fd.revents = 0;
      return 0;
    }
  }
}

int Context::stop_fd() const noexcept { return daemon_.stop_fd(); }
bool Context::stopping() const noexcept { return daemon_.stopping(); }
StopReason Context::stop_reason() const noexcept { return daemon_.stopping() ? daemon_.stop_reason() : StopReason::None; }
std::stop_token Context::stop_token() const noexcept { return daemon_.stop_token(); }
void Context::request_stop() noexcept { daemon_.request_stop(StopReason::Requested); }

void Context::beat() noexcept {
  if (Heartbeat* heartbeat = daemon_.heartbeat()) heartbeat->beat(os::monotonic_now());
}

void Context::ready() { daemon_.body_is_ready(); }
Log& Context::log() noexcept { return daemon_.log(); }
const std::vector<std::string>& Context::args() const noexcept { return daemon_.line().arguments; }
ListenFds& Context::listen_fds() noexcept { return daemon_.listen_fds(); }
const std::string& Context::pid_file() const noexcept { return daemon_.places().pid_file; }

}  // namespace perdure
