// The real executor, started as the keeper starts it, with what is wanted made to fail. For tests only.
//
// What fails in the arrangement throws. Thread safety: one thread.
//
//     const Outcome outcome = start(talking({"/bin/echo", "hello"}), {.refused_call = SYS_setsid, .refused_error = ENOSYS});
//     EXPECT_EQ(outcome.step(), Step::Session);
#pragma once

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "executor/spawn_testing.hpp"
#include "perdure/testing/process.hpp"

namespace perdure::executor {

using wire::Step;

/// How one start of the executor is arranged, and what goes wrong.
struct Surroundings {
  std::vector<char> damaged_spec{};     ///< in place of the program's
  std::optional<std::uint32_t> size{};  ///< told in place of the spec's own
  std::uint64_t offset = 0;             ///< told, and where the spec stands unless `is_misplaced`
  bool is_misplaced = false;
  bool has_gate = false;
  bool is_group_leader = false;
  int procs = 0;          ///< a descriptor of ours to enter a control group by; 0: none
  int refused_call = -1;  ///< a system call that the kernel refuses
  int refused_error = EPERM;
  int hanging_call = -1;  ///< a system call that never returns
  std::string invocation = "-";
  std::optional<std::string> oom_score_adj{};  ///< the last argument; none: a keeper that knows of none
  std::vector<long>* calls = nullptr;          ///< gets the system calls up to the one that executes the program
};

struct Outcome {
  int code = -1;  ///< exit code, or minus the signal
  wire::Failure failure{};
  std::string output{};
  std::string gate{};
  pid_t pid = 0;
  [[nodiscard]] Step step() const { return static_cast<Step>(failure.step); }
};

inline constexpr unsigned slot = 5;  // of the failure; the others must stay untouched

/// From now on, and in every program executed, `call` fails. Only in a child.
inline bool refuse(int call, int error) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// From now on, and in every program executed, `call` waits for an answer that nobody gives: only the process itself, at its
/// descriptor `listener`, could. Only in a child.
inline bool hang(int call, int listener) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
  const long fd = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
  return fd >= 0 && ::dup2(static_cast<int>(fd), listener) == listener;
}

/// Follows a child that has asked to be traced and stopped itself, from its first program to its second, and lets it go.
inline void trace(pid_t pid, std::vector<long>& calls) {
  int status = 0;
  checked(::waitpid(pid, &status, 0), "wait for the traced child");
  checked(static_cast<int>(::ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC)), "trace");
  int programs = 0;
  while (programs < 2 && ::ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr) == 0 && ::waitpid(pid, &status, 0) == pid &&
         WIFSTOPPED(status)) {
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) ++programs;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80) || programs == 0) continue;
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, reinterpret_cast<void*>(sizeof info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) calls.push_back(static_cast<long>(info.entry.nr));
  }
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
}

