#include "daemon/signals.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "os/system.hpp"

namespace perdure::daemon {
namespace {

constexpr std::array<int, 5> handled{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
constexpr unsigned stops_that_kill = 3;

// What the handler may touch: lock-free atomics and one descriptor.
std::atomic<int> event_fd{-1};
std::atomic<unsigned> terms{0}, ints{0}, stops{0};
std::atomic<int> last_stop{0};
std::atomic<bool> hup{false}, usr1{false}, usr2{false};
static_assert(std::atomic<unsigned>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// What was there before, for the destructor.
std::array<struct sigaction, handled.size()> previous;
struct sigaction previous_pipe;

void poke(int fd) noexcept {
  const std::uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  (void)os::sys::write(fd, &one, sizeof one);
}

extern "C" void perdure_signal_handler(int number) {
  const int kept_errno = errno;
  switch (number) {
    case SIGTERM: terms.fetch_add(1, std::memory_order_relaxed); break;
    case SIGINT: ints.fetch_add(1, std::memory_order_relaxed); break;
    case SIGHUP: hup.store(true, std::memory_order_relaxed); break;
    case SIGUSR1: usr1.store(true, std::memory_order_relaxed); break;
    case SIGUSR2: usr2.store(true, std::memory_order_relaxed); break;
    default: break;
  }
  if (number == SIGTERM || number == SIGINT) last_stop.store(number, std::memory_order_relaxed);
  if ((number == SIGTERM || number == SIGINT) && stops.fetch_add(1, std::memory_order_relaxed) + 1 >= stops_that_kill)
    ::_exit(128 + number);
  poke(event_fd.load(std::memory_order_relaxed));
  errno = kept_errno;
}

}  // namespace

Result<Signals> Signals::install() {
  UniqueFd event{os::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!event) return Error::from_errno(errno, "make a wake-up descriptor");
  for (auto* counter : {&terms, &ints, &stops}) counter->store(0);
  last_stop.store(0);
  for (auto* flag : {&hup, &usr1, &usr2}) flag->store(false);
  event_fd.store(event.get());

  for (std::size_t i = 0; i < handled.size(); ++i) (void)os::sys::sigaction(handled[i], nullptr, &previous[i]);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  (void)os::sys::sigaction(SIGPIPE, &ignore, &previous_pipe);
  Signals signals{std::move(event)};
  signals.catch_signals();
  return signals;
}

Result<Signals> Signals::silent() {
  UniqueFd event{os::sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!event) return Error::from_errno(errno, "make a wake-up descriptor");
  return Signals{std::move(event), std::make_unique<Told>()};
}

Signals::Signals(Signals&& other) noexcept = default;

Signals::~Signals() {
  if (!event_ || told_) return;
  for (std::size_t i = 0; i < handled.size(); ++i) (void)os::sys::sigaction(handled[i], &previous[i], nullptr);
  (void)os::sys::sigaction(SIGPIPE, &previous_pipe, nullptr);
  event_fd.store(-1);
}

void Signals::restore_defaults() noexcept {
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (const int number : handled) (void)os::sys::sigaction(number, &by_default, nullptr);
}

void Signals::catch_signals() noexcept {
  struct sigaction action {};
  action.sa_handler = perdure_signal_handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const int number : handled) sigaddset(&action.sa_mask, number);
  // This cannot fail: the numbers are valid and none is KILL or STOP (sigaction(2)).
  for (const int number : handled) (void)os::sys::sigaction(number, &action, nullptr);
}

int Signals::stop_signal() const noexcept { return told_ ? 0 : last_stop.load(std::memory_order_relaxed); }

void Signals::wake() const noexcept { poke(event_.get()); }

Arrived Signals::take() noexcept {
  std::uint64_t count = 0;
  (void)os::sys::read(event_.get(), &count, sizeof count);
  // The descriptor is emptied first: whatever arrives from here on makes it readable again.
  if (told_) {
    const std::lock_guard lock{told_->mutex};
    return std::exchange(told_->arrived, {});
  }
  return {.terms = terms.exchange(0),
          .ints = ints.exchange(0),
          .hup = hup.exchange(false),
          .usr1 = usr1.exchange(false),
          .usr2 = usr2.exchange(false)};
}

void Signals::arrive(int number) noexcept {
  {
    const std::lock_guard lock{told_->mutex};
    Arrived& arrived = told_->arrived;
    switch (number) {
      case SIGTERM: ++arrived.terms; break;
      case SIGINT: ++arrived.ints; break;
      case SIGHUP: arrived.hup = true; break;
      case SIGUSR1: arrived.usr1 = true; break;
      case SIGUSR2: arrived.usr2 = true; break;
      default: break;
    }
  }
  wake();
}

}  // namespace perdure::daemon
