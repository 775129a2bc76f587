#include "os/threads.hpp"

#include <sys/syscall.h>

#include <algorithm>

#include "base/text.hpp"
#include "os/file.hpp"
#include "os/system.hpp"

namespace perdure::os {
namespace {

constexpr std::size_t proc_file_max = 4096;

struct NamedCall {
  long number;
  std::string_view name;
};

// What a thread can be found waiting in. The older calls do not exist on every architecture.
constexpr NamedCall named_calls[] = {
#ifdef SYS_open
    {SYS_open, "open"},
#endif
#ifdef SYS_poll
    {SYS_poll, "poll"},
#endif
#ifdef SYS_select
    {SYS_select, "select"},
#endif
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, "epoll_wait"},
#endif
#ifdef SYS_pause
    {SYS_pause, "pause"},
#endif
#ifdef SYS_rename
    {SYS_rename, "rename"},
#endif
#ifdef SYS_unlink
    {SYS_unlink, "unlink"},
#endif
#ifdef SYS_stat
    {SYS_stat, "stat"},
#endif
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_pwait2"},
#endif
    {SYS_read, "read"},
    {SYS_write, "write"},
    {SYS_pread64, "pread64"},
    {SYS_pwrite64, "pwrite64"},
    {SYS_readv, "readv"},
    {SYS_writev, "writev"},
    {SYS_openat, "openat"},
    {SYS_close, "close"},
    {SYS_ioctl, "ioctl"},
    {SYS_fcntl, "fcntl"},
    {SYS_flock, "flock"},
    {SYS_fsync, "fsync"},
    {SYS_fdatasync, "fdatasync"},
    {SYS_ftruncate, "ftruncate"},
    {SYS_fallocate, "fallocate"},
    {SYS_newfstatat, "newfstatat"},
    {SYS_statx, "statx"},
    {SYS_getdents64, "getdents64"},
    {SYS_renameat2, "renameat2"},
    {SYS_unlinkat, "unlinkat"},
    {SYS_sendfile, "sendfile"},
    {SYS_splice, "splice"},
    {SYS_ppoll, "ppoll"},
    {SYS_pselect6, "pselect6"},
    {SYS_epoll_pwait, "epoll_pwait"},
    {SYS_accept, "accept"},
    {SYS_accept4, "accept4"},
    {SYS_connect, "connect"},
    {SYS_recvfrom, "recvfrom"},
    {SYS_recvmsg, "recvmsg"},
    {SYS_sendto, "sendto"},
    {SYS_sendmsg, "sendmsg"},
    {SYS_futex, "futex"},
    {SYS_nanosleep, "nanosleep"},
    {SYS_clock_nanosleep, "clock_nanosleep"},
    {SYS_restart_syscall, "restart_syscall"},
    {SYS_rt_sigtimedwait, "rt_sigtimedwait"},
    {SYS_rt_sigsuspend, "rt_sigsuspend"},
    {SYS_wait4, "wait4"},
    {SYS_waitid, "waitid"},
    {SYS_semtimedop, "semtimedop"},
    {SYS_msgrcv, "msgrcv"},
    {SYS_getrandom, "getrandom"},
    {SYS_io_uring_enter, "io_uring_enter"},
};

std::string task_file(pid_t thread, std::string_view name) {
  const auto content = read_file("/proc/self/task/" + std::to_string(thread) + "/" + std::string{name}, proc_file_max);
  return content ? std::string{base::trim_end(*content)} : std::string{};
}

}  // namespace

std::vector<ThreadEntry> threads() {
  std::vector<ThreadEntry> found;
  DIR* const tasks = sys::opendir("/proc/self/task");
  if (tasks == nullptr) return found;
  for (const dirent* entry = ::readdir(tasks); entry != nullptr && found.size() < threads_max; entry = ::readdir(tasks)) {
    if (const auto id = base::parse_number<pid_t>(entry->d_name)) found.push_back({*id, task_file(*id, "comm")});
  }
  ::closedir(tasks);
  std::sort(found.begin(), found.end(), [](const ThreadEntry& a, const ThreadEntry& b) { return a.id < b.id; });
  return found;
}

std::string current_system_call(pid_t thread) {
  // proc(5): "running", or the number and its arguments, with -1 for a thread that is blocked outside a system call.
  const std::string text = task_file(thread, "syscall");
  if (text == "running") return {};
  const auto number = base::parse_number<long>(std::string_view{text}.substr(0, text.find(' ')));
  if (number && *number >= 0) {
    const std::string_view name = system_call_name(*number);
    return name.empty() ? "system call " + std::to_string(*number) : std::string{name};
  }
  const std::string wait_channel = task_file(thread, "wchan");
  return wait_channel == "0" ? std::string{} : wait_channel;
}

std::string_view system_call_name(long number) noexcept {
  const auto* const found = std::find_if(std::begin(named_calls), std::end(named_calls),
                                         [number](const NamedCall& call) { return call.number == number; });
  return found == std::end(named_calls) ? std::string_view{} : found->name;
}

}  // namespace perdure::os
