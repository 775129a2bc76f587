#include "rights/call_filter.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>

// The numbers of newer calls are the same on every architecture (asm-generic/unistd.h); older kernel headers lack some.
#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#define SYS_fspick 433
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

namespace perdure::rights {
namespace {

using When = ForbiddenRule::When;

// Where the lower half of an argument stands in seccomp_data.
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the filter reads the lower half of an argument first");

#if defined(__x86_64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t own_architecture = 0;  // no list for this one: call_filter() is empty, and that is told
#endif

#define PERDURE_CALL(name) #name, SYS_##name

constexpr ForbiddenRule server_rules[] = {
    // With arguments first: these are the ones for which the program really runs.
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWNS},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWUSER},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWPID},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWNET},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWIPC},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWUTS},
    {PERDURE_CALL(clone), When::ArgumentHasBit, 0, CLONE_NEWCGROUP},
    {PERDURE_CALL(socket), When::ArgumentIs, 0, AF_PACKET},
    {PERDURE_CALL(socket), When::ArgumentIs, 0, AF_ALG},
    {PERDURE_CALL(socket), When::ArgumentIs, 0, AF_KEY},
    {PERDURE_CALL(socket), When::ArgumentIs, 0, AF_RDS},
    {PERDURE_CALL(socket), When::ArgumentIs, 0, AF_TIPC},
    {PERDURE_CALL(ioctl), When::ArgumentIs, 1, TIOCSTI},  // types on the terminal of whoever started us
    {PERDURE_CALL(ioctl), When::ArgumentIs, 1, 0x541CU},  // TIOCLINUX: pastes there
    // Other processes.
    {PERDURE_CALL(ptrace)},
    {PERDURE_CALL(process_vm_readv)},
    {PERDURE_CALL(process_vm_writev)},
    {PERDURE_CALL(pidfd_getfd)},
    {PERDURE_CALL(kcmp)},
    {PERDURE_CALL(perf_event_open)},
    // The kernel, and what has often been a way into it.
    {PERDURE_CALL(bpf)},
    {PERDURE_CALL(userfaultfd)},
    {PERDURE_CALL(io_uring_setup)},
    {PERDURE_CALL(io_uring_enter)},
    {PERDURE_CALL(io_uring_register)},
    {PERDURE_CALL(init_module)},
    {PERDURE_CALL(finit_module)},
    {PERDURE_CALL(delete_module)},
    {PERDURE_CALL(kexec_load)},
    {PERDURE_CALL(kexec_file_load)},
    {PERDURE_CALL(reboot)},
    {PERDURE_CALL(syslog)},  // the kernel's log, not syslog(3)
    {PERDURE_CALL(add_key)},
    {PERDURE_CALL(request_key)},
    {PERDURE_CALL(keyctl)},
    // Mounts and namespaces.
    {PERDURE_CALL(mount)},
    {PERDURE_CALL(umount2)},
    {PERDURE_CALL(pivot_root)},
    {PERDURE_CALL(chroot)},
    {PERDURE_CALL(open_tree)},
    {PERDURE_CALL(move_mount)},
    {PERDURE_CALL(mount_setattr)},
    {PERDURE_CALL(fsopen)},
    {PERDURE_CALL(fsconfig)},
    {PERDURE_CALL(fsmount)},
    {PERDURE_CALL(fspick)},
    {PERDURE_CALL(unshare)},
    {PERDURE_CALL(setns)},
    {PERDURE_CALL(open_by_handle_at)},
    // The machine.
    {PERDURE_CALL(swapon)},
    {PERDURE_CALL(swapoff)},
    {PERDURE_CALL(quotactl)},
    {PERDURE_CALL(quotactl_fd)},
    {PERDURE_CALL(acct)},
    {PERDURE_CALL(settimeofday)},
    {PERDURE_CALL(clock_settime)},
    {PERDURE_CALL(sethostname)},
    {PERDURE_CALL(setdomainname)},
    {PERDURE_CALL(vhangup)},
#if defined(__x86_64__)
    {PERDURE_CALL(iopl)},
    {PERDURE_CALL(ioperm)},
    {PERDURE_CALL(modify_ldt)},
    {PERDURE_CALL(uselib)},
#endif
};

constexpr ForbiddenRule programs_rules[] = {{PERDURE_CALL(execve)}, {PERDURE_CALL(execveat)}};

#undef PERDURE_CALL

sock_filter load(std::size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
sock_filter answer_with(std::uint32_t what) { return BPF_STMT(BPF_RET | BPF_K, what); }
/// Goes on with the next instruction where it holds, else skips `skipped`.
sock_filter unless(unsigned comparison, std::uint32_t value, std::uint8_t skipped) {
  return BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | comparison | BPF_K), value, 0, skipped);
}

}  // namespace

std::vector<ForbiddenRule> forbidden_calls(Sandbox sandbox) {
  std::vector<ForbiddenRule> rules;
  if (sandbox == Sandbox::None) return rules;
  rules.assign(std::begin(server_rules), std::end(server_rules));
  if (sandbox == Sandbox::SelfContained) rules.insert(rules.end(), std::begin(programs_rules), std::end(programs_rules));
  return rules;
}

std::vector<sock_filter> call_filter(Sandbox sandbox, ForbiddenCall answer) {
  const std::vector<ForbiddenRule> rules = forbidden_calls(sandbox);
  if (rules.empty() || own_architecture == 0) return {};
  const std::uint32_t forbidden =
      answer == ForbiddenCall::Kills ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(EPERM);
  std::vector<sock_filter> program {
    load(offsetof(seccomp_data, arch)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, own_architecture, 1, 0), answer_with(forbidden),
        load(offsetof(seccomp_data, nr)),
#if defined(__x86_64__)
        unless(BPF_JGE, 0x40000000U, 1),  // __X32_SYSCALL_BIT: x32 has the same architecture
        answer_with(forbidden),
#endif
        unless(BPF_JEQ, SYS_clone3, 1), answer_with(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(ENOSYS)),
  };
  for (const ForbiddenRule& rule : rules) {
    if (rule.when == When::Always) {
      program.insert(program.end(), {unless(BPF_JEQ, rule.number, 1), answer_with(forbidden)});
      continue;
    }
    const unsigned comparison = rule.when == When::ArgumentIs ? BPF_JEQ : BPF_JSET;
    program.insert(program.end(), {
                                      unless(BPF_JEQ, rule.number, 4),
                                      load(offsetof(seccomp_data, args) + rule.argument * sizeof(std::uint64_t)),
                                      unless(comparison, rule.value, 1),
                                      answer_with(forbidden),
                                      load(offsetof(seccomp_data, nr)),
                                  });
  }
  program.push_back(answer_with(SECCOMP_RET_ALLOW));
  return program;
}

}  // namespace perdure::rights
