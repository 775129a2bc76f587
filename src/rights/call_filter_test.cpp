// The filter, asked with an interpreter what it answers: no call is made, so that other processors can be asked about, too.
#include "rights/call_filter.hpp"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

namespace perdure::rights {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t own = AUDIT_ARCH_X86_64;
constexpr std::uint32_t foreign = AUDIT_ARCH_I386;
#else
constexpr std::uint32_t own = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t foreign = AUDIT_ARCH_ARM;
#endif
constexpr std::uint32_t allowed = SECCOMP_RET_ALLOW;
constexpr std::uint32_t refused = SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(EPERM);

/// What the kernel would answer. The instructions that the filter is made of, and no others.
std::uint32_t ask(const std::vector<sock_filter>& program, const seccomp_data& call) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& step = program[at];
    const auto jump = [&](bool holds) { at += holds ? step.jt : step.jf; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&call) + step.k, sizeof accumulator);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == step.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= step.k); break;
      case BPF_JMP | BPF_JSET | BPF_K: jump((accumulator & step.k) != 0); break;
      case BPF_RET | BPF_K: return step.k;
      default: ADD_FAILURE() << "instruction " << step.code; return 0;
    }
  }
  ADD_FAILURE() << "the program ends without an answer";
  return 0;
}

seccomp_data call(long number, std::uint64_t first = 0, std::uint64_t second = 0, std::uint32_t architecture = own) {
  return {
      .nr = static_cast<int>(number), .arch = architecture, .instruction_pointer = 0, .args = {first, second, 0, 0, 0, 0}};
}

const std::vector<sock_filter> server = call_filter(Sandbox::NetworkServer, ForbiddenCall::Refused);

TEST(CallFilter, EveryCallOfTheTableIsRefused) {
  for (const ForbiddenRule& rule : forbidden_calls(Sandbox::NetworkServer)) {
    SCOPED_TRACE(rule.call);
    seccomp_data asked = call(rule.number);
    if (rule.when != ForbiddenRule::When::Always) {
      EXPECT_EQ(ask(server, asked), allowed) << "without the argument";
      asked.args[rule.argument] = rule.value | std::uint64_t{0xABCD} << 32;  // the upper half is ignored by the kernel
    }
    EXPECT_EQ(ask(server, asked), refused);
  }
}

TEST(CallFilter, EveryOtherCallIsAllowedAlsoOneOfTheFuture) {
  std::set<std::uint32_t> ruled{SYS_clone3};
  for (const ForbiddenRule& rule : forbidden_calls(Sandbox::NetworkServer)) ruled.insert(rule.number);
  for (std::uint32_t number = 0; number < 2000; ++number) {
    if (ruled.contains(number)) continue;
    EXPECT_EQ(ask(server, call(number)), allowed) << number;
  }
}

TEST(CallFilter, ThreadsAndForksMayCloneAndNamespacesMayNot) {
  EXPECT_EQ(ask(server, call(SYS_clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)), allowed);
  EXPECT_EQ(ask(server, call(SYS_clone, CLONE_VM | CLONE_VFORK | CLONE_PIDFD)), allowed);
  EXPECT_EQ(ask(server, call(SYS_clone, CLONE_VM | CLONE_NEWUSER)), refused);
  EXPECT_EQ(ask(server, call(SYS_clone3)), SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(ENOSYS));
}

TEST(CallFilter, CallsOfOtherArchitecturesAreRefusedWhateverTheyAre) {
  EXPECT_EQ(ask(server, call(20, 0, 0, foreign)), refused);
  EXPECT_EQ(ask(server, call(SYS_getpid, 0, 0, foreign)), refused);
#if defined(__x86_64__)
  EXPECT_EQ(ask(server, call(0x40000000L | SYS_getpid)), refused) << "x32";
#endif
}

TEST(CallFilter, ProgramsAreForThoseThatAreNotSelfContained) {
  EXPECT_EQ(ask(server, call(SYS_execve)), allowed);
  const auto contained = call_filter(Sandbox::SelfContained, ForbiddenCall::Refused);
  EXPECT_EQ(ask(contained, call(SYS_execve)), refused);
  EXPECT_EQ(ask(contained, call(SYS_execveat)), refused);
  EXPECT_EQ(ask(contained, call(SYS_ptrace)), refused);
}

TEST(CallFilter, WhatIsForbiddenMayKillInstead) {
  const auto killing = call_filter(Sandbox::NetworkServer, ForbiddenCall::Kills);
  EXPECT_EQ(ask(killing, call(SYS_ptrace)), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(ask(killing, call(SYS_getpid)), allowed);
  EXPECT_EQ(ask(killing, call(SYS_clone3)), SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(ENOSYS))
      << "the C library tries it first";
}

TEST(CallFilter, NoSandboxHasNoFilter) { EXPECT_TRUE(call_filter(Sandbox::None, ForbiddenCall::Refused).empty()); }

}  // namespace
}  // namespace perdure::rights
