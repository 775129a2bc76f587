#include "manager_killer.hpp"

#include <perdure/testing/process.hpp>
#include <perdure/unique_fd.hpp>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <string>
#include <system_error>

#include <climits>

namespace supervisor_test {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

long trace(int request, pid_t pid, std::uintptr_t address, std::uintptr_t data) {
  return ::ptrace(static_cast<__ptrace_request>(request), pid, reinterpret_cast<void*>(address),
                  reinterpret_cast<void*>(data));
}

bool is_running(pid_t pid, const char* program) {
  char path[PATH_MAX] = {};
  const ssize_t size = ::readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), path, sizeof path - 1);
  return size > 0 && std::string{path}.ends_with(program);
}

timespec read_time(pid_t pid, std::uint64_t address) {
  timespec time{};
  const iovec here{&time, sizeof time};
  const iovec there{reinterpret_cast<void*>(address), sizeof time};
  if (::process_vm_readv(pid, &here, 1, &there, 1, 0) != ssize_t{sizeof time})
    throw std::runtime_error{"cannot read the keeper's time"};
  return time;
}

void write_time(pid_t pid, std::uint64_t address, std::int64_t ns) {
  timespec time{};
  time.tv_sec = ns / second_ns;
  time.tv_nsec = ns % second_ns;
  const iovec here{&time, sizeof time};
  const iovec there{reinterpret_cast<void*>(address), sizeof time};
  if (::process_vm_writev(pid, &here, 1, &there, 1, 0) != ssize_t{sizeof time})
    throw std::runtime_error{"cannot move the keeper's time"};
}

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * second_ns + time.tv_nsec; }

}  // namespace

ManagerKiller::ManagerKiller(pid_t keeper, pid_t manager) : keeper_(keeper), manager_(manager) {
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &child, &before_);
  constexpr std::uintptr_t options =
      PTRACE_O_TRACEVFORK | PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD;
  if (trace(PTRACE_SEIZE, keeper_, 0, options) != 0) {
    const int error = errno;
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    throw std::system_error{error, std::generic_category(), "PTRACE_SEIZE"};
  }
  keeper_traced_ = true;
}

ManagerKiller::~ManagerKiller() {
  try {
    if (keeper_traced_) let_live();
  } catch (const std::exception&) {  // the keeper is gone, or hangs: the test has said so
  }
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void ManagerKiller::resume(pid_t pid, int request, int signal) {
  // ESRCH: it was killed meanwhile; its end is told next.
  if (trace(request, pid, 0, static_cast<std::uintptr_t>(signal)) != 0 && errno != ESRCH) {
    throw std::system_error{errno, std::generic_category(), "ptrace"};
  }
}

bool ManagerKiller::pump(const std::function<bool()>& condition, Clock::time_point end) {
  const Clock::time_point hang = Clock::now() + perdure::testing::hang_limit;
  sigset_t child;
  ::sigemptyset(&child);
  ::sigaddset(&child, SIGCHLD);
  for (;;) {
    int status = 0;
    for (pid_t pid = 0; !condition() && (pid = ::waitpid(-1, &status, __WALL | WNOHANG)) > 0;) take(pid, status);
    if (condition()) return true;
    const Clock::time_point at = Clock::now();
    if (at >= end) return false;
    if (at >= hang) {
      throw std::runtime_error{"the keeper hangs (state " + std::to_string(static_cast<int>(present_)) + ", stop " +
                               std::to_string(stops_) + " of " + std::to_string(stops_wanted_) + ", " +
                               std::to_string(unborn_.size()) + " unborn)"};
    }
    const auto wait = std::chrono::nanoseconds{std::min(end, hang) - at}.count();
    const timespec time{wait / second_ns, wait % second_ns};
    ::sigtimedwait(&child, nullptr, &time);
  }
}

void ManagerKiller::take(pid_t pid, int status) {
  if (pid == keeper_) return take_keeper(status);
  if (WIFSTOPPED(status)) return take_child(pid, status);
  if (pid != manager_) born(pid);
  if (pid == manager_) {
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) ++own_ends_;
    stops_max_ = std::max(stops_max_, stops_);
    present_ = Present::None;
    manager_ = 0;
  }
}

void ManagerKiller::take_keeper(int status) {
  if (!WIFSTOPPED(status)) {
    keeper_traced_ = false;
    throw std::runtime_error{"the keeper ended"};
  }
  const int event = status >> 16;
  const int signal = WSTOPSIG(status);
  if (event == PTRACE_EVENT_STOP && keeper_is_to_stop_) {
    keeper_is_to_stop_ = false;
    return;  // asked for by interrupt_keeper(), which says how it goes on
  }
  if (event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE) {
    unsigned long child = 0;
    const bool is_told = trace(PTRACE_GETEVENTMSG, keeper_, 0, reinterpret_cast<std::uintptr_t>(&child)) == 0;
    if (is_told && early_.erase(static_cast<pid_t>(child)) == 0) unborn_.insert(static_cast<pid_t>(child));
  }
  if (signal == (SIGTRAP | 0x80)) jump_over_pauses();
  const bool is_signal = event == 0 && signal != (SIGTRAP | 0x80);
  resume(keeper_, keeper_jumps_ ? PTRACE_SYSCALL : PTRACE_CONT, is_signal ? signal : 0);
  if (keeper_is_to_stop_)
    trace(PTRACE_INTERRUPT, keeper_, 0, 0);  // any other stop takes the request back (Linux, ptrace_stop())
}

