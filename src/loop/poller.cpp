#include "loop/poller.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "base/assert.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"

namespace perdure::loop {
namespace {

std::uint32_t events_of(Interest interest) noexcept {
  switch (interest) {
    case Interest::None: return 0;
    case Interest::Read: return EPOLLIN;
    case Interest::Write: return EPOLLOUT;
    case Interest::ReadAndWrite: return EPOLLIN | EPOLLOUT;
  }
  return 0;
}

}  // namespace

Result<Poller> Poller::open() {
  UniqueFd set{os::sys::epoll_create1(EPOLL_CLOEXEC)};
  if (!set) return Error::from_errno(errno, "create an epoll set");
  return Poller{std::move(set)};
}

Result<void> Poller::add(int fd, Interest interest, Token token) {
  return control(EPOLL_CTL_ADD, fd, interest, token, "wait for");
}

Result<void> Poller::modify(int fd, Interest interest, Token token) {
  return control(EPOLL_CTL_MOD, fd, interest, token, "change the wait for");
}

Result<void> Poller::remove(int fd) { return control(EPOLL_CTL_DEL, fd, Interest::None, 0, "end the wait for"); }

Result<void> Poller::control(int operation, int fd, Interest interest, Token token, const char* attempt) {
  epoll_event event{};
  event.events = events_of(interest);
  event.data.u64 = token;
  if (os::sys::epoll_ctl(set_.get(), operation, fd, &event) == 0) return {};
  return Error::from_errno(errno, attempt, "descriptor " + std::to_string(fd));
}

namespace {

/// epoll_wait(2) to the nanosecond, where the kernel has it.
int wait_exactly(int set, epoll_event* events, int most, Instant deadline, Instant now) noexcept {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(std::max(deadline, now) - now).count();
  const timespec timeout{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
  const int count = os::sys::epoll_pwait2(set, events, most, &timeout);
  if (count >= 0 || errno != ENOSYS) return count;
  return os::sys::epoll_wait(set, events, most, timeout_ms(deadline, now));
}

}  // namespace

Result<std::size_t> Poller::wait(std::optional<Instant> deadline, std::span<Readiness> out, Precision precision) {
  PERDURE_ASSERT(!out.empty(), "there is room for at least one fact");
  std::array<epoll_event, batch_max> events;
  const int most = static_cast<int>(std::min(out.size(), batch_max));
  int count = 0;
  do {
    const Instant now = os::monotonic_now();
    count = deadline && precision == Precision::Nanoseconds
                ? wait_exactly(set_.get(), events.data(), most, *deadline, now)
                : os::sys::epoll_wait(set_.get(), events.data(), most, timeout_ms(deadline, now));
    if (count < 0 && errno == EINTR) return std::size_t{0};
    if (count < 0) return Error::from_errno(errno, "wait for events");
    // A deadline further away than an int of milliseconds takes several waits.
  } while (count == 0 && (!deadline || os::monotonic_now() < *deadline));
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const std::uint32_t seen = events[i].events;
    out[i] = {.token = events[i].data.u64,
              .readable = (seen & EPOLLIN) != 0,
              .writable = (seen & EPOLLOUT) != 0,
              .broken = (seen & (EPOLLERR | EPOLLHUP)) != 0};
  }
  return static_cast<std::size_t>(count);
}

int timeout_ms(std::optional<Instant> deadline, Instant now) noexcept {
  if (!deadline) return -1;
  if (*deadline <= now) return 0;
  // Compared before subtracting: Instant::max() less a negative `now` would overflow.
  constexpr std::chrono::milliseconds longest{std::numeric_limits<int>::max()};
  if (now < *deadline - longest) return std::numeric_limits<int>::max();
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*deadline - now).count());
}

}  // namespace perdure::loop
