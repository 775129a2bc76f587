// The executor: what stands between the keeper's clone and a service's first instruction.
//
// Started by the keeper as `perdure-executor SLOT INVOCATION OFFSET SIZE FDS PROCS [OOM]`: the slot of a failure, 32 hexadecimal
// digits or "-", where the spec stands in descriptor 16, how many descriptors from 16 on are the child's, the number of a
// cgroup.procs to enter through or 0, and the oom_score_adj of a service that sets none (empty: as inherited). It undoes
// what it inherited from the keeper, takes on what the spec says, and executes the program. The first step that
// fails is told through the failure slot, and ends it with the exit code that systemd.exec(5) has for it: the service
// never runs with less than its unit asks for.
//
// | step                                  | why there                                                                          |
// |---------------------------------------|------------------------------------------------------------------------------------|
// | ReadSpec                              | nothing is known before                                                            |
// | EnterCgroup                           | what the steps below cost is charged to the service                                |
// | Session                               | no terminal of the keeper's can be reached from here on                            |
// | Nice OomScore                         | /proc is still the machine's; lowering either takes root's capabilities            |
// | CpuScheduling IoScheduling            | likewise; in systemd's order: a policy may make Nice= mean nothing                 |
// | Stdio                                 | /dev/null is the machine's; the last descriptor of ours that LimitNOFILE= may meet |
// | Namespace                             | needs root's capabilities, and paths outside the root directory                    |
// | RootDirectory                         | after what was mounted below it; chroot(2) needs root's capabilities               |
// | Limits                                | after the last descriptor was opened; before User=, for LimitNPROC= counts by user |
// | BoundingSet                           | takes CAP_SETPCAP, which goes with the user                                        |
// | Groups Group User VerifyIds           | in the order in which each still may; what was set is read back                    |
// | AmbientSet                            | the kernel empties it when the user changes                                        |
// | UMask                                 | after mount points were made                                                       |
// | WorkingDirectory                      | with the service's rights and within its root: on NFS nobody else may enter it     |
// | CloseDescriptors                      | a directory that was named through one of them is entered by now                   |
// | SecureBits NoNewPrivileges            | after every step that needs what they take                                         |
// | SignalMask                            | until here a signal waits, and the keeper's mask protects the report               |
// | SystemCallFilter                      | last: it may forbid every call above                                               |
// | Exec                                  |                                                                                    |
//
// A step of which the spec does not speak costs no system call.
// No C library: its start must cost no more than the exec itself.
#include "executor/file_tree.hpp"
#include "executor/report.hpp"
#include "executor/rights.hpp"
#include "executor/spec_view.hpp"
#include "raw/start.hpp"
#include "raw/system_call.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::executor {
namespace {

// Nothing but zeros until they are used: pages that are not touched cost nothing.
alignas(8) char spec_bytes[wire::spec_size_max];
char* arguments[wire::spec_strings_max + 1];
char* environment[wire::spec_strings_max + 5];
char invocation_id[] = "INVOCATION_ID=00000000000000000000000000000000";
char exec_pid[] = "SYSTEMD_EXEC_PID=0000000000";
char watchdog_pid[] = "WATCHDOG_PID=0000000000";

std::uint64_t number(const char* text) {
  std::uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + static_cast<std::uint64_t>(*text - '0');
  return value;
}

SpecView read_spec(const char* offset_text, const char* size_text) {
  const std::uint64_t size = number(size_text);
  if (size > sizeof spec_bytes) give_up(Step::ReadSpec, raw::e_inval);
  const long count = raw::pread(wire::child_fd_first, spec_bytes, size, number(offset_text));
  require(Step::ReadSpec, count);
  const auto& spec = *reinterpret_cast<const wire::SpawnSpec*>(spec_bytes);
  if (!wire::is_sound(spec, spec_bytes, static_cast<std::size_t>(count))) give_up(Step::ReadSpec, raw::e_inval);
  return SpecView{spec_bytes};
}

/// Writes the digits of `value` and a NUL from `first` on; at least ten fit.
void put_number(char* first, long value) {
  char digits[10];
  int count = 0;
  do {
    digits[count++] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0 && count < 10);
  while (count > 0) *first++ = digits[--count];
  *first = '\0';
}

void compose(SpecView spec, const char* invocation) {
  for (std::uint32_t i = 0; i < spec->argument_count; ++i) arguments[i] = spec.text(spec.list(spec->arguments)[i]);
  std::uint32_t count = 0;
  for (; count < spec->environment_count; ++count) environment[count] = spec.text(spec.list(spec->environment)[count]);
  if (invocation[0] != '-' && !spec.has(wire::spec_no_invocation_id)) {
    char* digit = invocation_id + sizeof "INVOCATION_ID=" - 1;
    for (int i = 0; i < 32 && invocation[i] != '\0'; ++i) digit[i] = invocation[i];
    environment[count++] = invocation_id;
  }
  const long pid = raw::call(__NR_getpid);
  if (spec.has(wire::spec_watchdog_pid)) {
    put_number(watchdog_pid + sizeof "WATCHDOG_PID=" - 1, pid);
    environment[count++] = watchdog_pid;
  }
  if (spec.has(wire::spec_no_exec_pid)) return;
  put_number(exec_pid + sizeof "SYSTEMD_EXEC_PID=" - 1, pid);
  environment[count] = exec_pid;
}

void enter_cgroup(int procs) {
  if (procs > 0) require(Step::EnterCgroup, raw::write(procs, "0", 1));
}

/// SIGPIPE and SIGXFSZ are the only dispositions that the keeper or the spec can make differ from the default.
void set_signals(SpecView spec) {
  constexpr int sigpipe = 13;
  constexpr int set_mask = 2;  // SIG_SETMASK
  raw::SignalAction action{};
  if (spec.has(wire::spec_ignore_sigpipe)) action.handler = reinterpret_cast<void*>(1);  // SIG_IGN
  require(Step::SignalMask, raw::call(__NR_rt_sigaction, sigpipe, raw::address(&action), 0, 8));
  const std::uint64_t none = 0;
  require(Step::SignalMask, raw::call(__NR_rt_sigprocmask, set_mask, raw::address(&none), 0, 8));
}

/// What the kernel does not allow is left as it is: whoever asks for the status is shown what is not in effect.
void set_if_allowed(Step step, long result) {
  if (result != -raw::e_acces && result != -raw::e_perm) require(step, result);
}

void set_priority(SpecView spec) {
  if (spec.has(wire::spec_has_nice)) set_if_allowed(Step::Nice, raw::call(__NR_setpriority, 0, 0, spec->nice));
}

void set_scheduling(SpecView spec) {
  if (spec.has(wire::spec_has_cpu_scheduling)) {
    const std::int32_t priority = spec->cpu_priority;
    set_if_allowed(Step::CpuScheduling, raw::call(__NR_sched_setscheduler, 0, spec->cpu_policy, raw::address(&priority)));
  }
  if (spec.has(wire::spec_has_io_priority)) {
    constexpr int of_process = 1;  // IOPRIO_WHO_PROCESS
    set_if_allowed(Step::IoScheduling, raw::call(__NR_ioprio_set, of_process, 0, spec->io_priority));
  }
}

long write_oom_score_adj(const char* text, std::size_t size) {
  constexpr int write_only = 1;
  const long file = raw::call(__NR_openat, -100, raw::address("/proc/self/oom_score_adj"), write_only | raw::close_on_exec);
  require(Step::OomScore, file);
  const long written = raw::write(static_cast<int>(file), text, size);
  raw::close(static_cast<int>(file));
  return written;
}

/// `usual`: what the keeper was started with; empty: it still has that. No service runs with the keeper's own, whatever its unit
/// says: the kernel would rather end the rest of the machine than a service that eats all memory.
void set_oom_score(SpecView spec, const char* usual) {
  std::size_t size = 0;
  while (usual[size] != '\0') ++size;
  if (size > 0) require(Step::OomScore, write_oom_score_adj(usual, size));
  if (!spec.has(wire::spec_has_oom_score)) return;
  char digits[8];
  int at = static_cast<int>(sizeof digits);
  int left = spec->oom_score_adjust < 0 ? -spec->oom_score_adjust : spec->oom_score_adjust;
  do {
    digits[--at] = static_cast<char>('0' + left % 10);
    left /= 10;
  } while (left > 0 && at > 1);
  if (spec->oom_score_adjust < 0) digits[--at] = '-';
  // As systemd: a refusal is skipped.
  write_oom_score_adj(digits + at, sizeof digits - static_cast<std::size_t>(at));
}

void set_limits(SpecView spec) {
  for (std::uint32_t resource = 0; resource < wire::spec_limits; ++resource) {
    if ((spec->limits_set >> resource & 1U) == 0) continue;
    raw::Limit limit{spec->limits[resource].soft, spec->limits[resource].hard};
    long result = raw::call(__NR_prlimit64, 0, static_cast<long>(resource), raw::address(&limit), 0);
    if (result == -1) {  // EPERM: above the hard limit in force, which then is what it gets
      raw::Limit in_force{};
      require(Step::Limits, raw::call(__NR_prlimit64, 0, static_cast<long>(resource), 0, raw::address(&in_force)));
      if (limit.hard > in_force.hard) limit.hard = in_force.hard;
      if (limit.soft > limit.hard) limit.soft = limit.hard;
      result = raw::call(__NR_prlimit64, 0, static_cast<long>(resource), raw::address(&limit), 0);
    }
    require(Step::Limits, result);
  }
}

void set_stdio(SpecView spec) {
  // Descriptor 0 of the keeper is /dev/null; its 1 and 2 are its own and not the service's.
  const std::uint32_t sources[] = {spec->stdin_index, spec->stdout_index, spec->stderr_index};
  for (int stream = 0; stream < 3; ++stream) {
    const std::uint32_t index = sources[stream];
    if (index == 0 && stream == 0) continue;
    const int source = index == 0 ? 0 : wire::child_fd_first + static_cast<int>(index);
    // Standard input comes first: a null output is a copy of the keeper's 0 only while that is untouched.
    if (index == 0 && spec->stdin_index != 0) {
      constexpr int read_write = 2;
      const long null = raw::call(__NR_openat, -100, raw::address("/dev/null"), read_write | raw::close_on_exec);
      require(Step::Stdio, null);
      require(Step::Stdio, raw::dup3(static_cast<int>(null), stream, 0));
      continue;
    }
    require(Step::Stdio, raw::dup3(source, stream, 0));
  }
}

void close_descriptors() {
  const long result = raw::close_range(3, ~0U, raw::close_range_close_on_exec);
  if (result >= 0) return;
  // Linux 5.10 has no CLOSE_RANGE_CLOEXEC. The keeper gave us nothing above the child's descriptors.
  constexpr int set_flags = 2;  // F_SETFD
  for (int fd = 3; fd < 128; ++fd) raw::fcntl(fd, set_flags, 1);
}

[[noreturn]] void execute(SpecView spec) {
  const raw::Time pause{0, 100'000'000};
  long result = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    result =
        raw::call(__NR_execve, raw::address(spec.text(spec->program)), raw::address(arguments), raw::address(environment));
    if (result != -raw::e_txtbsy) break;  // somebody is still writing it: a moment later it may be whole
    raw::call(__NR_nanosleep, raw::address(&pause), 0);
  }
  give_up(Step::Exec, result);
}

}  // namespace

