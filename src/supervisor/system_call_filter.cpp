#include "supervisor/system_call_filter.hpp"

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "os/system.hpp"
#include "perdure/unique_fd.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

constexpr std::size_t instruction_size = 8;
constexpr std::size_t known_max = 64;

/// systemd 252's @default: what every program needs to start and to end.
constexpr std::array always_allowed{"arch_prctl",
                                    "brk",
                                    "cacheflush",
                                    "clock_getres",
                                    "clock_getres_time64",
                                    "clock_gettime",
                                    "clock_gettime64",
                                    "clock_nanosleep",
                                    "clock_nanosleep_time64",
                                    "execve",
                                    "exit",
                                    "exit_group",
                                    "futex",
                                    "futex_time64",
                                    "get_robust_list",
                                    "get_thread_area",
                                    "getegid",
                                    "getegid32",
                                    "geteuid",
                                    "geteuid32",
                                    "getgid",
                                    "getgid32",
                                    "getgroups",
                                    "getgroups32",
                                    "getpgid",
                                    "getpgrp",
                                    "getpid",
                                    "getppid",
                                    "getrandom",
                                    "getresgid",
                                    "getresgid32",
                                    "getresuid",
                                    "getresuid32",
                                    "getrlimit",
                                    "getsid",
                                    "gettid",
                                    "gettimeofday",
                                    "getuid",
                                    "getuid32",
                                    "membarrier",
                                    "mmap",
                                    "mmap2",
                                    "mprotect",
                                    "munmap",
                                    "nanosleep",
                                    "pause",
                                    "prlimit64",
                                    "restart_syscall",
                                    "rseq",
                                    "rt_sigreturn",
                                    "sched_getaffinity",
                                    "sched_yield",
                                    "set_robust_list",
                                    "set_thread_area",
                                    "set_tid_address",
                                    "set_tls",
                                    "sigreturn",
                                    "time",
                                    "ugetrlimit"};

/// As SystemCallArchitectures= and ConditionArchitecture= call them.
constexpr std::array<std::pair<std::string_view, std::uint32_t>, 19> architectures{{{"native", SCMP_ARCH_NATIVE},
                                                                                    {"x86", SCMP_ARCH_X86},
                                                                                    {"x86-64", SCMP_ARCH_X86_64},
                                                                                    {"x32", SCMP_ARCH_X32},
                                                                                    {"arm", SCMP_ARCH_ARM},
                                                                                    {"arm64", SCMP_ARCH_AARCH64},
                                                                                    {"mips", SCMP_ARCH_MIPS},
                                                                                    {"mips64", SCMP_ARCH_MIPS64},
                                                                                    {"mips64-n32", SCMP_ARCH_MIPS64N32},
                                                                                    {"mips-le", SCMP_ARCH_MIPSEL},
                                                                                    {"mips64-le", SCMP_ARCH_MIPSEL64},
                                                                                    {"mips64-le-n32", SCMP_ARCH_MIPSEL64N32},
                                                                                    {"ppc", SCMP_ARCH_PPC},
                                                                                    {"ppc64", SCMP_ARCH_PPC64},
                                                                                    {"ppc64-le", SCMP_ARCH_PPC64LE},
                                                                                    {"riscv64", SCMP_ARCH_RISCV64},
                                                                                    {"s390", SCMP_ARCH_S390},
                                                                                    {"s390x", SCMP_ARCH_S390X},
                                                                                    {"parisc", SCMP_ARCH_PARISC}}};

struct Release {
  void operator()(void* context) const noexcept { ::seccomp_release(context); }
};
using Context = std::unique_ptr<void, Release>;

Error failed(std::string_view directive, std::string_view attempt, int result) {
  return Error::from_errno(-result, fmt::format("{}: {}", directive, attempt));
}

std::optional<std::uint32_t> architecture_of(std::string_view name) {
  const auto* const known =
      std::find_if(architectures.begin(), architectures.end(), [name](const auto& entry) { return entry.first == name; });
  if (known == architectures.end()) return std::nullopt;
  return known->second;
}

/// The instruction sets that programs of this machine may use beside its own, unless SystemCallArchitectures= forbids them.
std::vector<std::uint32_t> companions(const unit::SystemCallFilter& filter) {
  std::vector<std::uint32_t> found;
  if (::seccomp_arch_native() == SCMP_ARCH_X86_64) found = {SCMP_ARCH_X86, SCMP_ARCH_X32};
  if (::seccomp_arch_native() == SCMP_ARCH_AARCH64) found = {SCMP_ARCH_ARM};
  if (filter.architectures.empty()) return found;
  // Each costs as much time as the native one, and what is killed need not be filtered.
  std::erase_if(found, [&filter](std::uint32_t companion) {
    return std::none_of(filter.architectures.begin(), filter.architectures.end(),
                        [companion](const std::string& name) { return architecture_of(name) == companion; });
  });
  return found;
}

