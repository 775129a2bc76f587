// The calls of the seam that only Linux has, or that POSIX.1-2008 does not know. Included by system.hpp: what holds there
// holds here.
//
// Thread, fork and signal safety: as there. Left out: a portable build (PERDURE_PORTABLE) has none of them.
//
//     const UniqueFd process{os::sys::pidfd_open(pid, 0)};
#pragma once

#include <sys/epoll.h>

#include "os/system.hpp"

namespace perdure::os::sys {

/// For send and recv: as if the descriptor were O_NONBLOCK.
inline constexpr int do_not_wait = MSG_DONTWAIT;

/// Linux 5.6. `resolve`: RESOLVE_… of linux/openat2.h. Repeats EINTR, and a few times EAGAIN, which a rename on the way causes.
int openat2(int dir, const char* path, int flags, mode_t mode, std::uint64_t resolve) noexcept;
/// At both files' own positions. Repeats EINTR.
ssize_t splice(int from, int to, std::size_t size, unsigned flags) noexcept;
ssize_t tee(int from, int to, std::size_t size, unsigned flags) noexcept;  // repeats EINTR
int ioctl(int fd, unsigned long request, int* value) noexcept;
int open_by_handle_at(int mount, struct file_handle* handle, int flags) noexcept;
int chroot(const char* path) noexcept;
int dup3(int from, int to, int flags) noexcept;  // repeats EINTR
int pipe2(int fds[2], int flags) noexcept;
int close_range(unsigned first, unsigned last, unsigned flags) noexcept;  // Linux 5.9

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) noexcept;

int epoll_create1(int flags) noexcept;
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept;
int epoll_wait(int epoll, epoll_event* events, int max, int timeout_ms) noexcept;  // does not repeat EINTR
/// Linux 5.11; no timeout: for ever. Does not repeat EINTR. A timeout is exact only where the thread's timer slack is
/// (PR_SET_TIMERSLACK); by default it is 50 us late.
int epoll_pwait2(int epoll, epoll_event* events, int max, const timespec* timeout) noexcept;
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept;
int inotify_init1(int flags) noexcept;
int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept;
int inotify_rm_watch(int fd, int watch) noexcept;
int memfd_create(const char* name, unsigned flags) noexcept;  // Linux 3.17
int eventfd(unsigned value, int flags) noexcept;
int signalfd(int fd, const sigset_t* mask, int flags) noexcept;

int prctl(int option, unsigned long argument, unsigned long second = 0) noexcept;
/// prlimit(2) of this process; `wanted` and `previous` may be nullptr.
int prlimit(int resource, const rlimit* wanted, rlimit* previous) noexcept;
int setitimer(int timer, const itimerval& value) noexcept;
/// ioprio_get(2) of one process: its class, times 8192, and its priority.
int ioprio_get(pid_t pid) noexcept;

int mount(const char* source, const char* target, const char* type, unsigned long flags) noexcept;
int unshare(int flags) noexcept;
int setgroups(std::size_t count, const gid_t* groups) noexcept;
int setresgid(gid_t real, gid_t effective, gid_t saved) noexcept;
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept;

/// One bit for each capability of capabilities(7).
struct CapabilitySets {
  std::uint64_t effective = 0, permitted = 0, inheritable = 0;
};
/// capget(2) and capset(2) of the calling thread, _LINUX_CAPABILITY_VERSION_3.
int capget(CapabilitySets* sets) noexcept;
int capset(const CapabilitySets& sets) noexcept;

/// Linux 5.13. `attributes` may be nullptr, with flags that ask for the version.
int landlock_create_ruleset(const void* attributes, std::size_t size, std::uint32_t flags) noexcept;
int landlock_add_rule(int ruleset, int type, const void* attributes) noexcept;
int landlock_restrict_self(int ruleset) noexcept;
/// seccomp(2), Linux 3.17.
int seccomp(unsigned operation, unsigned flags, const void* argument) noexcept;

/// The program is the open file `fd` (execveat(2) with AT_EMPTY_PATH).
int execveat(int fd, char* const arguments[], char* const environment[]) noexcept;
int pidfd_open(pid_t pid, unsigned flags) noexcept;  // Linux 5.3; refuses pid <= 0 with EINVAL
/// Linux 5.1. Refuses pidfd < 0 with EBADF.
int pidfd_send_signal(int pidfd, int signal, unsigned flags = 0) noexcept;

ssize_t getrandom(void* buffer, std::size_t size, unsigned flags) noexcept;  // repeats EINTR

}  // namespace perdure::os::sys
