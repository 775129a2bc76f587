#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

#include "perdure/compat/daemon.hpp"
#include "perdure/unique_fd.hpp"

namespace atom::async {
namespace {

constexpr std::array noted{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

// All that the handler touches.
std::atomic<bool> stop_seen{false};
std::array<std::atomic<bool>, noted.size()> seen{};
static_assert(std::atomic<bool>::is_always_lock_free, "a handler may use lock-free atomics only (signal-safety(7))");

std::atomic<bool>* flag_of(int signum) noexcept {
  for (std::size_t i = 0; i < noted.size(); ++i)
    if (noted[i] == signum) return &seen[i];
  return nullptr;
}

}  // namespace

void signalHandler(int signum) {
  if (std::atomic<bool>* const flag = flag_of(signum)) flag->store(true);
  if (signum == SIGTERM || signum == SIGINT) stop_seen.store(true);
}

auto stopRequested() -> bool { return stop_seen.load(); }

auto takeSignal(int signum) -> bool {
  std::atomic<bool>* const flag = flag_of(signum);
  return flag != nullptr && flag->exchange(false);
}

bool registerSignalHandlers() {
  struct sigaction action {};
  action.sa_handler = signalHandler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  bool all = true;
  for (const int signum : noted) all = ::sigaction(signum, &action, nullptr) == 0 && all;
  return all;
}

auto isProcessBackground() -> bool {
  const perdure::UniqueFd terminal{::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  return !terminal || ::tcgetpgrp(terminal.get()) != ::getpgrp();
}

}  // namespace atom::async
