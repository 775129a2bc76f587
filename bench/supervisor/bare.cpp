// The bare peer of a supervisor: what is the least that a parent does to start programs, to start them again when they end, and
// to stop them?
//
//     bare SERVICE STAMPS COUNT [DYING MILLISECONDS]      the last DYING services end by themselves after MILLISECONDS
//
// vfork and execve for each, waitid for the ends, SIGTERM to each when it gets one itself; no logs, no sessions, no state.
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

// What the handler sees: at any moment each of them that is not 0 is a child that has not been reaped.
std::array<volatile pid_t, 100'000> children;
std::size_t count = 0;
volatile sig_atomic_t stopping = 0;

void stop(pid_t child) {
  if (child > 1)
    (void)::kill(child, SIGTERM);  // tidy: allow kill — a child that has not been reaped; a pidfd costs a third call
}

void stop_all(int) {
  stopping = 1;
  for (std::size_t i = 0; i < count; ++i) stop(children[i]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return 64;
  count = std::strtoul(argv[3], nullptr, 10);
  const std::size_t dying = argc == 6 ? std::strtoul(argv[4], nullptr, 10) : 0;
  if (count == 0 || count > children.size() || dying > count) return 64;

  std::vector<std::string> words(count);
  for (std::size_t i = 0; i < count; ++i)
    words[i] = std::to_string(i) + (i >= count - dying ? std::string{","} + argv[5] : std::string{}) + ":" + argv[2];

  struct sigaction on_term {};
  on_term.sa_handler = stop_all;
  on_term.sa_flags = SA_RESTART;
  if (::sigaction(SIGTERM, &on_term, nullptr) != 0) return 1;

  const auto start = [&](std::size_t i) {
    char* const child_argv[] = {argv[1], words[i].data(), nullptr};
    const pid_t child = ::vfork();
    if (child == 0) {
      (void)::execve(argv[1], child_argv, environ);
      ::_exit(127);
    }
    if (child < 0) std::exit(1);
    children[i] = child;
    if (stopping != 0) stop(child);  // the handler may have come before it stood in the table
  };
  for (std::size_t i = 0; i < count && stopping == 0; ++i) start(i);
  for (;;) {
    siginfo_t ended{};
    if (::waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) != 0) return errno == ECHILD ? 0 : 1;
    std::size_t i = 0;
    while (i < count && children[i] != ended.si_pid) ++i;
    if (i < count) children[i] = 0;  // before the pid is free for somebody else
    (void)::waitid(P_PID, static_cast<id_t>(ended.si_pid), &ended, WEXITED);
    if (i < count && stopping == 0) start(i);
  }
}
