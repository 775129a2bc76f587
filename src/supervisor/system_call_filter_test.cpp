// What the compiled programs answer, asked by an interpreter of the few instructions that libseccomp writes.
#include "supervisor/system_call_filter.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

#if defined(__aarch64__)
constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
constexpr std::uint32_t second = AUDIT_ARCH_ARM;
constexpr const char* native_name = "arm64";
#else
constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
constexpr std::uint32_t second = AUDIT_ARCH_I386;
constexpr const char* native_name = "x86-64";
#endif
constexpr std::uint32_t foreign = AUDIT_ARCH_S390X;

/// What one program answers; nothing where it does what no filter does.
std::optional<std::uint32_t> answer_of(const std::vector<char>& bytes, std::uint32_t arch, long number) {
  std::vector<sock_filter> code(bytes.size() / sizeof(sock_filter));
  std::memcpy(code.data(), bytes.data(), bytes.size());
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = arch;
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < code.size(); ++at) {
    const sock_filter& step = code[at];
    const auto jump = [&](bool is_true) { at += is_true ? step.jt : step.jf; };
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (step.k + sizeof accumulator > sizeof data) return std::nullopt;
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k, sizeof accumulator);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K: jump(accumulator == step.k); break;
      case BPF_JMP | BPF_JGE | BPF_K: jump(accumulator >= step.k); break;
      case BPF_JMP | BPF_JGT | BPF_K: jump(accumulator > step.k); break;
      case BPF_JMP | BPF_JA: at += step.k; break;
      case BPF_RET | BPF_K: return step.k;
      default: return std::nullopt;
    }
  }
  return std::nullopt;
}

/// As the kernel: of all programs the strictest answer counts.
std::uint32_t answer_of(const SystemCallPrograms& programs, std::uint32_t arch, long number) {
  std::uint32_t strictest = SECCOMP_RET_ALLOW;
  for (const std::vector<char>& program : programs.programs) {
    const auto answer = answer_of(program, arch, number);
    EXPECT_TRUE(answer) << number;
    if (answer && static_cast<std::int32_t>(*answer & SECCOMP_RET_ACTION_FULL) <
                      static_cast<std::int32_t>(strictest & SECCOMP_RET_ACTION_FULL))
      strictest = *answer;
  }
  return strictest;
}

SystemCallPrograms compiled(const unit::SystemCallFilter& filter) {
  auto programs = compile_system_call_filter(filter);
  EXPECT_TRUE(programs) << programs.error().message();
  return programs.value_or(SystemCallPrograms{});
}

TEST(SystemCallFilter, AListOfWhatIsAllowedRefusesTheRestAndNeverExecve) {
  const auto programs = compiled({.is_allow_list = true, .rules = {{"read", -1}, {"write", -1}}, .error = EPERM});
  ASSERT_THAT(programs.programs, SizeIs(1));
  for (const long call :
       std::initializer_list<long>{SYS_read, SYS_write, SYS_execve, SYS_exit_group, SYS_mmap, SYS_nanosleep})
    EXPECT_EQ(answer_of(programs, native, call), SECCOMP_RET_ALLOW) << call;
  for (const long call : std::initializer_list<long>{SYS_openat, SYS_socket, SYS_ptrace, 4000, 0x7fffffff})
    EXPECT_EQ(answer_of(programs, native, call), SECCOMP_RET_ERRNO | EPERM) << call;
}

