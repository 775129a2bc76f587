// The system-call seam: every system call below the kernel line is made here and nowhere else.
//
// Each function is the call it is named after: same arguments, same result, errno set on failure, safe wherever the call itself is
// (between fork and exec, in a signal handler), interrupted calls repeated where repeating is right (see each). A test installs a
// FaultHook and makes the n-th call fail; nothing else about the program changes. tools/tidy refuses direct calls elsewhere.
// Here are the calls of POSIX.1-2008, and flock(2); Linux's own are in linux.hpp, which comes along. With PERDURE_PORTABLE
// it does not, and posix.hpp has what stands in for the few that every build needs.
// Left out: starting a process (process/spawn.hpp: a call that returns twice cannot be wrapped).
// Thread safety: all. Fork: the hook is inherited. Signal safety: all, as far as the call itself is.
//
//     const int fd = os::sys::open(path, O_RDONLY | O_CLOEXEC);
//     if (fd < 0) return Error::from_errno(errno, "open", path);
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <cstddef>
#include <cstdint>

#include "perdure/export.hpp"

namespace perdure::os {

/// The calls of the seam, for fault plans and for the names in their reports.
enum class Call : std::uint8_t {
  open,
  openat,
  openat2,
  close,
  read,
  write,
  pread,
  pwrite,
  readv,
  writev,
  lseek,
  splice,
  tee,
  ioctl,
  ftruncate,
  futimens,
  fsync,
  stat,
  lstat,
  fstat,
  fstatat,
  fchmod,
  fchown,
  fchownat,
  mkdir,
  mkdirat,
  rmdir,
  unlink,
  unlinkat,
  rename,
  link,
  readlink,
  open_by_handle_at,
  readlinkat,
  symlinkat,
  access,
  statvfs,
  chdir,
  chroot,
  umask,
  dup2,
  dup3,
  fcntl,
  flock,
  pipe2,
  close_range,
  opendir,
  fdopendir,
  socket,
  bind,
  listen,
  accept4,
  connect,
  shutdown,
  getsockopt,
  setsockopt,
  sendto,
  sendmsg,
  recv,
  recvmsg,
  socketpair,
  epoll_create1,
  epoll_ctl,
  epoll_wait,
  epoll_pwait2,
  poll,
  ppoll,
  inotify_init1,
  inotify_add_watch,
  inotify_rm_watch,
  memfd_create,
  execveat,
  eventfd,
  signalfd,
  sigaction,
  sigprocmask,
  sigtimedwait,
  pselect,
  prctl,
  prlimit,
  setitimer,
  ioprio_get,
  mount,
  unshare,
  setgroups,
  setresgid,
  setresuid,
  setuid,
  capget,
  capset,
  landlock_create_ruleset,
  landlock_add_rule,
  landlock_restrict_self,
  seccomp,
  fork,
  setsid,
  setpgid,
  waitid,
  pidfd_open,
  pidfd_send_signal,
  kill,
  clone,
  execve,
  clock_gettime,
  getrandom,
  count_,
};

/// Asked before each call: returns the errno to fail with, or 0 to let it happen. Must be async-signal-safe.
using FaultHook = int (*)(Call) noexcept;
/// Tests only. nullptr (the default) lets everything happen. Returns the previous hook.
FaultHook set_fault_hook(FaultHook hook) noexcept;
/// What the hook answers to `call`, for the one place that cannot call a function here: process/spawn.cpp (clone, execve).
int injected_fault(Call call) noexcept;
/// "open", "close_range", …
const char* call_name(Call call) noexcept;

namespace sys {

int open(const char* path, int flags, mode_t mode = 0) noexcept;             // repeats EINTR
int openat(int dir, const char* path, int flags, mode_t mode = 0) noexcept;  // repeats EINTR
int close(int fd) noexcept;  // never repeats: the descriptor is gone, also when it fails, and also when a hook lets it fail
ssize_t read(int fd, void* buffer, std::size_t size) noexcept;                      // repeats EINTR
ssize_t write(int fd, const void* data, std::size_t size) noexcept;                 // repeats EINTR
ssize_t pread(int fd, void* buffer, std::size_t size, off_t offset) noexcept;       // repeats EINTR
ssize_t pwrite(int fd, const void* data, std::size_t size, off_t offset) noexcept;  // repeats EINTR
ssize_t readv(int fd, const iovec* parts, int count) noexcept;                      // repeats EINTR
ssize_t writev(int fd, const iovec* parts, int count) noexcept;                     // repeats EINTR
off_t lseek(int fd, off_t offset, int whence) noexcept;
int ftruncate(int fd, off_t size) noexcept;  // repeats EINTR
int futimens(int fd, const timespec times[2]) noexcept;
int fsync(int fd) noexcept;  // repeats EINTR
int stat(const char* path, struct stat* status) noexcept;
int lstat(const char* path, struct stat* status) noexcept;
int fstat(int fd, struct stat* status) noexcept;
int fstatat(int dir, const char* path, struct stat* status, int flags) noexcept;
int fchmod(int fd, mode_t mode) noexcept;
int fchown(int fd, uid_t user, gid_t group) noexcept;
int fchownat(int dir, const char* path, uid_t user, gid_t group, int flags) noexcept;
int mkdir(const char* path, mode_t mode) noexcept;
int mkdirat(int dir, const char* path, mode_t mode) noexcept;
int rmdir(const char* path) noexcept;
int unlink(const char* path) noexcept;
int unlinkat(int dir, const char* path, int flags) noexcept;
int rename(const char* from, const char* to) noexcept;
int link(const char* from, const char* to) noexcept;
ssize_t readlink(const char* path, char* buffer, std::size_t size) noexcept;
int symlinkat(const char* target, int dir, const char* path) noexcept;
ssize_t readlinkat(int dir, const char* path, char* buffer, std::size_t size) noexcept;
int access(const char* path, int mode) noexcept;
int statvfs(const char* path, struct statvfs* status) noexcept;
int chdir(const char* path) noexcept;
mode_t umask(mode_t mask) noexcept;
int dup2(int from, int to) noexcept;  // repeats EINTR
int fcntl(int fd, int command, int argument = 0) noexcept;
int flock(int fd, int operation) noexcept;  // 4.2BSD, and everywhere since; repeats EINTR
DIR* opendir(const char* path) noexcept;
DIR* fdopendir(int fd) noexcept;  // owns `fd` only when it succeeds

int socket(int domain, int type, int protocol) noexcept;
int bind(int fd, const sockaddr* address, socklen_t length) noexcept;
int listen(int fd, int backlog) noexcept;
int connect(int fd, const sockaddr* address, socklen_t length) noexcept;
int shutdown(int fd, int how) noexcept;
int getsockopt(int fd, int level, int name, void* value, socklen_t* length) noexcept;
int setsockopt(int fd, int level, int name, const void* value, socklen_t length) noexcept;
ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* address, socklen_t length) noexcept;
ssize_t sendmsg(int fd, const msghdr* message, int flags) noexcept;
ssize_t recv(int fd, void* buffer, std::size_t size, int flags) noexcept;
ssize_t recvmsg(int fd, msghdr* message, int flags) noexcept;
int socketpair(int domain, int type, int protocol, int fds[2]) noexcept;

int poll(pollfd* fds, nfds_t count, int timeout_ms) noexcept;  // does not repeat EINTR

int sigaction(int number, const struct sigaction* action, struct sigaction* previous) noexcept;
/// pthread_sigmask(3), with errno set on failure.
int sigprocmask(int how, const sigset_t* set, sigset_t* previous) noexcept;
int sigtimedwait(const sigset_t* set, siginfo_t* info, const timespec* timeout) noexcept;

int setuid(uid_t user) noexcept;
/// fork(2) with stdio's and malloc's at-fork work. Requires one thread.
pid_t fork() noexcept;
pid_t setsid() noexcept;
int setpgid(pid_t pid, pid_t group) noexcept;
/// For a program that replaces itself; one that starts another uses process/spawn.hpp.
int execve(const char* program, char* const arguments[], char* const environment[]) noexcept;
int waitid(idtype_t type, id_t id, siginfo_t* info, int options) noexcept;  // repeats EINTR

int clock_gettime(clockid_t clock, timespec* time) noexcept;

}  // namespace sys
}  // namespace perdure::os

#ifdef PERDURE_PORTABLE
#include "os/posix.hpp"
#else
#include "os/linux.hpp"
#endif
