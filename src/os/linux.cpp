#include "os/linux.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/guarded.hpp"

// Kernel headers older than the calls; the numbers are the same on every architecture (asm-generic/unistd.h).
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

namespace perdure::os::sys {

int openat2(int dir, const char* path, int flags, mode_t mode, std::uint64_t resolve) noexcept {
  constexpr int tries_max = 8;
  struct {
    std::uint64_t flags, mode, resolve;
  } const how{static_cast<std::uint64_t>(flags), mode, resolve};
  int fd = -1;
  for (int tries = 0; tries < tries_max; ++tries) {
    fd = repeated(Call::openat2, [&] { return static_cast<int>(::syscall(SYS_openat2, dir, path, &how, sizeof how)); });
    if (fd >= 0 || errno != EAGAIN) break;
  }
  return fd;
}
ssize_t splice(int from, int to, std::size_t size, unsigned flags) noexcept {
  return repeated(Call::splice, [=] { return ::splice(from, nullptr, to, nullptr, size, flags); });
}
ssize_t tee(int from, int to, std::size_t size, unsigned flags) noexcept {
  return repeated(Call::tee, [=] { return ::tee(from, to, size, flags); });
}
int ioctl(int fd, unsigned long request, int* value) noexcept {
  return guarded(Call::ioctl, [=] { return ::ioctl(fd, request, value); });
}
int open_by_handle_at(int mount, struct file_handle* handle, int flags) noexcept {
  return guarded(Call::open_by_handle_at, [=] { return ::open_by_handle_at(mount, handle, flags); });
}
int chroot(const char* path) noexcept {
  return guarded(Call::chroot, [=] { return ::chroot(path); });
}
int dup3(int from, int to, int flags) noexcept {
  return repeated(Call::dup3, [=] { return ::dup3(from, to, flags); });
}
int pipe2(int fds[2], int flags) noexcept {
  return guarded(Call::pipe2, [=] { return ::pipe2(fds, flags); });
}
int close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  // glibc has a wrapper since 2.34 only.
  return guarded(Call::close_range, [=] { return static_cast<int>(::syscall(SYS_close_range, first, last, flags)); });
}

int accept4(int fd, sockaddr* address, socklen_t* length, int flags) noexcept {
  return guarded(Call::accept4, [=] { return ::accept4(fd, address, length, flags); });
}

int epoll_create1(int flags) noexcept {
  return guarded(Call::epoll_create1, [=] { return ::epoll_create1(flags); });
}
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  return guarded(Call::epoll_ctl, [=] { return ::epoll_ctl(epoll, operation, fd, event); });
}
int epoll_wait(int epoll, epoll_event* events, int max, int timeout_ms) noexcept {
  return guarded(Call::epoll_wait, [=] { return ::epoll_wait(epoll, events, max, timeout_ms); });
}
int epoll_pwait2(int epoll, epoll_event* events, int max, const timespec* timeout) noexcept {
  // glibc has a wrapper since 2.35 only. The mask's size is not looked at where there is no mask.
  return guarded(Call::epoll_pwait2, [=] {
    return static_cast<int>(::syscall(SYS_epoll_pwait2, epoll, events, max, timeout, nullptr, std::size_t{0}));
  });
}
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) noexcept {
  return guarded(Call::ppoll, [=] { return ::ppoll(fds, count, timeout, mask); });
}
int inotify_init1(int flags) noexcept {
  return guarded(Call::inotify_init1, [=] { return ::inotify_init1(flags); });
}
int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
  return guarded(Call::inotify_add_watch, [=] { return ::inotify_add_watch(fd, path, mask); });
}
int inotify_rm_watch(int fd, int watch) noexcept {
  return guarded(Call::inotify_rm_watch, [=] { return ::inotify_rm_watch(fd, watch); });
}
int memfd_create(const char* name, unsigned flags) noexcept {
  return guarded(Call::memfd_create, [=] { return ::memfd_create(name, flags); });
}
int eventfd(unsigned value, int flags) noexcept {
  return guarded(Call::eventfd, [=] { return ::eventfd(value, flags); });
}
int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
  return guarded(Call::signalfd, [=] { return ::signalfd(fd, mask, flags); });
}