/// libseccomp writes to a descriptor only, and so to a memory file.
Result<std::vector<char>> bytes_of(const Context& context, std::string_view directive) {
  const UniqueFd file{os::sys::memfd_create("perdure-filter", MFD_CLOEXEC)};
  if (!file) return Error::from_errno(errno, "make", "a memory file for a filter of system calls");
  if (const int result = ::seccomp_export_bpf(context.get(), file.get()); result < 0)
    return failed(directive, "compile the filter", result);
  struct stat status {};
  if (os::sys::fstat(file.get(), &status) != 0) return Error::from_errno(errno, "look at", "a compiled filter");
  std::vector<char> bytes(static_cast<std::size_t>(status.st_size));
  if (bytes.empty() || bytes.size() % instruction_size != 0 ||
      bytes.size() / instruction_size > wire::spec_filter_size_max) {
    return Error{fmt::format("{}: the filter has {} instructions, and the kernel takes at most {} (E2BIG)", directive,
                             bytes.size() / instruction_size, wire::spec_filter_size_max),
                 E2BIG};
  }
  if (os::sys::pread(file.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return Error::from_errno(EIO, "read", "a compiled filter");
  return bytes;
}

Result<std::vector<char>> compile_architectures(const std::vector<std::string>& names) {
  constexpr std::string_view directive = "SystemCallArchitectures=";
  const Context context{::seccomp_init(SCMP_ACT_ALLOW)};
  if (!context) return failed(directive, "begin the filter", -ENOMEM);
  // The native one is always among them, as in systemd: the program that is executed is made for it.
  for (const std::string& name : names) {
    const auto known = architecture_of(name);
    if (!known)
      return Error{fmt::format("{}{}: there is no such architecture (EINVAL)", directive, base::escape(name)), EINVAL};
    // One of another byte order cannot be run by this kernel, and so needs no rule that allows it.
    const int result = ::seccomp_arch_add(context.get(), *known);
    if (result < 0 && result != -EEXIST && result != -EDOM && result != -EINVAL)
      return failed(directive, "add " + name, result);
  }
  if (const int result = ::seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS); result < 0)
    return failed(directive, "set what happens to the others", result);
  return bytes_of(context, directive);
}

std::uint32_t denial(int error) { return error == 0 ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(static_cast<unsigned>(error)); }

Result<std::vector<char>> compile_calls(const unit::SystemCallFilter& filter, std::vector<std::string>& remarks) {
  constexpr std::string_view directive = "SystemCallFilter=";
  const std::uint32_t refused = denial(filter.error);
  const std::uint32_t usual = filter.is_allow_list ? refused : SCMP_ACT_ALLOW;
  const Context context{::seccomp_init(usual)};
  if (!context) return failed(directive, "begin the filter", -ENOMEM);
  for (const std::uint32_t other : companions(filter)) {
    if (const int result = ::seccomp_arch_add(context.get(), other); result < 0 && result != -EEXIST)
      return failed(directive, "add an instruction set", result);
  }
  // Another instruction set is none that this kernel runs, or SystemCallArchitectures= decides about it.
  if (const int result = ::seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW); result < 0)
    return failed(directive, "set what happens to other instruction sets", result);

  std::set<int> numbers;
  const auto add = [&](const char* name, std::uint32_t action) -> Result<bool> {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (number == __NR_SCMP_ERROR) return false;
    if (action == usual || !numbers.insert(number).second) return true;
    const int result = ::seccomp_rule_add(context.get(), action, number, 0);
    if (result < 0 && result != -EDOM) return failed(directive, std::string{"add "} + name, result);
    return true;
  };
  std::string unknown;
  for (const unit::SystemCallRule& rule : filter.rules) {
    std::uint32_t action = filter.is_allow_list ? SCMP_ACT_ALLOW : refused;
    if (rule.error >= 0) action = denial(rule.error);
    PERDURE_TRY(const bool is_known, add(rule.name.c_str(), action));
    // A group has the calls of every machine there is.
    if (!is_known && rule.is_named) unknown += (unknown.empty() ? "" : ", ") + base::escape(rule.name);
  }
  if (!unknown.empty()) remarks.push_back(fmt::format("{}: no system call of this machine: {}", directive, unknown));
  if (filter.is_allow_list) {
    for (const char* const name : always_allowed) PERDURE_CHECK(add(name, SCMP_ACT_ALLOW));
  }
  return bytes_of(context, directive);
}

std::string key_of(const unit::SystemCallFilter& filter) {
  std::string key = fmt::format("{} {}", filter.is_allow_list, filter.error);
  for (const std::string& name : filter.architectures) key += ' ' + name;
  for (const unit::SystemCallRule& rule : filter.rules)
    key += fmt::format("\n{} {} {}", rule.name, rule.error, rule.is_named);
  return key;
}

}  // namespace

Result<SystemCallPrograms> compile_system_call_filter(const unit::SystemCallFilter& filter) {
  SystemCallPrograms out;
  if (!filter.architectures.empty()) {
    PERDURE_TRY(std::vector<char> program, compile_architectures(filter.architectures));
    out.programs.push_back(std::move(program));
  }
  if (filter.is_allow_list || !filter.rules.empty()) {
    PERDURE_TRY(std::vector<char> program, compile_calls(filter, out.remarks));
    out.programs.push_back(std::move(program));
  }
  return out;
}

Result<const SystemCallPrograms*> SystemCallFilters::compiled(const unit::SystemCallFilter& filter) {
  const std::string key = key_of(filter);
  if (const auto known = known_.find(key); known != known_.end()) return &known->second;
  PERDURE_TRY(SystemCallPrograms programs, compile_system_call_filter(filter));
  if (known_.size() >= known_max) known_.clear();
  return &known_.emplace(key, std::move(programs)).first->second;
}

}  // namespace perdure::supervisor
