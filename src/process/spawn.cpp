// Why clone(2) and not fork or posix_spawn: fork copies the page tables (24 ms at 500 MB of memory, against 45 µs), may run
// out of memory doing so, and is not to be used with threads; posix_spawn has no pidfd, no close_range, and no word for what
// failed.
//
// CLONE_VM | CLONE_VFORK: the child uses our memory, and this thread waits until it has executed a program or ended. That is
// also how a failure comes back: the child writes {step, errno} into a variable of ours. A close-on-exec pipe, the usual
// way, would cost two descriptors and could be inherited by what another thread starts at the same moment.
//
// Until it has executed, the child must not run a handler of ours, in our memory: all signals are blocked from before the
// clone until its dispositions are reset. No exit signal: a child that fails before execve(2) is not seen by a SIGCHLD
// handler or by wait(2) (a successful execve sets the exit signal to SIGCHLD again, and nothing can be done about that).
#include "process/spawn.hpp"

#include <linux/sched.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>

#include <climits>

#include "os/system.hpp"

namespace perdure::process {

namespace sys = os::sys;

namespace {

constexpr const char* step_words[] = {
    "making a process failed",          "resetting its signals failed",
    "making its process group failed",  "handing over its descriptors failed",
    "closing other descriptors failed", "entering its working directory failed",
    "emptying its signal mask failed",  "executing it failed",
};
static_assert(std::size(step_words) == static_cast<std::size_t>(SpawnStep::count_), "every step has its words");

/// Enough for the calls below with sanitizers; untouched pages cost nothing.
constexpr std::size_t stack_size = 128 * 1024;

class Stack {
 public:
  Stack() noexcept
      : memory_(::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack() {
    if (*this) ::munmap(memory_, stack_size);
  }
  explicit operator bool() const noexcept { return memory_ != MAP_FAILED; }
  [[nodiscard]] void* top() const noexcept { return static_cast<char*>(memory_) + stack_size; }

 private:
  void* memory_;
};

/// Shared with the child while this thread stands still.
struct Birth {
  SpawnSpec spec;
  int first_free_target;  ///< above every target
  SpawnStep step;         ///< what the child is doing
  int error;              ///< 0, or why `step` failed
};

// ---- In the child: nothing here may allocate, lock or throw --------------------------------------------------------------

bool reset_dispositions() noexcept {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) {
    // EINVAL: SIGKILL, SIGSTOP, and two that the C library keeps for itself; execve(2) resets the handlers of those.
    if (sys::sigaction(number, &standard, nullptr) != 0 && errno != EINVAL) return false;
  }
  return true;
}

/// First all sources go above all targets, so that no dup2() hits one that is still needed.
bool move_descriptors(Birth& birth) noexcept {
  for (FdMove& move : birth.spec.fds) {
    move.from = sys::fcntl(move.from, F_DUPFD_CLOEXEC, birth.first_free_target);
    if (move.from < 0) return false;
  }
  for (const FdMove& move : birth.spec.fds) {
    if (sys::dup2(move.from, move.to) < 0) return false;
  }
  return true;
}

/// `targets` are sorted. The child has its own table of descriptors, so nothing of ours is closed.
bool close_all_but(std::span<const FdMove> targets) noexcept {
  unsigned first = 3;
  for (const FdMove& move : targets) {
    const auto target = static_cast<unsigned>(move.to);
    if (target > first && sys::close_range(first, target - 1, 0) != 0) return false;
    first = std::max(first, target + 1);
  }
  return sys::close_range(first, UINT_MAX, 0) == 0;
}

// For functions that are left by execve(2) or _exit(2) and not by a return: AddressSanitizer would leave the marks around their
// variables in the memory that is shared, where the next stack is going to be.
#define PERDURE_NEVER_RETURNS_HERE __attribute__((no_sanitize("address")))

/// As execvp(3), without its shell: a file without the mark of a program is an error.
PERDURE_NEVER_RETURNS_HERE int execute(const SpawnSpec& spec) noexcept {
  int error = ENOENT;
  for (const char* candidate : spec.candidates) {
    errno = os::injected_fault(os::Call::execve);
    if (errno == 0) ::execve(candidate, spec.arguments, spec.environment);
    const bool is_missing = errno == ENOENT || errno == ENOTDIR || errno == ESTALE || errno == ENODEV;
    if (!is_missing && errno != EACCES) return errno;
    if (errno == EACCES)
      error = EACCES;  // a file that may not be executed is better news than one that is missing elsewhere
  }
  return error;
}

bool empty_mask() noexcept {
  sigset_t none;
  ::sigemptyset(&none);
  return sys::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

PERDURE_NEVER_RETURNS_HERE int be_born(void* shared) noexcept {
  Birth& birth = *static_cast<Birth*>(shared);
  const SpawnSpec& spec = birth.spec;
  const auto begin = [&birth](SpawnStep step) { birth.step = step; };
  const bool is_prepared =
      (begin(SpawnStep::Dispositions), reset_dispositions()) && (begin(SpawnStep::Group), sys::setpgid(0, 0) == 0) &&
      (begin(SpawnStep::Descriptors), move_descriptors(birth)) && (begin(SpawnStep::CloseOthers), close_all_but(spec.fds)) &&
      (begin(SpawnStep::Directory), spec.working_directory == nullptr || sys::chdir(spec.working_directory) == 0) &&
      (begin(SpawnStep::Mask), empty_mask());
  birth.error = errno;
  if (is_prepared) {
    birth.error = 0;  // before execve, which does not return: whoever sees 0 sees a program
    begin(SpawnStep::Execute);
    birth.error = execute(spec);
  }
  constexpr int could_not_execute = 127;
  ::_exit(could_not_execute);
}

// ---- In the caller -------------------------------------------------------------------------------------------------------

Spawned failed(SpawnStep step, int error) noexcept { return {.pid = -1, .pidfd = {}, .failure = {{step, error}}}; }

pid_t clone_child(const Stack& stack, Birth& birth, int& pidfd) noexcept {
  if (const int error = os::injected_fault(os::Call::clone)) {
    errno = error;
    return -1;
  }
  return ::clone(&be_born, stack.top(), CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (birth.spec.as_sibling ? CLONE_PARENT : 0),
                 &birth, &pidfd);
}

}  // namespace

const char* words_of(SpawnStep step) noexcept { return step_words[static_cast<std::size_t>(step)]; }

Spawned spawn(SpawnSpec spec) noexcept {
  std::sort(spec.fds.begin(), spec.fds.end(), [](const FdMove& a, const FdMove& b) { return a.to < b.to; });
  const int first_free_target = spec.fds.empty() ? 3 : std::max(3, spec.fds.back().to + 1);
  Birth birth{.spec = std::move(spec), .first_free_target = first_free_target, .step = SpawnStep::Clone, .error = 0};
  const Stack stack;
  if (!stack) return failed(SpawnStep::Clone, errno);

  sigset_t all, before;
  ::sigfillset(&all);
  if (sys::sigprocmask(SIG_SETMASK, &all, &before) != 0) return failed(SpawnStep::Clone, errno);
  int pidfd = -1;
  const pid_t pid = clone_child(stack, birth, pidfd);
  const int clone_error = errno;
  sys::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return failed(SpawnStep::Clone, clone_error);

  UniqueFd process{pidfd};
  if (birth.error == 0) return {.pid = pid, .pidfd = std::move(process)};
  siginfo_t end{};
  sys::waitid(P_PIDFD, static_cast<id_t>(pidfd), &end, WEXITED | __WALL);
  return failed(birth.step, birth.error);
}

}  // namespace perdure::process
