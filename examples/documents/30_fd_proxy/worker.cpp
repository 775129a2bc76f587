#include "worker.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <fmt/core.h>

#include "perdure/pass_fd.hpp"

using perdure::Error, perdure::Result, perdure::UniqueFd;

namespace {

constexpr uid_t nobody = 65534;  // user and group; a look-up by name would load a library that the filter is to forbid

#if defined(__x86_64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_AARCH64;
#endif  // elsewhere: name it here, for the calls are counted differently on each

constexpr std::uint32_t forbidden[] = {
#if defined(__x86_64__)
    SYS_open,    SYS_creat,
#endif
    SYS_openat,  SYS_openat2, SYS_open_by_handle_at, SYS_execve, SYS_execveat, SYS_socket,
    SYS_connect, SYS_ptrace,  SYS_io_uring_setup,
};

/// Root becomes nobody, in the order that works: while it is root it may drop its groups, and then it can never be root again.
Result<void> become_nobody() {
  if (geteuid() != 0) return {};
  if (setgroups(0, nullptr) != 0 || setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0)
    return Error::from_errno(errno, "become nobody");
  if (setuid(0) == 0) return Error{"cannot give up root: it can be had again"};
  return {};
}

/// seccomp(2): the forbidden calls fail with EPERM from here on, in all that this process starts as well.
Result<void> forbid_opening() {
  std::vector<sock_filter> program {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, own_architecture, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
#if defined(__x86_64__)
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),  // the same calls once more, by their x32 numbers
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
#endif
  };
  for (const std::uint32_t call : forbidden) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()), .filter = program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
    return Error::from_errno(errno, "install a seccomp filter");
  return {};
}

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Error{"cannot connect to " + path + ": the path is too long"};
  std::copy(path.begin(), path.end(), address.sun_path);
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket || setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0 ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return Error::from_errno(errno, "connect to", path);
  return socket;
}

Result<std::string> ask(const std::string& socket_path, const std::string& path) {
  PERDURE_TRY(const UniqueFd opener, connect_to(socket_path));
  PERDURE_CHECK(become_nobody());
  PERDURE_CHECK(forbid_opening());
  const UniqueFd own{open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (own) return Error{"the rights were not given up: " + path + " can be opened"};
  fmt::print(stderr, "[worker] uid {}, cannot open it itself: {}\n", geteuid(),
             Error::from_errno(errno, "open", path).message());

  if (send(opener.get(), path.data(), path.size(), MSG_NOSIGNAL) < 0) return Error::from_errno(errno, "ask for", path);
  PERDURE_TRY(const UniqueFd file, perdure::receive_fd(opener.get()));
  std::array<char, 512> content;
  const ssize_t count = read(file.get(), content.data(), content.size());
  if (count < 0) return Error::from_errno(errno, "read", path);
  return std::string(content.data(), static_cast<std::size_t>(count));
}

}  // namespace

int work(const std::string& socket_path, const std::string& path) {
  const auto content = ask(socket_path, path);
  if (content) return fmt::print(stderr, "[worker] got: {}", *content), 0;
  fmt::print(stderr, "[worker] {}\n[worker] denied or error\n", content.error().message());
  return 1;
}