int prctl(int option, unsigned long argument, unsigned long second) noexcept {
  // prctl(2) refuses many options with EINVAL unless the arguments they do not use are zero.
  return guarded(Call::prctl, [=] { return ::prctl(option, argument, second, 0UL, 0UL); });
}
int prlimit(int resource, const rlimit* wanted, rlimit* previous) noexcept {
  return guarded(Call::prlimit, [=] { return ::prlimit(0, static_cast<__rlimit_resource>(resource), wanted, previous); });
}
int ioprio_get(pid_t pid) noexcept {
  constexpr int of_process = 1;  // IOPRIO_WHO_PROCESS of <linux/ioprio.h>
  return guarded(Call::ioprio_get, [=] { return static_cast<int>(::syscall(SYS_ioprio_get, of_process, pid)); });
}
int setitimer(int timer, const itimerval& value) noexcept {
  return guarded(Call::setitimer, [&] { return ::setitimer(static_cast<__itimer_which>(timer), &value, nullptr); });
}

int mount(const char* source, const char* target, const char* type, unsigned long flags) noexcept {
  return guarded(Call::mount, [=] { return ::mount(source, target, type, flags, nullptr); });
}
int unshare(int flags) noexcept {
  return guarded(Call::unshare, [=] { return ::unshare(flags); });
}
int setgroups(std::size_t count, const gid_t* groups) noexcept {
  return guarded(Call::setgroups, [=] { return ::setgroups(count, groups); });
}
int setresgid(gid_t real, gid_t effective, gid_t saved) noexcept {
  return guarded(Call::setresgid, [=] { return ::setresgid(real, effective, saved); });
}
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept {
  return guarded(Call::setresuid, [=] { return ::setresuid(real, effective, saved); });
}
int capget(CapabilitySets* sets) noexcept {
  return guarded(Call::capget, [=] {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    __user_cap_data_struct halves[2]{};
    const long result = ::syscall(SYS_capget, &header, halves);
    const auto whole = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32 | low; };
    *sets = {.effective = whole(halves[0].effective, halves[1].effective),
             .permitted = whole(halves[0].permitted, halves[1].permitted),
             .inheritable = whole(halves[0].inheritable, halves[1].inheritable)};
    return static_cast<int>(result);
  });
}
int capset(const CapabilitySets& sets) noexcept {
  return guarded(Call::capset, [&] {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    const auto half = [&](int bits) {
      return __user_cap_data_struct{.effective = static_cast<std::uint32_t>(sets.effective >> bits),
                                    .permitted = static_cast<std::uint32_t>(sets.permitted >> bits),
                                    .inheritable = static_cast<std::uint32_t>(sets.inheritable >> bits)};
    };
    const __user_cap_data_struct halves[2]{half(0), half(32)};
    return static_cast<int>(::syscall(SYS_capset, &header, halves));
  });
}
int landlock_create_ruleset(const void* attributes, std::size_t size, std::uint32_t flags) noexcept {
  return guarded(Call::landlock_create_ruleset,
                 [=] { return static_cast<int>(::syscall(SYS_landlock_create_ruleset, attributes, size, flags)); });
}
int landlock_add_rule(int ruleset, int type, const void* attributes) noexcept {
  return guarded(Call::landlock_add_rule,
                 [=] { return static_cast<int>(::syscall(SYS_landlock_add_rule, ruleset, type, attributes, 0)); });
}
int landlock_restrict_self(int ruleset) noexcept {
  return guarded(Call::landlock_restrict_self,
                 [=] { return static_cast<int>(::syscall(SYS_landlock_restrict_self, ruleset, 0)); });
}
int seccomp(unsigned operation, unsigned flags, const void* argument) noexcept {
  return guarded(Call::seccomp, [=] { return static_cast<int>(::syscall(SYS_seccomp, operation, flags, argument)); });
}

int execveat(int fd, char* const arguments[], char* const environment[]) noexcept {
  return guarded(Call::execveat, [=] { return ::execveat(fd, "", arguments, environment, AT_EMPTY_PATH); });
}
int pidfd_open(pid_t pid, unsigned flags) noexcept {
  return guarded(Call::pidfd_open, [=] {
    if (pid > 0) return static_cast<int>(::syscall(SYS_pidfd_open, pid, flags));
    errno = EINVAL;
    return -1;
  });
}
int pidfd_send_signal(int pidfd, int signal, unsigned flags) noexcept {
  return guarded(Call::pidfd_send_signal, [=] {
    if (pidfd >= 0) return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, flags));
    errno = EBADF;
    return -1;
  });
}

ssize_t getrandom(void* buffer, std::size_t size, unsigned flags) noexcept {
  return repeated(Call::getrandom, [=] { return ::getrandom(buffer, size, flags); });
}

}  // namespace perdure::os::sys
