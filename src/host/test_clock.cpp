#include "host/test_clock.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>

namespace perdure::host {
namespace {

/// How often a wait for quiet looks again by itself: somebody outside may have emptied a socket that a thread waits for.
constexpr std::chrono::milliseconds look_again{20};

}  // namespace

// The machine's time, so that a program that computes with steady_clock::now() is not far off to begin with.
TestClock::TestClock() : now_(std::chrono::steady_clock::now()) {}

os::Instant TestClock::now() const noexcept {
  const std::lock_guard lock{mutex_};
  return now_;
}

int TestClock::poll(std::span<pollfd> fds, std::optional<os::Instant> deadline) noexcept {
  if (deadline && *deadline <= now()) return ::poll(fds.data(), fds.size(), 0);
  std::list<Waiter> entry;
  Waiter& waiter = entry.emplace_back();
  waiter.thread = ::gettid();
  waiter.deadline = deadline;
  waiter.wake_up.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!waiter.wake_up) std::abort();  // a test without descriptors left: there is nothing to wait by
  waiter.fds.assign(fds.begin(), fds.end());
  waiter.fds.push_back({waiter.wake_up.get(), POLLIN, 0});
  std::vector<pollfd> mine{waiter.fds};  // waiter.fds is looked at by settle()
  const auto place = entry.begin();
  {
    const std::lock_guard lock{mutex_};
    waiters_.splice(waiters_.end(), entry);
    --at_work_;
  }
  changed_.notify_all();
  int count = 0, error = 0;
  while (count == 0) {
    count = ::poll(mine.data(), mine.size(), -1);
    error = errno;
    // What was there may be gone: another thread waited for it, too. Whoever looks under the mutex and sees nothing goes on
    // waiting, so that is_quiet() was right about it.
    const std::lock_guard lock{mutex_};
    if (count > 0) count = ::poll(mine.data(), mine.size(), 0);
    if (count == 0) continue;
    entry.splice(entry.end(), waiters_, place);
    ++at_work_;
  }
  std::copy(mine.begin(), mine.end() - 1, fds.begin());
  errno = error;
  return count > 0 && mine.back().revents != 0 ? count - 1 : count;
}

void TestClock::work_begins() noexcept {
  const std::lock_guard lock{mutex_};
  ++at_work_;
}

void TestClock::work_ends() noexcept {
  {
    const std::lock_guard lock{mutex_};
    --at_work_;
  }
  changed_.notify_all();
}

bool TestClock::settle(std::chrono::nanoseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::unique_lock lock{mutex_};
  while (!is_quiet()) {
    if (std::chrono::steady_clock::now() > end) return false;
    changed_.wait_for(lock, look_again);
  }
  return true;
}

bool TestClock::is_quiet() {
  if (at_work_ != 0) return false;
  return std::none_of(waiters_.begin(), waiters_.end(),
                      [](Waiter& waiter) { return waiter.is_due || ::poll(waiter.fds.data(), waiter.fds.size(), 0) > 0; });
}

bool TestClock::step(os::Instant end) {
  const std::lock_guard lock{mutex_};
  std::optional<os::Instant> next;
  for (const Waiter& waiter : waiters_)
    if (waiter.deadline && *waiter.deadline <= end && (!next || *waiter.deadline < *next)) next = waiter.deadline;
  if (!next) return false;
  now_ = std::max(now_, *next);
  for (Waiter& waiter : waiters_) {
    if (!waiter.deadline || *waiter.deadline > now_) continue;
    waiter.is_due = true;
    const std::uint64_t one = 1;
    (void)!::write(waiter.wake_up.get(), &one, sizeof one);
  }
  return true;
}

void TestClock::jump(os::Instant to) {
  const std::lock_guard lock{mutex_};
  now_ = std::max(now_, to);
}

std::vector<pid_t> TestClock::waiting() const {
  const std::lock_guard lock{mutex_};
  std::vector<pid_t> threads;
  for (const Waiter& waiter : waiters_) threads.push_back(waiter.thread);
  return threads;
}

}  // namespace perdure::host
