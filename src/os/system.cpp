#include "os/system.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <iterator>

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

namespace perdure::os {
namespace {

std::atomic<FaultHook> fault_hook{nullptr};
static_assert(std::atomic<FaultHook>::is_always_lock_free, "the seam is used in signal handlers");

constexpr const char* call_names[] = {
    "open",
    "openat",
    "openat2",
    "close",
    "read",
    "write",
    "pread",
    "pwrite",
    "readv",
    "writev",
    "lseek",
    "splice",
    "tee",
    "ioctl",
    "ftruncate",
    "futimens",
    "fsync",
    "stat",
    "lstat",
    "fstat",
    "fstatat",
    "fchmod",
    "fchown",
    "fchownat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "unlink",
    "unlinkat",
    "rename",
    "link",
    "readlink",
    "open_by_handle_at",
    "readlinkat",
    "symlinkat",
    "access",
    "statvfs",
    "chdir",
    "chroot",
    "umask",
    "dup2",
    "dup3",
    "fcntl",
    "flock",
    "pipe2",
    "close_range",
    "opendir",
    "fdopendir",
    "socket",
    "bind",
    "listen",
    "accept4",
    "connect",
    "shutdown",
    "getsockopt",
    "setsockopt",
    "sendto",
    "sendmsg",
    "recv",
    "recvmsg",
    "socketpair",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    "memfd_create",
    "execveat",
    "eventfd",
    "signalfd",
    "sigaction",
    "sigprocmask",
    "sigtimedwait",
    "prctl",
    "prlimit",
    "setitimer",
    "ioprio_get",
    "mount",
    "unshare",
    "setgroups",
    "setresgid",
    "setresuid",
    "setuid",
    "capget",
    "capset",
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "seccomp",
    "fork",
    "setsid",
    "setpgid",
    "waitid",
    "pidfd_open",
    "pidfd_send_signal",
    "clone",
    "execve",
    "clock_gettime",
    "getrandom",
};
static_assert(std::size(call_names) == static_cast<std::size_t>(Call::count_), "every call has its name");

template <class Action>
auto guarded(Call call, Action action) noexcept -> decltype(action()) {
  if (const int error = injected_fault(call)) {
    errno = error;
    return static_cast<decltype(action())>(-1);
  }
  return action();
}

// The hook sits inside the repetition: a planned EINTR is repeated like a real one.
template <class Action>
auto repeated(Call call, Action action) noexcept -> decltype(action()) {
  for (;;) {
    const auto result = guarded(call, action);
    if (result >= 0 || errno != EINTR) return result;
  }
}

}  // namespace

FaultHook set_fault_hook(FaultHook hook) noexcept { return fault_hook.exchange(hook); }

int injected_fault(Call call) noexcept {
  const FaultHook hook = fault_hook.load(std::memory_order_acquire);
  return hook == nullptr ? 0 : hook(call);
}

const char* call_name(Call call) noexcept {
  const auto index = static_cast<std::size_t>(call);
  return index < std::size(call_names) ? call_names[index] : "?";
}

namespace sys {

int open(const char* path, int flags, mode_t mode) noexcept {
  return repeated(Call::open, [=] { return ::open(path, flags, mode); });
}
int openat(int dir, const char* path, int flags, mode_t mode) noexcept {
  return repeated(Call::openat, [=] { return ::openat(dir, path, flags, mode); });
}
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
int close(int fd) noexcept {
  // Linux frees the descriptor before it can fail, so a planned failure closes too: otherwise every fault test would leak.
  const int error = injected_fault(Call::close);
  const int result = ::close(fd);
  if (error == 0) return result;
  errno = error;
  return -1;
}
ssize_t read(int fd, void* buffer, std::size_t size) noexcept {
  return repeated(Call::read, [=] { return ::read(fd, buffer, size); });
}
ssize_t write(int fd, const void* data, std::size_t size) noexcept {
  return repeated(Call::write, [=] { return ::write(fd, data, size); });
}
ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) noexcept {
  return repeated(Call::pread, [=] { return ::pread(fd, buffer, size, offset); });
}
ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) noexcept {
  return repeated(Call::pwrite, [=] { return ::pwrite(fd, data, size, offset); });
}
ssize_t readv(int fd, const iovec* parts, int count) noexcept {
  return repeated(Call::readv, [=] { return ::readv(fd, parts, count); });
}
ssize_t writev(int fd, const iovec* parts, int count) noexcept {
  return repeated(Call::writev, [=] { return ::writev(fd, parts, count); });
}
off_t lseek(int fd, off_t offset, int whence) noexcept {
  return guarded(Call::lseek, [=] { return ::lseek(fd, offset, whence); });
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
int ftruncate(int fd, off_t size) noexcept {
  return repeated(Call::ftruncate, [=] { return ::ftruncate(fd, size); });
}
int futimens(int fd, const timespec times[2]) noexcept {
  return guarded(Call::futimens, [=] { return ::futimens(fd, times); });
}
int fsync(int fd) noexcept {
  return repeated(Call::fsync, [=] { return ::fsync(fd); });
}
int stat(const char* path, struct stat* status) noexcept {
  return guarded(Call::stat, [=] { return ::stat(path, status); });
}
int lstat(const char* path, struct stat* status) noexcept {
  return guarded(Call::lstat, [=] { return ::lstat(path, status); });
}
int fstat(int fd, struct stat* status) noexcept {
  return guarded(Call::fstat, [=] { return ::fstat(fd, status); });
}
int fstatat(int dir, const char* path, struct stat* status, int flags) noexcept {
  return guarded(Call::fstatat, [=] { return ::fstatat(dir, path, status, flags); });
}
int fchmod(int fd, mode_t mode) noexcept {
  return guarded(Call::fchmod, [=] { return ::fchmod(fd, mode); });
}
int fchown(int fd, uid_t user, gid_t group) noexcept {
  return guarded(Call::fchown, [=] { return ::fchown(fd, user, group); });
}
int fchownat(int dir, const char* path, uid_t user, gid_t group, int flags) noexcept {
  return guarded(Call::fchownat, [=] { return ::fchownat(dir, path, user, group, flags); });
}
int mkdir(const char* path, mode_t mode) noexcept {
  return guarded(Call::mkdir, [=] { return ::mkdir(path, mode); });
}
int mkdirat(int dir, const char* path, mode_t mode) noexcept {
  return guarded(Call::mkdirat, [=] { return ::mkdirat(dir, path, mode); });
}
int rmdir(const char* path) noexcept {
  return guarded(Call::rmdir, [=] { return ::rmdir(path); });
}
int unlink(const char* path) noexcept {
  return guarded(Call::unlink, [=] { return ::unlink(path); });
}
int unlinkat(int dir, const char* path, int flags) noexcept {
  return guarded(Call::unlinkat, [=] { return ::unlinkat(dir, path, flags); });
}
int rename(const char* from, const char* to) noexcept {
  return guarded(Call::rename, [=] { return ::rename(from, to); });
}
int link(const char* from, const char* to) noexcept {
  return guarded(Call::link, [=] { return ::link(from, to); });
}
ssize_t readlink(const char* path, char* buffer, std::size_t size) noexcept {
  return guarded(Call::readlink, [=] { return ::readlink(path, buffer, size); });
}
int open_by_handle_at(int mount, struct file_handle* handle, int flags) noexcept {
  return guarded(Call::open_by_handle_at, [=] { return ::open_by_handle_at(mount, handle, flags); });
}
int symlinkat(const char* target, int dir, const char* path) noexcept {
  return guarded(Call::symlinkat, [=] { return ::symlinkat(target, dir, path); });
}
ssize_t readlinkat(int dir, const char* path, char* buffer, std::size_t size) noexcept {
  return guarded(Call::readlinkat, [=] { return ::readlinkat(dir, path, buffer, size); });
}
int access(const char* path, int mode) noexcept {
  return guarded(Call::access, [=] { return ::access(path, mode); });
}
int statvfs(const char* path, struct statvfs* status) noexcept {
  return guarded(Call::statvfs, [=] { return ::statvfs(path, status); });
}
int chdir(const char* path) noexcept {
  return guarded(Call::chdir, [=] { return ::chdir(path); });
}
int chroot(const char* path) noexcept {
  return guarded(Call::chroot, [=] { return ::chroot(path); });
}
mode_t umask(mode_t mask) noexcept {
  static_cast<void>(injected_fault(Call::umask));  // counted, but umask(2) cannot fail
  return ::umask(mask);
}
int dup2(int from, int to) noexcept {
  return repeated(Call::dup2, [=] { return ::dup2(from, to); });
}
int dup3(int from, int to, int flags) noexcept {
  return repeated(Call::dup3, [=] { return ::dup3(from, to, flags); });
}
int fcntl(int fd, int command, int argument) noexcept {
  return guarded(Call::fcntl, [=] { return ::fcntl(fd, command, argument); });
}
int flock(int fd, int operation) noexcept {
  return repeated(Call::flock, [=] { return ::flock(fd, operation); });
}
int pipe2(int fds[2], int flags) noexcept {
  return guarded(Call::pipe2, [=] { return ::pipe2(fds, flags); });
}
int close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  // glibc has a wrapper since 2.34 only.
  return guarded(Call::close_range, [=] { return static_cast<int>(::syscall(SYS_close_range, first, last, flags)); });
}
DIR* opendir(const char* path) noexcept {
  if (const int error = injected_fault(Call::opendir)) {
    errno = error;
    return nullptr;
  }
  return ::opendir(path);
}
DIR* fdopendir(int fd) noexcept {
  if (const int error = injected_fault(Call::fdopendir)) {
    errno = error;
    return nullptr;
  }
  return ::fdopendir(fd);
}

