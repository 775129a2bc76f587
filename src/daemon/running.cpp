#include "daemon/running.hpp"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "os/clock.hpp"
#include "os/system.hpp"

namespace perdure::detail {
namespace {

/// Tells the heartbeat that the body waits on purpose, for as long as it lives.
class Waiting {
 public:
  Waiting(Heartbeat* heartbeat, const os::Clock& clock) noexcept : heartbeat_(heartbeat), clock_(clock) {
    if (heartbeat_ != nullptr) heartbeat_->enter_wait();
  }
  ~Waiting() {
    if (heartbeat_ != nullptr) heartbeat_->leave_wait(clock_.now());
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  Heartbeat* heartbeat_;
  const os::Clock& clock_;
};

// No limit, and a limit further away than the clock can count, are the same.
constexpr std::chrono::nanoseconds longest_wait = std::chrono::hours{24} * 365 * 100;

}  // namespace

Result<void> RunningThread::prepare() {
  stop_event_.reset(os::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop_event_) return Error::from_errno(errno, "make the descriptor that tells of a stop");
  return {};
}

void RunningThread::enter() noexcept {
  said_ready_ = false;
  thread_.store(::gettid(), std::memory_order_release);
  if (heartbeat_) heartbeat_->leave_wait(clock_.now());
}

void RunningThread::leave() noexcept {
  if (heartbeat_) heartbeat_->enter_wait();
  thread_.store(0, std::memory_order_release);
}

std::optional<std::stop_source> RunningThread::tell_to_stop() noexcept {
  stopping_.store(true, std::memory_order_release);
  const std::uint64_t one = 1;
  (void)os::sys::write(stop_event_.get(), &one, sizeof one);
  std::lock_guard lock{token_mutex_};  // orders this against a token that is made at this moment
  return stop_source_;
}

int RunningThread::wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration) {
  ready();
  if (stopping()) return -1;
  const bool limited = duration >= std::chrono::nanoseconds{0};
  const base::Instant end = clock_.now() + std::min(limited ? duration : longest_wait, longest_wait);

  poll_set_.assign(1, pollfd{stop_fd(), POLLIN, 0});
  poll_set_.insert(poll_set_.end(), fds.begin(), fds.end());

  const Waiting waiting{heartbeat(), clock_};
  for (;;) {
    const int count = clock_.poll(poll_set_, end);
    if (stopping() || (count > 0 && poll_set_.front().revents != 0)) return -1;
    if (count > 0) {
      std::copy(poll_set_.begin() + 1, poll_set_.end(), fds.begin());
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

std::stop_token RunningThread::stop_token() {
  std::lock_guard lock{token_mutex_};
  if (!stop_source_) {
    stop_source_.emplace();
    if (stopping()) stop_source_->request_stop();
  }
  return stop_source_->get_token();
}

void RunningThread::beat() noexcept {
  if (heartbeat_) heartbeat_->beat(clock_.now());
}

void RunningThread::ready() {
  if (!std::exchange(said_ready_, true)) became_ready();
}

}  // namespace perdure::detail