/// Starts it with the log pipe as the child's descriptor 1, which the program's streams may name.
inline Outcome start(const Program& program, const Surroundings& how = {}) {
  Program whole = program;
  if (how.has_gate) whole.fixed.flags |= wire::spec_gate;
  const std::vector<char> bytes = how.damaged_spec.empty() ? spec_bytes(whole) : how.damaged_spec;
  std::vector<char> padded(how.is_misplaced ? 0 : how.offset, 'x');
  padded.insert(padded.end(), bytes.begin(), bytes.end());
  padded.insert(padded.end(), 16, 'x');  // more follows, as in a file of many specs

  constexpr int above = 64;
  const auto high = [](UniqueFd fd) {
    return UniqueFd{checked(::fcntl(fd.get(), F_DUPFD_CLOEXEC, above), "copy a descriptor")};
  };
  const UniqueFd spec = high(memory_file(padded));
  const UniqueFd failures = high(memory_file(std::string(10 * sizeof(wire::Failure), '\0')));
  const UniqueFd null = high(UniqueFd{::open("/dev/null", O_RDWR | O_CLOEXEC)});
  const UniqueFd executor = high(UniqueFd{::open(PERDURE_EXECUTOR, O_RDONLY | O_CLOEXEC)});
  const UniqueFd procs = how.procs > 0 ? UniqueFd{::fcntl(how.procs, F_DUPFD_CLOEXEC, above)} : UniqueFd{};
  PipeEnds log = make_pipe();
  PipeEnds gate = make_pipe();
  const UniqueFd log_writer = high(std::move(log.writer));
  const UniqueFd gate_writer = high(std::move(gate.writer));

  const int child_fds = how.has_gate ? 3 : 2;
  std::vector<std::string> words{"perdure-executor",
                                 std::to_string(slot),
                                 how.invocation,
                                 std::to_string(how.offset),
                                 std::to_string(how.size.value_or(static_cast<std::uint32_t>(bytes.size()))),
                                 std::to_string(child_fds),
                                 std::to_string(how.procs > 0 ? 20 : 0)};
  if (how.oom_score_adj) words.push_back(*how.oom_score_adj);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  char* const environment[] = {nullptr};

  const pid_t pid = checked(::fork(), "fork");
  if (pid == 0) {
    sigset_t all;
    ::sigfillset(&all);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);  // as the keeper's
    for (int fd = 0; fd < 16; ++fd) ::dup2(null.get(), fd);
    ::dup2(failures.get(), wire::failure_fd);
    ::dup2(spec.get(), 16);
    ::dup2(log_writer.get(), 17);
    if (how.has_gate) ::dup2(gate_writer.get(), 18);
    if (procs) ::dup2(procs.get(), 20);
    ::close_range(21, ~0U, CLOSE_RANGE_CLOEXEC);  // what the test itself was started with
    if (how.is_group_leader) ::setpgid(0, 0);
    if (how.refused_call >= 0 && !refuse(how.refused_call, how.refused_error)) ::_exit(99);
    if (how.hanging_call >= 0 && !hang(how.hanging_call, 19)) ::_exit(97);
    if (how.calls != nullptr) {
      ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      ::raise(SIGSTOP);
    }
    ::syscall(SYS_execveat, executor.get(), "", arguments.data(), environment, AT_EMPTY_PATH);
    ::_exit(98);
  }
  if (how.calls != nullptr) trace(pid, *how.calls);
  Outcome outcome;
  outcome.pid = pid;
  const_cast<UniqueFd&>(log_writer).reset();
  const_cast<UniqueFd&>(gate_writer).reset();
  outcome.output = read_to_end(log.reader);
  outcome.gate = read_to_end(gate.reader);
  int status = 0;
  while (::waitpid(pid, &status, 0) != pid && errno == EINTR) {
  }
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  for (unsigned i = 0; i < 10; ++i) {
    wire::Failure found{};
    EXPECT_EQ(::pread(failures.get(), &found, sizeof found, static_cast<off_t>(i * sizeof found)),
              static_cast<ssize_t>(sizeof found));
    if (i == slot) outcome.failure = found;
    else EXPECT_EQ(found.step, 0U);
  }
  return outcome;
}

/// The program, its output in the log.
inline Program talking(std::vector<std::string> arguments) {
  Program program{.arguments = std::move(arguments), .environment = {"PATH=/usr/bin:/bin"}};
  program.fixed.stdout_index = 1;
  program.fixed.stderr_index = 1;
  return program;
}
inline const Program hello = talking({"/bin/echo", "hello"});

inline void expect_failure(const Outcome& outcome, Step step, int error, int code) {
  EXPECT_EQ(outcome.step(), step) << wire::step_words(outcome.step());
  EXPECT_EQ(outcome.failure.error, error);
  EXPECT_EQ(outcome.code, code);
  EXPECT_EQ(wire::step_exit_code(step), code);
  EXPECT_EQ(outcome.output, "") << "the program must not have run";
}

#define SKIP_UNLESS_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else"

}  // namespace perdure::executor
