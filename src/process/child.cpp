#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "os/system.hpp"
#include "perdure/command.hpp"
#include "process/process_group.hpp"
#include "process/signal_name.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds longest_wait = std::chrono::hours{24 * 366};

Error no_longer_ours(std::string_view attempt, pid_t pid) {
  return Error::from_errno(ECHILD, attempt, "child " + std::to_string(pid)).with_advice("it was given away");
}

}  // namespace

Child::Child(Child&&) noexcept = default;

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  Child ended_here{std::move(*this)};
  pid_ = other.pid_;
  pidfd_ = std::move(other.pidfd_);
  in_ = std::move(other.in_);
  out_ = std::move(other.out_);
  err_ = std::move(other.err_);
  status_ = other.status_;
  return *this;
}

Child::~Child() {
  if (!pidfd_) return;
  static_cast<void>(send_signal_to_group(SIGKILL));  // also after it ended: for those it left behind
  if (status_) return;
  siginfo_t end{};
  sys::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &end, WEXITED | __WALL);
}

Result<ExitStatus> Child::wait() {
  for (;;) {
    PERDURE_TRY(const std::optional<ExitStatus> status, wait_for(longest_wait));
    if (status) return *status;
  }
}

Result<std::optional<ExitStatus>> Child::wait_for(std::chrono::milliseconds within) {
  if (status_) return status_;
  if (!pidfd_) return no_longer_ours("wait for", pid_);
  const auto end = Clock::now() + std::clamp(within, std::chrono::milliseconds{0}, longest_wait);
  for (;;) {
    const auto left =
        std::max(std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()), std::chrono::milliseconds{0});
    constexpr std::int64_t longest_poll = 3'600'000;
    pollfd ended{pidfd_.get(), POLLIN, 0};
    const int ready = sys::poll(&ended, 1, static_cast<int>(std::min<std::int64_t>(left.count(), longest_poll)));
    if (ready > 0) break;
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "wait for", "child " + std::to_string(pid_));
    if (left.count() == 0) return std::optional<ExitStatus>{};
  }
  siginfo_t how{};
  if (sys::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &how, WEXITED | __WALL) != 0) {
    // ECHILD: it has ended, but a wait(2) of the program's own, or an ignored SIGCHLD, took the answer away.
    if (errno != ECHILD) return Error::from_errno(errno, "wait for", "child " + std::to_string(pid_));
    status_ = ExitStatus{};
  } else {
    status_ = how.si_code == CLD_EXITED ? ExitStatus::exited(how.si_status)
                                        : ExitStatus::killed(how.si_status, how.si_code == CLD_DUMPED);
  }
  return status_;
}

Result<void> Child::send_signal(int signal) noexcept {
  if (status_) return {};
  if (!pidfd_) return no_longer_ours("send " + process::signal_name(signal) + " to", pid_);
  if (sys::pidfd_send_signal(pidfd_.get(), signal) == 0 || errno == ESRCH) return {};
  return Error::from_errno(errno, "send " + process::signal_name(signal) + " to", "child " + std::to_string(pid_));
}

Result<void> Child::send_signal_to_group(int signal) noexcept {
  if (!pidfd_) return no_longer_ours("send " + process::signal_name(signal) + " to the group of", pid_);
  return process::signal_group(
      {.leader_pidfd = pidfd_.get(), .group = pid_, .session = ::getsid(0), .is_pinned = !status_.has_value()}, signal);
}

Result<ExitStatus> Child::stop(std::chrono::milliseconds grace) {
  if (status_) return *status_;
  if (!pidfd_) return no_longer_ours("stop", pid_);
  PERDURE_CHECK(send_signal_to_group(SIGTERM));
  // Only looks: as long as it is not reaped, its number names nobody else's group.
  const auto end = Clock::now() + std::clamp(grace, std::chrono::milliseconds{0}, longest_wait);
  pollfd ended{pidfd_.get(), POLLIN, 0};
  while (ended.revents == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0) break;
    constexpr std::int64_t longest_poll = 3'600'000;
    if (sys::poll(&ended, 1, static_cast<int>(std::min<std::int64_t>(left.count(), longest_poll))) < 0) ended.revents = 0;
  }
  PERDURE_CHECK(send_signal_to_group(SIGKILL));
  return wait();
}

UniqueFd Child::detach_from_owner() noexcept { return std::move(pidfd_); }

}  // namespace perdure