extern "C" [[noreturn, gnu::used]] void perdure_executor(long* stack) {
  const long count = stack[0];
  auto** given = reinterpret_cast<char**>(stack + 1);
  if (count < 7) raw::exit(1);
  report_to(number(given[1]));
  const int child_fds = static_cast<int>(number(given[5]));
  const SpecView spec = read_spec(given[3], given[4]);
  if (spec.has(wire::spec_gate)) open_gate(wire::child_fd_first + child_fds - 1);
  compose(spec, given[2]);
  enter_cgroup(static_cast<int>(number(given[6])));
  require(Step::Session, raw::call(__NR_setsid));
  set_priority(spec);
  set_oom_score(spec, count > 7 ? given[7] : "");
  set_scheduling(spec);
  set_stdio(spec);
  mount_paths(spec);
  enter_root_directory(spec);
  if (spec->filter_count > 0) report_without_calls();  // before the limits: it takes address space
  set_limits(spec);
  drop_bounding_set(spec);
  set_ids(spec);
  raise_ambient_set(spec);
  raw::call(__NR_umask, spec->umask);
  change_directory(spec);
  close_descriptors();
  set_secure_bits(spec);
  set_no_new_privileges(spec);
  set_signals(spec);
  announce_execution();
  install_filters(spec);
  execute(spec);
}

PERDURE_RAW_START(perdure_executor);

}  // namespace perdure::executor
