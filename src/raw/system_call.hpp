// Linux system calls without a C library, for the two programs that must be small: keeper and executor.
//
// Every function is the call of its name and returns what the kernel returns: the result, or -errno. Structures are the
// kernel's, for 64-bit machines, spelled out because the kernel's own headers and the C library's exclude each other.
// Left out: anything the two programs do not need; buffering, retries, errno.
// Thread, fork and signal safety: system calls and nothing else.
//
//     const long count = raw::read(fd, buffer, sizeof buffer);
//     if (count < 0) give_up(Step::ReadSpec, static_cast<int>(-count));
#pragma once

#include <asm/unistd.h>

#include <cstddef>
#include <cstdint>

namespace perdure::raw {

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept {
#if defined(__x86_64__)
  long result = 0;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "perdure's keeper and executor know x86_64 and aarch64; add this machine's system call here"
#endif
}

inline long address(const void* pointer) noexcept { return reinterpret_cast<long>(pointer); }

struct Vector {
  void* data;
  std::size_t size;
};
struct MessageHeader {
  void* name;
  std::uint32_t name_size;
  Vector* parts;
  std::size_t part_count;
  void* control;
  std::size_t control_size;
  std::uint32_t flags;
};
struct ControlHeader {
  std::size_t size;  ///< this header and what follows it
  std::int32_t level;
  std::int32_t type;
};
struct PollEntry {
  std::int32_t fd;
  std::int16_t events;
  std::int16_t found;
};
struct Time {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};
struct IntervalTimer {
  std::int64_t interval_seconds, interval_microseconds, seconds, microseconds;
};
struct Limit {
  std::uint64_t soft;
  std::uint64_t hard;
};
/// The head of the kernel's siginfo_t, as waitid(2) fills it.
struct ChildStatus {
  std::int32_t signal, error, code, padding;
  std::int32_t pid;
  std::uint32_t uid;
  std::int32_t status;
  std::int32_t rest[25];
};
static_assert(sizeof(ChildStatus) == 128);
struct Usage {
  std::int64_t user_seconds, user_microseconds, system_seconds, system_microseconds;
  std::int64_t max_rss_kib;
  std::int64_t rest[13];
};
struct SignalFact {
  std::uint32_t signal;
  std::uint32_t rest[31];
};
static_assert(sizeof(SignalFact) == 128);
struct SignalAction {
  void* handler;
  std::uint64_t flags;
  void* restorer;
  std::uint64_t mask;
};
struct CloneArguments {
  std::uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
#if defined(__x86_64__)
struct [[gnu::packed]] PollEvent {  // only this machine's kernel packs it
#else
struct PollEvent {
#endif
  std::uint32_t events;
  std::uint64_t data;
};

inline constexpr int close_on_exec = 02000000;  // O_CLOEXEC
inline constexpr int poll_in = 0x001;
inline constexpr int poll_out = 0x004;
inline constexpr int poll_error = 0x008;
inline constexpr int poll_hang_up = 0x010;
inline constexpr int at_empty_path = 0x1000;
inline constexpr unsigned close_range_unshare = 2;
inline constexpr unsigned close_range_close_on_exec = 4;
inline constexpr int socket_level = 1;  // SOL_SOCKET
inline constexpr int rights = 1;        // SCM_RIGHTS
inline constexpr int message_dont_wait = 0x40;
inline constexpr int message_no_signal = 0x4000;
inline constexpr int message_truncated = 0x20;
inline constexpr int control_truncated = 0x8;

inline constexpr int e_perm = 1;
inline constexpr int e_noent = 2;
inline constexpr int e_again = 11;
inline constexpr int e_acces = 13;
inline constexpr int e_exist = 17;
inline constexpr int e_intr = 4;
inline constexpr int e_inval = 22;
inline constexpr int e_txtbsy = 26;
inline constexpr int e_nosys = 38;

inline long read(int fd, void* buffer, std::size_t size) noexcept {
  return call(__NR_read, fd, address(buffer), static_cast<long>(size));
}
inline long write(int fd, const void* data, std::size_t size) noexcept {
  return call(__NR_write, fd, address(data), static_cast<long>(size));
}
inline long pread(int fd, void* buffer, std::size_t size, std::uint64_t offset) noexcept {
  return call(__NR_pread64, fd, address(buffer), static_cast<long>(size), static_cast<long>(offset));
}
inline long pwrite(int fd, const void* data, std::size_t size, std::uint64_t offset) noexcept {
  return call(__NR_pwrite64, fd, address(data), static_cast<long>(size), static_cast<long>(offset));
}
inline long close(int fd) noexcept { return call(__NR_close, fd); }
inline long dup3(int from, int to, int flags) noexcept { return call(__NR_dup3, from, to, flags); }
inline long fcntl(int fd, int command, long argument) noexcept { return call(__NR_fcntl, fd, command, argument); }
inline long close_range(unsigned first, unsigned last, unsigned flags) noexcept {
  return call(__NR_close_range, static_cast<long>(first), static_cast<long>(last), static_cast<long>(flags));
}
[[noreturn]] inline void exit(int code) noexcept {
  for (;;) call(__NR_exit_group, code);
}

}  // namespace perdure::raw
