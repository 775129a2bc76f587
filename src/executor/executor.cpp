// The executor: what stands between the keeper's clone and a service's first instruction.
//
// Started by the keeper as `perdure-executor SLOT INVOCATION OFFSET SIZE FDS PROCS [OOM]`: the slot of a failure, 32 hexadecimal
// digits or "-", where the spec stands in descriptor 16, how many descriptors from 16 on are the child's, the number of a
// cgroup.procs to enter through or 0, and the oom_score_adj of a service that sets none (empty: as inherited). It undoes
// what it inherited from the keeper, takes on what the spec says, and executes the program. The first step that
// fails is told through the failure slot, and ends it with the exit code that systemd.exec(5) has for it: the service
// never runs with less than its unit asks for.
// No C library: its start must cost no more than the exec itself.
#include "raw/start.hpp"
#include "raw/system_call.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::executor {
namespace {

using wire::SpawnSpec;
using wire::Step;

// Nothing but zeros until they are used: pages that are not touched cost nothing.
alignas(8) char spec_bytes[wire::spec_size_max];
char* arguments[wire::spec_strings_max + 1];
char* environment[wire::spec_strings_max + 4];
char invocation_id[] = "INVOCATION_ID=00000000000000000000000000000000";
char exec_pid[] = "SYSTEMD_EXEC_PID=0000000000";

std::uint64_t failure_slot = 0;
int gate = -1;

void tell(Step step, long error) {
  const wire::Failure failure{static_cast<std::uint32_t>(step), static_cast<std::int32_t>(error)};
  raw::pwrite(wire::failure_fd, &failure, sizeof failure, failure_slot * sizeof failure);
}

[[noreturn]] void give_up(Step step, long result) {
  tell(step, result < 0 ? -result : result);
  if (gate >= 0 && step == Step::Exec) raw::write(gate, "f", 1);
  raw::exit(wire::step_exit_code(step));
}

void require(Step step, long result) {
  if (result < 0) give_up(step, result);
}

std::uint64_t number(const char* text) {
  std::uint64_t value = 0;
  for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + static_cast<std::uint64_t>(*text - '0');
  return value;
}

const SpawnSpec& read_spec(const char* offset_text, const char* size_text) {
  const std::uint64_t size = number(size_text);
  if (size > sizeof spec_bytes) give_up(Step::ReadSpec, raw::e_inval);
  const long count = raw::pread(wire::child_fd_first, spec_bytes, size, number(offset_text));
  require(Step::ReadSpec, count);
  const auto& spec = *reinterpret_cast<const SpawnSpec*>(spec_bytes);
  if (!wire::is_sound(spec, spec_bytes, static_cast<std::size_t>(count))) give_up(Step::ReadSpec, raw::e_inval);
  return spec;
}

char* text_at(std::uint32_t offset) { return spec_bytes + offset; }
const std::uint32_t* list_at(std::uint32_t offset) { return reinterpret_cast<const std::uint32_t*>(spec_bytes + offset); }

void compose(const SpawnSpec& spec, const char* invocation) {
  for (std::uint32_t i = 0; i < spec.argument_count; ++i) arguments[i] = text_at(list_at(spec.arguments)[i]);
  std::uint32_t count = 0;
  for (; count < spec.environment_count; ++count) environment[count] = text_at(list_at(spec.environment)[count]);
  if (invocation[0] != '-') {
    char* digit = invocation_id + sizeof "INVOCATION_ID=" - 1;
    for (int i = 0; i < 32 && invocation[i] != '\0'; ++i) digit[i] = invocation[i];
    environment[count++] = invocation_id;
  }
  char* end = exec_pid + sizeof exec_pid - 1;
  char* first = exec_pid + sizeof "SYSTEMD_EXEC_PID=" - 1;
  char* at = end;
  long pid = raw::call(__NR_getpid);
  do {
    *--at = static_cast<char>('0' + pid % 10);
    pid /= 10;
  } while (pid > 0 && at > first);
  while (at < end) *first++ = *at++;
  *first = '\0';
  environment[count] = exec_pid;
}

void enter_cgroup(int procs) {
  if (procs > 0) require(Step::EnterCgroup, raw::write(procs, "0", 1));
}

/// SIGPIPE and SIGXFSZ are the only dispositions that the keeper or the spec can make differ from the default.
void set_signals(const SpawnSpec& spec) {
  constexpr int sigpipe = 13;
  constexpr int set_mask = 2;  // SIG_SETMASK
  raw::SignalAction action{};
  if ((spec.flags & wire::spec_ignore_sigpipe) != 0) action.handler = reinterpret_cast<void*>(1);  // SIG_IGN
  require(Step::SignalMask, raw::call(__NR_rt_sigaction, sigpipe, raw::address(&action), 0, 8));
  const std::uint64_t none = 0;
  require(Step::SignalMask, raw::call(__NR_rt_sigprocmask, set_mask, raw::address(&none), 0, 8));
}

void set_priority(const SpawnSpec& spec) {
  if ((spec.flags & wire::spec_has_nice) != 0) {
    const long result = raw::call(__NR_setpriority, 0, 0, spec.nice);
    constexpr int e_acces = 13;
    constexpr int e_perm = 1;
    if (result != -e_acces && result != -e_perm) require(Step::Nice, result);  // as systemd: skipped where it is not allowed
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
void set_oom_score(const SpawnSpec& spec, const char* usual) {
  std::size_t size = 0;
  while (usual[size] != '\0') ++size;
  if (size > 0) require(Step::OomScore, write_oom_score_adj(usual, size));
  if ((spec.flags & wire::spec_has_oom_score) == 0) return;
  char digits[8];
  int at = static_cast<int>(sizeof digits);
  int left = spec.oom_score_adjust < 0 ? -spec.oom_score_adjust : spec.oom_score_adjust;
  do {
    digits[--at] = static_cast<char>('0' + left % 10);
    left /= 10;
  } while (left > 0 && at > 1);
  if (spec.oom_score_adjust < 0) digits[--at] = '-';
  write_oom_score_adj(digits + at, sizeof digits - static_cast<std::size_t>(at));  // refusals are skipped, as systemd does
}

void set_limits(const SpawnSpec& spec) {
  for (std::uint32_t resource = 0; resource < wire::spec_limits; ++resource) {
    if ((spec.limits_set >> resource & 1U) == 0) continue;
    raw::Limit limit{spec.limits[resource].soft, spec.limits[resource].hard};
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

void set_stdio(const SpawnSpec& spec) {
  // Descriptor 0 of the keeper is /dev/null; its 1 and 2 are its own and not the service's.
  const std::uint32_t sources[] = {spec.stdin_index, spec.stdout_index, spec.stderr_index};
  for (int stream = 0; stream < 3; ++stream) {
    const std::uint32_t index = sources[stream];
    if (index == 0 && stream == 0) continue;
    const int source = index == 0 ? 0 : wire::child_fd_first + static_cast<int>(index);
    // Standard input comes first: a null output is a copy of the keeper's 0 only while that is untouched.
    if (index == 0 && spec.stdin_index != 0) {
      constexpr int read_write = 2;
      const long null = raw::call(__NR_openat, -100, raw::address("/dev/null"), read_write | raw::close_on_exec);
      require(Step::Stdio, null);
      require(Step::Stdio, raw::dup3(static_cast<int>(null), stream, 0));
      continue;
    }
    require(Step::Stdio, raw::dup3(source, stream, 0));
  }
}

void set_ids(const SpawnSpec& spec) {
  if ((spec.flags & wire::spec_set_ids) == 0) return;
  require(Step::Groups, raw::call(__NR_setgroups, static_cast<long>(spec.group_count),
                                  spec.group_count == 0 ? 0 : raw::address(list_at(spec.groups))));
  require(Step::Group, raw::call(__NR_setresgid, spec.group, spec.group, spec.group));
  require(Step::User, raw::call(__NR_setresuid, spec.user, spec.user, spec.user));
  std::uint32_t real = 0;
  std::uint32_t effective = 0;
  std::uint32_t saved = 0;
  require(Step::VerifyIds, raw::call(__NR_getresuid, raw::address(&real), raw::address(&effective), raw::address(&saved)));
  if (real != spec.user || effective != spec.user || saved != spec.user) give_up(Step::VerifyIds, 1);
  require(Step::VerifyIds, raw::call(__NR_getresgid, raw::address(&real), raw::address(&effective), raw::address(&saved)));
  if (real != spec.group || effective != spec.group || saved != spec.group) give_up(Step::VerifyIds, 1);
}

/// On a network file system that is dead this hangs for ever: after ten seconds SIGALRM ends it, and the slot says where. execve(2)
/// can hang in the same way, and cannot be guarded so: a timer outlives it, and the program would be killed by our alarm.
void change_directory(const SpawnSpec& spec) {
  if (spec.working_directory == 0) {
    require(Step::WorkingDirectory, raw::call(__NR_chdir, raw::address("/")));
    return;
  }
  tell(Step::WorkingDirectory, 0);
  constexpr int unblock = 1;  // SIG_UNBLOCK
  const std::uint64_t alarm = std::uint64_t{1} << (14 - 1);
  require(Step::WorkingDirectory, raw::call(__NR_rt_sigprocmask, unblock, raw::address(&alarm), 0, 8));
  raw::IntervalTimer timer{0, 0, 10, 0};
  require(Step::WorkingDirectory, raw::call(__NR_setitimer, 0, raw::address(&timer), 0));
  long result = raw::call(__NR_chdir, raw::address(text_at(spec.working_directory)));
  if (result < 0 && (spec.flags & wire::spec_cwd_may_fail) != 0) result = raw::call(__NR_chdir, raw::address("/"));
  timer = {};
  raw::call(__NR_setitimer, 0, raw::address(&timer), 0);
  require(Step::WorkingDirectory, result);
  tell(Step::None, 0);
}

void close_descriptors() {
  const long result = raw::close_range(3, ~0U, raw::close_range_close_on_exec);
  if (result >= 0) return;
  // Linux 5.10 has no CLOSE_RANGE_CLOEXEC. The keeper gave us nothing above the child's descriptors.
  constexpr int set_flags = 2;  // F_SETFD
  for (int fd = 3; fd < 128; ++fd) raw::fcntl(fd, set_flags, 1);
}

[[noreturn]] void execute(const SpawnSpec& spec) {
  const raw::Time pause{0, 100'000'000};
  long result = 0;
  if (gate >= 0) raw::write(gate, "x", 1);
  for (int attempt = 0; attempt < 4; ++attempt) {
    result = raw::call(__NR_execve, raw::address(text_at(spec.program)), raw::address(arguments), raw::address(environment));
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
  failure_slot = number(given[1]);
  const int child_fds = static_cast<int>(number(given[5]));
  const SpawnSpec& spec = read_spec(given[3], given[4]);
  if ((spec.flags & wire::spec_gate) != 0) gate = wire::child_fd_first + child_fds - 1;
  compose(spec, given[2]);
  enter_cgroup(static_cast<int>(number(given[6])));
  require(Step::Session, raw::call(__NR_setsid));
  set_priority(spec);
  set_oom_score(spec, count > 7 ? given[7] : "");
  set_stdio(spec);
  set_limits(spec);  // after the last descriptor was opened: LimitNOFILE= may be lower than our numbers
  set_ids(spec);
  if ((spec.flags & wire::spec_no_new_privileges) != 0)
    require(Step::NoNewPrivileges, raw::call(__NR_prctl, 38, 1, 0, 0, 0));
  raw::call(__NR_umask, spec.umask);
  change_directory(spec);
  close_descriptors();
  set_signals(spec);  // last: until here a signal waits, and the keeper's mask protects the report
  execute(spec);
}

PERDURE_RAW_START(perdure_executor);

}  // namespace perdure::executor