int socket(int domain, int type, int protocol) noexcept {
  return guarded(Call::socket, [=] { return ::socket(domain, type, protocol); });
}
int bind(int fd, const sockaddr* address, socklen_t length) noexcept {
  return guarded(Call::bind, [=] { return ::bind(fd, address, length); });
}
int listen(int fd, int backlog) noexcept {
  return guarded(Call::listen, [=] { return ::listen(fd, backlog); });
}
int accept4(int fd, sockaddr* address, socklen_t* length, int flags) noexcept {
  return guarded(Call::accept4, [=] { return ::accept4(fd, address, length, flags); });
}
int connect(int fd, const sockaddr* address, socklen_t length) noexcept {
  return guarded(Call::connect, [=] { return ::connect(fd, address, length); });
}
int shutdown(int fd, int how) noexcept {
  return guarded(Call::shutdown, [=] { return ::shutdown(fd, how); });
}
int getsockopt(int fd, int level, int name, void* value, socklen_t* length) noexcept {
  return guarded(Call::getsockopt, [=] { return ::getsockopt(fd, level, name, value, length); });
}
int setsockopt(int fd, int level, int name, const void* value, socklen_t length) noexcept {
  return guarded(Call::setsockopt, [=] { return ::setsockopt(fd, level, name, value, length); });
}
ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* address, socklen_t length) noexcept {
  return guarded(Call::sendto, [=] { return ::sendto(fd, data, size, flags, address, length); });
}
ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept {
  return guarded(Call::sendmsg, [=] { return ::sendmsg(fd, message, flags); });
}
ssize_t recv(int fd, void* buffer, std::size_t size, int flags) noexcept {
  return guarded(Call::recv, [=] { return ::recv(fd, buffer, size, flags); });
}
ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept {
  return guarded(Call::recvmsg, [=] { return ::recvmsg(fd, message, flags); });
}
int socketpair(int domain, int type, int protocol, int fds[2]) noexcept {
  return guarded(Call::socketpair, [=] { return ::socketpair(domain, type, protocol, fds); });
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
int poll(pollfd* fds, nfds_t count, int timeout_ms) noexcept {
  return guarded(Call::poll, [=] { return ::poll(fds, count, timeout_ms); });
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

int sigaction(int number, const struct sigaction* action, struct sigaction* previous) noexcept {
  return guarded(Call::sigaction, [=] { return ::sigaction(number, action, previous); });
}
int sigprocmask(int how, const sigset_t* set, sigset_t* previous) noexcept {
  return guarded(Call::sigprocmask, [=] {
    const int error = ::pthread_sigmask(how, set, previous);
    if (error == 0) return 0;
    errno = error;
    return -1;
  });
}
int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept {
  return guarded(Call::sigtimedwait, [=] { return ::sigtimedwait(set, info, timeout); });
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
int setuid(uid_t user) noexcept {
  return guarded(Call::setuid, [=] { return ::setuid(user); });
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

pid_t fork() noexcept {
  return guarded(Call::fork, [] { return ::fork(); });
}
pid_t setsid() noexcept {
  return guarded(Call::setsid, [] { return ::setsid(); });
}
int setpgid(pid_t pid, pid_t group) noexcept {
  return guarded(Call::setpgid, [=] { return ::setpgid(pid, group); });
}
int execve(const char* program, char* const arguments[], char* const environment[]) noexcept {
  return guarded(Call::execve, [=] { return ::execve(program, arguments, environment); });
}
int execveat(int fd, char* const arguments[], char* const environment[]) noexcept {
  return guarded(Call::execveat, [=] { return ::execveat(fd, "", arguments, environment, AT_EMPTY_PATH); });
}
int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept {
  return repeated(Call::waitid, [=] { return ::waitid(type, id, info, options); });
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

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  return guarded(Call::clock_gettime, [=] { return ::clock_gettime(clock, time); });
}
ssize_t getrandom(void* buffer, std::size_t size, unsigned flags) noexcept {
  return repeated(Call::getrandom, [=] { return ::getrandom(buffer, size, flags); });
}

}  // namespace sys
}  // namespace perdure::os