TEST(SystemCallFilter, AListOfWhatIsRefusedAllowsTheRest) {
  const auto programs = compiled({.rules = {{"ptrace", -1}, {"mount", ENOSYS}, {"reboot", 0}}, .error = EACCES});
  EXPECT_EQ(answer_of(programs, native, SYS_ptrace), SECCOMP_RET_ERRNO | EACCES);
  EXPECT_EQ(answer_of(programs, native, SYS_mount), SECCOMP_RET_ERRNO | ENOSYS);
  EXPECT_EQ(answer_of(programs, native, SYS_reboot), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(answer_of(programs, native, SYS_read), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer_of(programs, native, 4000), SECCOMP_RET_ALLOW);
}

TEST(SystemCallFilter, WithoutAnErrorNumberItKills) {
  EXPECT_EQ(answer_of(compiled({.rules = {{"ptrace", -1}}}), native, SYS_ptrace), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(answer_of(compiled({.is_allow_list = true}), native, SYS_ptrace), SECCOMP_RET_KILL_PROCESS);
}

TEST(SystemCallFilter, AnAllowedListMayRefuseOneWithAnErrorOfItsOwn) {
  const auto programs =
      compiled({.is_allow_list = true, .rules = {{"read", -1}, {"ioctl", ENOTTY}, {"chdir", 0}}, .error = EPERM});
  EXPECT_EQ(answer_of(programs, native, SYS_ioctl), SECCOMP_RET_ERRNO | ENOTTY);
  EXPECT_EQ(answer_of(programs, native, SYS_chdir), SECCOMP_RET_KILL_PROCESS);
}

TEST(SystemCallFilter, TheSecondInstructionSetIsNoWayAround) {
#if defined(__x86_64__)
  constexpr long getpid_there = 20;
  constexpr long ptrace_there = 26;
  constexpr long x32 = 0x40000000;
  EXPECT_EQ(answer_of(compiled({.rules = {{"ptrace", -1}}, .error = EPERM}), native, x32 + 521), SECCOMP_RET_ERRNO | EPERM);
#else
  constexpr long getpid_there = 20;
  constexpr long ptrace_there = 26;
#endif
  const auto programs = compiled({.rules = {{"ptrace", -1}}, .error = EPERM});
  EXPECT_EQ(answer_of(programs, second, ptrace_there), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(answer_of(programs, second, getpid_there), SECCOMP_RET_ALLOW);
  const auto allowing = compiled({.is_allow_list = true, .rules = {{"read", -1}}, .error = EPERM});
  EXPECT_EQ(answer_of(allowing, second, getpid_there), SECCOMP_RET_ALLOW);
  EXPECT_EQ(answer_of(allowing, second, ptrace_there), SECCOMP_RET_ERRNO | EPERM);
}

TEST(SystemCallFilter, ArchitecturesThatAreNotNamedAreKilled) {
  for (const char* const name : {"native", native_name}) {
    const auto programs = compiled({.architectures = {name}});
    ASSERT_THAT(programs.programs, SizeIs(1));
    EXPECT_EQ(answer_of(programs, native, SYS_read), SECCOMP_RET_ALLOW);
    EXPECT_EQ(answer_of(programs, second, 3), SECCOMP_RET_KILL_PROCESS);
    EXPECT_EQ(answer_of(programs, foreign, 3), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
    EXPECT_EQ(answer_of(programs, native, 0x40000001), SECCOMP_RET_KILL_PROCESS) << "x32 is another one";
#endif
  }
  const auto both = compiled({.rules = {{"ptrace", -1}}, .error = EPERM, .architectures = {"native"}});
  ASSERT_THAT(both.programs, SizeIs(2));
  EXPECT_EQ(answer_of(both, native, SYS_ptrace), SECCOMP_RET_ERRNO | EPERM);
  EXPECT_EQ(answer_of(both, second, 3), SECCOMP_RET_KILL_PROCESS);
#if defined(__x86_64__)
  const auto with_x86 = compiled({.rules = {{"ptrace", -1}}, .error = EPERM, .architectures = {"native", "x86"}});
  EXPECT_EQ(answer_of(with_x86, second, 26), SECCOMP_RET_ERRNO | EPERM) << "what is allowed is filtered";
  EXPECT_EQ(answer_of(with_x86, second, 3), SECCOMP_RET_ALLOW);
#endif
}

TEST(SystemCallFilter, AnArchitectureThatDoesNotExistIsAnError) {
  const auto refused = compile_system_call_filter({.architectures = {"native", "pdp-11"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message(), "SystemCallArchitectures=pdp-11: there is no such architecture (EINVAL)");
}

TEST(SystemCallFilter, NamesThatNobodyKnowsAreRemarkedOnce) {
  const auto programs = compiled({.rules = {{"ptrace", -1}, {"no_such_call", -1}, {"nor_this", -1}}});
  ASSERT_THAT(programs.remarks, SizeIs(1));
  EXPECT_EQ(programs.remarks[0], "SystemCallFilter=: no system call of this machine: no_such_call, nor_this");
  EXPECT_EQ(answer_of(programs, native, SYS_ptrace), SECCOMP_RET_KILL_PROCESS);
}

TEST(SystemCallFilter, WhatOnlyAGroupHasAndThisMachineLacksIsNotRemarked) {
  const auto programs = compiled({.rules = {{"ptrace", -1}, {"call_of_another_machine", -1, false}}});
  EXPECT_THAT(programs.remarks, SizeIs(0));
}

TEST(SystemCallFilter, NothingToFilterIsNoProgram) { EXPECT_THAT(compiled({.error = EPERM}).programs, SizeIs(0)); }

TEST(SystemCallFilter, TheSameOneIsCompiledOnce) {
  SystemCallFilters filters;
  const unit::SystemCallFilter one{.rules = {{"ptrace", -1}}};
  const SystemCallPrograms* const first = filters.compiled(one).value();
  os::testing::FaultPlan plan{{.call = os::Call::memfd_create, .nth = 0}};
  EXPECT_EQ(filters.compiled(one).value(), first);
  EXPECT_EQ(plan.calls(), 0U);
  EXPECT_NE(filters.compiled({.rules = {{"ptrace", EPERM}}}).value(), first);
  EXPECT_EQ(plan.calls(), 1U);
}

TEST(SystemCallFilter, WhatCannotBeWrittenIsAnError) {
  for (const os::Call call : {os::Call::memfd_create, os::Call::fstat, os::Call::pread}) {
    const os::testing::FaultPlan plan{{.call = call, .error = EMFILE}};
    EXPECT_FALSE(compile_system_call_filter({.rules = {{"ptrace", -1}}})) << os::call_name(call);
  }
}

}  // namespace
}  // namespace perdure::supervisor
