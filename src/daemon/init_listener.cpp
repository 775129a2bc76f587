#include "daemon/init_listener.hpp"

#include <sys/signalfd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "daemon/notify_relay.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::daemon {
namespace {

using base::Duration;
using base::Instant;

class Relaying final : public InitListener {
 public:
  Relaying(std::unique_ptr<NotifyRelay> relay, UniqueFd signal_arrived)
      : relay_(std::move(relay)), signal_arrived_(std::move(signal_arrived)) {}

  void become_worker() noexcept override {
    signal_arrived_.reset();
    relay_->become_worker();
  }
  void worker_started(pid_t worker, Instant now) override { relay_->worker_started(worker, now); }
  void worker_ended(Instant now) override { relay_->worker_ended(now); }
  void stopping() override { relay_->stopping(); }
  void status(std::string_view text) override { relay_->status(text); }

  void wait(const std::optional<Instant>& deadline) override {
    relay_->forward(now());
    auto wake = relay_->next_deadline();
    if (deadline) wake = std::min(wake.value_or(*deadline), *deadline);
    std::array<pollfd, 2> fds{pollfd{signal_arrived_.get(), POLLIN, 0}, pollfd{relay_->fd(), POLLIN, 0}};
    (void)os::machine_clock().poll(fds, wake);
  }

 private:
  static Instant now() noexcept { return std::chrono::steady_clock::now(); }

  std::unique_ptr<NotifyRelay> relay_;
  UniqueFd signal_arrived_;  ///< readable while one of the signals is pending
};

}  // namespace

Result<std::unique_ptr<InitListener>> InitListener::connect(const sigset_t& taken, Duration start_within) {
  PERDURE_TRY(auto relay, NotifyRelay::from_environment(start_within));
  if (!relay) return std::unique_ptr<InitListener>{};
  UniqueFd signal_arrived{os::sys::signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!signal_arrived) return Error::from_errno(errno, "make", "a descriptor that tells of signals");
  return std::unique_ptr<InitListener>{std::make_unique<Relaying>(std::move(relay), std::move(signal_arrived))};
}

}  // namespace perdure::daemon
