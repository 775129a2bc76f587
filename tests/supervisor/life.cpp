#include "life.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>

namespace supervisor_test {

volatile std::sig_atomic_t is_stopping = 0;

void on_sigterm(int) { is_stopping = 1; }

void handle_sigterm(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  ::sigaction(SIGTERM, &action, nullptr);
}

void work_for(int milliseconds) {
  if (is_stopping == 0) ::poll(nullptr, 0, milliseconds);
}
void work_until_stopped() {
  while (is_stopping == 0) ::poll(nullptr, 0, 100);  // a SIGTERM between the look and the call costs one round
}

Life& begin_life(TruthFile& truth) {
  if (!truth.lock()) {
    ++truth->duplicates;
    ::_exit(97);
  }
  const std::uint32_t number = truth->lives.load();
  if (number >= lives_max) ::_exit(96);
  Life& life = truth->life[number];
  life = {::getpid(), EndKind::None, 0};
  truth->lives.store(number + 1);
  handle_sigterm(on_sigterm);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  return life;
}

void exit_as(Life& life, int code) {
  life.status = code;
  life.end = EndKind::Exited;
  ::_exit(code);
}

Death death_of(std::uint64_t random) {
  constexpr std::array signals{SIGKILL, SIGSEGV, SIGABRT, SIGUSR1, SIGHUP, SIGTERM};
  if (random % 2 == 0) return {EndKind::Exited, static_cast<int>(random / 2 % 256)};
  return {EndKind::Killed, signals[random / 2 % signals.size()]};
}

void die(Life& life, Death death) {
  if (death.end == EndKind::Exited) exit_as(life, death.status);
  handle_sigterm(SIG_DFL);
  life.status = death.status;
  life.end = EndKind::Killed;
  std::raise(death.status);
  ::_exit(95);
}

}  // namespace supervisor_test