/// The keeper is at the beginning or the end of a system call, and there is no manager.
void ManagerKiller::jump_over_pauses() {
  if (!keeper_jumps_) return;
  __ptrace_syscall_info info{};
  if (trace(PTRACE_GET_SYSCALL_INFO, keeper_, sizeof info, reinterpret_cast<std::uintptr_t>(&info)) < 0) return;
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    entered_call_ = info.entry.nr;
    for (int i = 0; i < 3; ++i) entered_arguments_[i] = info.entry.args[i];
    if (entered_call_ == SYS_ppoll && entered_arguments_[2] != 0) {
      jumped_ns_ += nanoseconds(read_time(keeper_, entered_arguments_[2]));
      write_time(keeper_, entered_arguments_[2], 0);
    }
  } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && entered_call_ == SYS_clock_gettime &&
             entered_arguments_[0] == CLOCK_MONOTONIC) {
    write_time(keeper_, entered_arguments_[1], nanoseconds(read_time(keeper_, entered_arguments_[1])) + jumped_ns_);
    entered_call_ = 0;
  } else {
    entered_call_ = 0;
  }
}

/// It has executed its program, or ended without. waitpid(2) may tell of that before it tells that the keeper has made the child.
void ManagerKiller::born(pid_t pid) {
  if (unborn_.erase(pid) == 0) early_.insert(pid);
}

void ManagerKiller::take_child(pid_t pid, int status) {
  const int event = status >> 16;
  const int signal = WSTOPSIG(status);
  if (event == PTRACE_EVENT_EXEC) {
    born(pid);
    if (!is_running(pid, "/perdure-manager")) return resume(pid, PTRACE_DETACH);
    manager_ = pid;
    present_ = Present::Born;
    stops_ = 0;
    keeper_jumps_ = false;
    return;
  }
  if (pid == manager_ && signal == (SIGTRAP | 0x80)) {
    if (++stops_ == stops_wanted_) {
      present_ = Present::StoppedAt;
      return;
    }
    return resume(pid, PTRACE_SYSCALL);
  }
  const bool is_stepping = pid == manager_ && present_ == Present::Stepping;
  resume(pid, is_stepping ? PTRACE_SYSCALL : PTRACE_CONT, event == 0 ? signal : 0);
}

void ManagerKiller::interrupt_keeper() {
  keeper_is_to_stop_ = true;
  if (trace(PTRACE_INTERRUPT, keeper_, 0, 0) != 0)
    throw std::system_error{errno, std::generic_category(), "PTRACE_INTERRUPT"};
  pump([this] { return !keeper_is_to_stop_; });
}

void ManagerKiller::kill_present() {
  if (present_ == Present::None) return;
  // Traced, or a child that the keeper has not reaped while we hold the keeper: the number is its own.
  if (present_ == Present::Untraced) interrupt_keeper();
  const perdure::UniqueFd pidfd{static_cast<int>(::syscall(SYS_pidfd_open, manager_, 0))};
  if (pidfd) ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  if (present_ == Present::Untraced) {
    resume(keeper_, PTRACE_CONT);
    present_ = Present::None;
    manager_ = 0;
    return;
  }
  pump([this] { return present_ == Present::None; });
}

void ManagerKiller::bear() {
  kill_present();
  interrupt_keeper();
  keeper_jumps_ = true;
  jumped_ns_ = 0;
  entered_call_ = 0;
  resume(keeper_, PTRACE_SYSCALL);
  pump([this] { return present_ == Present::Born; });
  keeper_jumps_ = false;
}

void ManagerKiller::kill_at_stop(unsigned n) {
  bear();
  if (n > 0) {
    stops_wanted_ = n;
    present_ = Present::Stepping;
    resume(manager_, PTRACE_SYSCALL);
    pump([this] { return present_ == Present::StoppedAt || present_ == Present::None; });
  }
  kill_present();
}

void ManagerKiller::kill_after(Clock::duration life) {
  bear();
  present_ = Present::Running;
  resume(manager_, PTRACE_CONT);
  pump([this] { return present_ == Present::None; }, Clock::now() + life);
  kill_present();
}

void ManagerKiller::let_live() {
  bear();
  resume(manager_, PTRACE_DETACH);
  manager_ = 0;
  present_ = Present::None;
  interrupt_keeper();
  // Who was born meanwhile would stay ours, stopped.
  pump([this] { return unborn_.empty(); });
  resume(keeper_, PTRACE_DETACH);
  keeper_traced_ = false;
}

}  // namespace supervisor_test
