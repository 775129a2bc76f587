#include "os/system.hpp"

#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <iterator>

#include "os/guarded.hpp"

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
    "pselect",
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
    "kill",
    "clone",
    "execve",
    "clock_gettime",
    "getrandom",
};
static_assert(std::size(call_names) == static_cast<std::size_t>(Call::count_), "every call has its name");

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
mode_t umask(mode_t mask) noexcept {
  static_cast<void>(injected_fault(Call::umask));  // counted, but umask(2) cannot fail
  return ::umask(mask);
}
int dup2(int from, int to) noexcept {
  return repeated(Call::dup2, [=] { return ::dup2(from, to); });
}
int fcntl(int fd, int command, int argument) noexcept {
  return guarded(Call::fcntl, [=] { return ::fcntl(fd, command, argument); });
}
int flock(int fd, int operation) noexcept {
  return repeated(Call::flock, [=] { return ::flock(fd, operation); });
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

int poll(pollfd* fds, nfds_t count, int timeout_ms) noexcept {
  return guarded(Call::poll, [=] { return ::poll(fds, count, timeout_ms); });
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

int setuid(uid_t user) noexcept {
  return guarded(Call::setuid, [=] { return ::setuid(user); });
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
int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept {
  return repeated(Call::waitid, [=] { return ::waitid(type, id, info, options); });
}

int clock_gettime(clockid_t clock, timespec* time) noexcept {
  return guarded(Call::clock_gettime, [=] { return ::clock_gettime(clock, time); });
}

}  // namespace sys
}  // namespace perdure::os
