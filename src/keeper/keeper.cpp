// The keeper: parent of every service, holder of what must not be lost, and nothing more.
//
// It starts processes when it is told to, remembers how they ended until somebody has written that down, keeps descriptors, and
// starts the manager again when it is gone. It decides nothing, parses nothing, opens no path and allocates nothing once it runs:
// what it does not do cannot fail. (One path is opened before that, and again by a child before it becomes the manager: its own
// oom_score_adj.) All signals come through a signalfd; it sleeps in ppoll(2) until there is something to do.
//
// Started as `perdure-keeper ARGUMENTS…` with the descriptors of wire/keeper_message.hpp (0 is /dev/null), or in place of a
// keeper that is gone as `perdure-keeper --adopt FD ARGUMENTS…` with FD its table. The arguments are the manager's and are not
// looked at.
//
// Numbers of descriptors have a meaning here. Below `child_fd_first` stand the keeper's own; what arrives with a message takes the
// lowest free ones from there, in order; what is kept is moved up at once. So a child is made with the shared table of
// descriptors and lets go of everything above its own as its first act: its cost does not grow with what is held.
#include "keeper/table.hpp"
#include "raw/start.hpp"
#include "raw/system_call.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::keeper {
namespace {

using message::Entry;
using message::Header;
using message::Kind;
using message::Message;
using message::Operation;
using message::Request;

// 0 to 6 as we are started, and 7 and 8 until they are parked; then:
constexpr int manager_end =
    message::channel_fd;  // the manager's end of the channel; ours only while a manager is being started
constexpr int failures = wire::failure_fd;
constexpr int table_file = 9;
constexpr int channel = 10;
constexpr int signals = 11;
constexpr int tracked = 12;           // epoll set of the processes that are not our children
constexpr int fallback_program = 13;  // the manager program before the present one
constexpr int aside = 14;             // a program that may have to come back
constexpr int child_fd_first = wire::child_fd_first;
constexpr int kept_fd_first = 128;

// Values of <sched.h>, <signal.h> and so on; see raw/system_call.hpp for why they are spelled out.
constexpr std::uint64_t clone_vm = 0x100;
constexpr std::uint64_t clone_files = 0x400;
constexpr std::uint64_t clone_pidfd = 0x1000;
constexpr std::uint64_t clone_vfork = 0x4000;
constexpr std::uint64_t clone_into_cgroup = 0x200000000ULL;
constexpr int sigkill = 9;
constexpr int sigchld = 17;
constexpr int sigcont = 18;
constexpr int dup_close_on_exec = 1030;  // F_DUPFD_CLOEXEC
constexpr int set_descriptor_flags = 2;  // F_SETFD
constexpr int wait_no_hang = 1;
constexpr int wait_exited = 4;
constexpr int wait_no_wait = 0x01000000;  // WNOWAIT: it stays a zombie
constexpr int wait_all = 0;               // P_ALL
constexpr int e_child = 10;
constexpr int e_exist = 17;
constexpr int e_too_many_files = 24;
constexpr int e_full = 28;  // ENOSPC: the table has no room
constexpr int e_no_entry = 2;
constexpr int e_proto = 71;
constexpr int e_connection_reset = 104;

constexpr std::int64_t second = 1'000'000'000;
/// A manager that died this often within ten seconds is started once per second.
constexpr int quick_starts = 3;
constexpr int exec_failures_max = 3;
/// A manager that has been told something shows a sign of life within this; then SIGCONT, and after half of it SIGKILL.
constexpr std::int64_t silence_max = 10 * second;

// Memory. All of it is here, or mapped before the first process is started.
ProcessTable table;
alignas(16) unsigned char child_stack[16384];
// No larger than fds_max needs: what arrives beyond that is closed by the kernel, or it would reach the numbers of what is kept.
alignas(8) unsigned char control[sizeof(raw::ControlHeader) + message::fds_max * sizeof(std::int32_t)];
static_assert(child_fd_first + message::fds_max < kept_fd_first && sizeof control % 8 == 0);
char** manager_arguments;
char** environment;
wire::Failure* failure_slots;
std::uint32_t facts;

std::int32_t manager_pid = 0;  // 0: there is none
std::int64_t manager_due = 0;  // when there is none: when to start it
std::int64_t manager_deaths[quick_starts];
std::int16_t manager_end_code = 0;  // of the last one that ended
std::int16_t manager_end_status = 0;
std::int64_t manager_ended_realtime_ns = 0;
int exec_failures = 0;
bool has_fallback = false;          // fallback_program is one
std::uint64_t pending_signals = 0;  // received, not told yet
std::uint64_t told_signals = 0;     // told to the present manager, who has not Seen them yet
std::uint32_t signals_told = 0;     // the number of the last Signalled
bool untold = false;                // a message to the manager did not fit: the table and pending_signals know which
std::int64_t silent_since = 0;      // the manager owes a sign of life since then; 0: it does not
bool has_channel = false;           // to the present manager
std::int32_t oom_score_error = 0;   // of the attempt to be the last whom the kernel ends for want of memory; 0: done
bool resumed = false;               // SIGCONT has been sent to a silent manager
bool has_answer = false;            // an answer waits for room in the channel
Message answer;
std::uint32_t answer_fd_count = 0;
std::int32_t answer_fds[message::fds_max];
bool answer_close[message::fds_max];  // answer_fds[n] is closed once it is sent

std::int64_t clock_ns(int clock) {
  raw::Time time{};
  raw::call(__NR_clock_gettime, clock, raw::address(&time));
  return time.seconds * second + time.nanoseconds;
}
std::int64_t now() { return clock_ns(1); }  // CLOCK_MONOTONIC

std::size_t length_of(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') ++size;
  return size;
}

[[noreturn]] void die(const char* words) {
  raw::write(2, words, length_of(words));
  raw::exit(71);
}

void close_fd(std::int32_t& fd) {
  if (fd >= 0) raw::close(fd);
  fd = -1;
}

/// Moves a descriptor that arrived with a message to where it may stay.
std::int32_t keep(int fd) { return static_cast<std::int32_t>(raw::fcntl(fd, dup_close_on_exec, kept_fd_first)); }

bool is_open(int fd) {
  constexpr int get_flags = 1;  // F_GETFD
  return raw::fcntl(fd, get_flags, 0) >= 0;
}

/// Takes every free number below child_fd_first, so that what arrives with a message begins there.
void fill_low_numbers() {
  for (int fd = 1; fd < child_fd_first; ++fd) {
    if (!is_open(fd)) raw::dup3(0, fd, raw::close_on_exec);
  }
}

/// Gives a descriptor its number. Requires: it is not one of the low numbers, which are all taken (fill_low_numbers()).
void place(long fd, int number) {
  raw::dup3(static_cast<int>(fd), number, raw::close_on_exec);
  raw::close(static_cast<int>(fd));
}

// ---- telling the manager

void stamp(Header& header) {
  header.magic_number = message::magic;
  header.version = message::protocol;
  header.facts = facts;
  header.manager_starts = table.bytes().manager_starts;
  header.orphans_reaped = table.bytes().orphans_reaped;
  header.capacity = table.bytes().capacity;
  header.entries = table.entries();
  header.nofile_at_start = table.bytes().nofile_at_start;
  header.oom_score_error = oom_score_error;
  header.manager_end_code = manager_end_code;
  header.manager_end_status = manager_end_status;
  header.manager_ended_realtime_ns = manager_ended_realtime_ns;
}

std::size_t message_size(const Header& header) {
  const std::size_t each = header.kind == Kind::ListedParked ? sizeof(message::ParkedLabel) : sizeof(Entry);
  return sizeof(Header) + header.count * each;
}

/// False: there is no room in the channel, or no manager; nothing was sent.
bool send(Message& what, const std::int32_t* fds, std::uint32_t fd_count) {
  stamp(what.header);
  raw::Vector part{&what, message_size(what.header)};
  raw::MessageHeader header{nullptr, 0, &part, 1, nullptr, 0, 0};
  if (fd_count > 0) {
    auto* head = reinterpret_cast<raw::ControlHeader*>(control);
    head->size = sizeof(raw::ControlHeader) + fd_count * sizeof(std::int32_t);
    head->level = raw::socket_level;
    head->type = raw::rights;
    auto* numbers = reinterpret_cast<std::int32_t*>(head + 1);
    for (std::uint32_t i = 0; i < fd_count; ++i) numbers[i] = fds[i];
    header.control = control;
    header.control_size = (head->size + 7) & ~std::size_t{7};
  }
  return raw::call(__NR_sendmsg, channel, raw::address(&header), raw::message_dont_wait | raw::message_no_signal) >= 0;
}

void expect_sign_of_life() {
  if (silent_since == 0) silent_since = now();
}

void tell_exit(Slot& slot) {
  Message told;
  told.header = Header{};
  told.header.kind = Kind::Exited;
  told.header.count = 1;
  told.entries[0] = slot.entry;
  if (has_channel && send(told, nullptr, 0)) {
    slot.told = 1;
    expect_sign_of_life();
  } else {
    untold = true;
  }
}

void tell_signals() {
  if (pending_signals == 0) return;
  Message told;
  told.header = Header{};
  told.header.kind = Kind::Signalled;
  told.header.signals = pending_signals;
  told.header.sequence = signals_told + 1;
  if (has_channel && send(told, nullptr, 0)) {
    ++signals_told;
    told_signals |= pending_signals;
    pending_signals = 0;
    expect_sign_of_life();
  } else {
    untold = true;
  }
}

void tell_rest() {
  untold = false;
  tell_signals();
  for (std::uint32_t i = 0; i < table.used() && !untold; ++i) {
    Slot& slot = table.at(i);
    if (slot.entry.state == EntryState::Ended && slot.told == 0) tell_exit(slot);
  }
}

/// Sent, or nobody is there to take it: its descriptors must not stay among the low numbers.
void drop_answer() {
  has_answer = false;
  for (std::uint32_t i = 0; i < answer_fd_count; ++i) {
    if (answer_close[i]) raw::close(answer_fds[i]);
    answer_close[i] = false;
  }
  answer_fd_count = 0;
}

void send_answer() {
  if (send(answer, answer_fds, answer_fd_count)) drop_answer();
}

void begin_answer(const Request& request, Kind kind, std::int32_t error) {
  answer.header = Header{};
  answer.header.kind = kind;
  answer.header.sequence = request.sequence;
  answer.header.error = error;
  answer_fd_count = 0;
  has_answer = true;
}

// ---- processes

/// What a child does with our memory before it becomes the executor or the manager. It runs on child_stack while we wait for it.
struct Birth {
  int program;
  unsigned last_fd;  // what it keeps
  char** arguments;
  char** environment;
  const char* oom_score_adj;  // what it is to have again; empty: it stays as it is
  volatile long error;
};
Birth birth;

long open_oom_score_adj(int how) {
  return raw::call(__NR_openat, -100, raw::address("/proc/self/oom_score_adj"), how | raw::close_on_exec);
}

/// A manager that takes too much memory must be the one that is ended for it. What cannot be restored is no reason not to have one.
void restore_oom_score_adj(const char* text) {
  constexpr int write_only = 1;
  const long file = text[0] == '\0' ? -1 : open_oom_score_adj(write_only);
  if (file < 0) return;
  raw::write(static_cast<int>(file), text, length_of(text));
  raw::close(static_cast<int>(file));
}

extern "C" [[noreturn, gnu::used]] void perdure_keeper_child() {
  long result = raw::close_range(birth.last_fd + 1, ~0U, raw::close_range_unshare);
  restore_oom_score_adj(birth.oom_score_adj);
  if (result >= 0) {
    result = raw::call(__NR_execveat, birth.program, raw::address(""), raw::address(birth.arguments),
                       raw::address(birth.environment), raw::at_empty_path);
  }
  birth.error = result;
  raw::exit(203);
}

/// A child with our memory and our descriptors, on a stack of its own; returns in the parent once it has executed or ended.
long clone_child(raw::CloneArguments& arguments) {
  arguments.stack = reinterpret_cast<std::uint64_t>(child_stack);
  arguments.stack_size = sizeof child_stack;
  birth.error = 0;
#if defined(__x86_64__)
  long result = __NR_clone3;
  __asm__ volatile(
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%ebp, %%ebp\n"
      "call perdure_keeper_child\n"
      "1:\n"
      : "+a"(result)
      : "D"(&arguments), "S"(sizeof arguments)
      : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = __NR_clone3;
  register long x0 __asm__("x0") = raw::address(&arguments);
  register long x1 __asm__("x1") = sizeof arguments;
  __asm__ volatile(
      "svc #0\n"
      "cbnz x0, 1f\n"
      "mov x29, #0\n"
      "bl perdure_keeper_child\n"
      "1:\n"
      : "+r"(x0)
      : "r"(x8), "r"(x1)
      : "x2", "x3", "x4", "x5", "x6", "x7", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17", "x30", "memory",
        "cc");
  return x0;
#endif
}

/// The text of `value`, right before `end`, which is its terminator.
char* decimal(std::uint64_t value, char* end) {
  *end = '\0';
  do {
    *--end = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0);
  return end;
}

void take_status(Slot& slot, std::int32_t code, std::int32_t status, const raw::Usage& usage) {
  Entry& entry = slot.entry;
  entry.state = EntryState::Ended;
  entry.end_code = code;
  entry.end_status = status;
  entry.ended_ns = now();
  entry.ended_realtime_ns = clock_ns(0);
  entry.user_us = static_cast<std::uint64_t>(usage.user_seconds * 1'000'000 + usage.user_microseconds);
  entry.system_us = static_cast<std::uint64_t>(usage.system_seconds * 1'000'000 + usage.system_microseconds);
  entry.max_rss_kib = static_cast<std::uint64_t>(usage.max_rss_kib);
  const wire::Failure& failure = failure_slots[table.index_of(slot)];
  entry.failed_step = failure.step;
  entry.failed_error = failure.error;
}

void spawn(const Request& request, std::uint32_t fd_count) {
  const bool has_cgroup = (request.flags & message::has_cgroup) != 0;
  const bool has_log = (request.flags & message::has_log) != 0;
  const bool has_gate = (request.flags & message::has_gate) != 0;
  const std::uint32_t expected = request.child_fds + (has_cgroup ? 1U : 0U) + (has_log ? 1U : 0U) + (has_gate ? 1U : 0U);
  begin_answer(request, Kind::Spawned, 0);
  if (request.child_fds == 0 || fd_count != expected) {
    answer.header.error = raw::e_inval;
    return;
  }
  if (Slot* const known = table.find(request.key)) {
    answer.header.count = 1;  // a manager that died after its order asks again: the order stands
    answer.entries[0] = known->entry;
    answer.header.error = 0;
    return;
  }
  Slot* const slot = table.add(request.key);
  if (slot == nullptr) {
    answer.header.error = e_full;
    return;
  }
  int next = child_fd_first + request.child_fds;
  const int cgroup = has_cgroup ? next++ : -1;
  if (has_log) slot->log_fd = keep(next++);
  if (has_gate) slot->gate_fd = keep(next++);
  if ((has_log && slot->log_fd < 0) || (has_gate && slot->gate_fd < 0)) {
    close_fd(slot->log_fd);
    close_fd(slot->gate_fd);
    table.remove(*slot);
    answer.header.error = e_too_many_files;
    return;
  }

  static char numbers[5][24];
  static char invocation[33];
  static char name[] = "perdure-executor";
  static char* arguments[9];
  constexpr char digits[] = "0123456789abcdef";
  for (int i = 0; i < 16; ++i) {
    invocation[2 * i] = digits[request.invocation[i] >> 4];
    invocation[2 * i + 1] = digits[request.invocation[i] & 15];
  }
  const bool by_procs = (request.flags & message::enter_by_procs) != 0;
  arguments[0] = name;
  arguments[1] = decimal(table.index_of(*slot), &numbers[0][23]);
  arguments[2] = invocation;
  arguments[3] = decimal(request.spec_offset, &numbers[1][23]);
  arguments[4] = decimal(request.spec_size, &numbers[2][23]);
  arguments[5] = decimal(request.child_fds - (by_procs ? 1U : 0U), &numbers[3][23]);
  arguments[6] = decimal(by_procs ? static_cast<std::uint64_t>(child_fd_first + request.child_fds - 1) : 0, &numbers[4][23]);
  arguments[7] = table.bytes().oom_score_adj_at_start;
  arguments[8] = nullptr;

  failure_slots[table.index_of(*slot)] = {};
  slot->entry.started_ns = now();
  for (int i = 0; i < 16; ++i) slot->entry.invocation[i] = request.invocation[i];
  birth.program = message::executor_program_fd;
  birth.last_fd = static_cast<unsigned>(child_fd_first + request.child_fds - 1);
  birth.arguments = arguments;
  birth.environment = arguments + 8;  // nothing of ours reaches a service
  birth.oom_score_adj = "";           // the executor's task, who knows whether its unit wants another one
  std::int32_t pidfd = -1;
  raw::CloneArguments how{};
  how.flags = clone_vm | clone_vfork | clone_files | clone_pidfd | (has_cgroup ? clone_into_cgroup : 0);
  how.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  how.exit_signal = sigchld;
  how.cgroup = has_cgroup ? static_cast<std::uint64_t>(cgroup) : 0;
  const long pid = clone_child(how);
  if (pid <= 0) {
    close_fd(slot->log_fd);
    close_fd(slot->gate_fd);
    table.remove(*slot);
    answer.header.error = static_cast<std::int32_t>(-pid);
    return;
  }
  if (birth.error < 0)
    failure_slots[table.index_of(*slot)] = {static_cast<std::uint32_t>(wire::Step::Executor),
                                            static_cast<std::int32_t>(-birth.error)};
  slot->entry.pid = static_cast<std::int32_t>(pid);
  slot->entry.state = EntryState::Running;
  slot->entry.flags =
      static_cast<std::uint16_t>((has_log ? message::entry_has_log : 0) | (has_gate ? message::entry_has_gate : 0));
  table.bind_pid(*slot);
  answer.header.count = 1;
  answer.entries[0] = slot->entry;
  if (pidfd >= 0) {
    answer_fds[0] = pidfd;
    answer_fd_count = 1;
    answer_close[0] = true;
  }
}

/// Forgets an entry and closes what is held for it.
void release(Slot& slot) {
  close_fd(slot.log_fd);
  close_fd(slot.gate_fd);
  close_fd(slot.pidfd);
  table.remove(slot);
}

// The head of <linux/pidfd.h>'s pidfd_info.
struct PidfdInfo {
  std::uint64_t mask, cgroup_id;
  std::uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
constexpr std::uint64_t pidfd_info_exit = 1 << 3;

constexpr std::uint32_t told_zombie = 2;  // of Slot::told while it runs: a zombie that its parent has not reaped yet
std::int64_t foreign_due = 0;             // when such a zombie's end counts as unseen; 0: there is none

/// The end of a process that is not our child, from its pidfd (Linux 6.15: once its parent has reaped it), or `ended_unseen`.
void take_foreign_status(Slot& slot, bool last_chance) {
  PidfdInfo info{};
  info.mask = pidfd_info_exit;
  constexpr unsigned long get_info = 0xc000ff0bUL | (sizeof(PidfdInfo) << 16);  // _IOWR(0xFF, 11, struct pidfd_info)
  const long result = raw::call(__NR_ioctl, slot.pidfd, static_cast<long>(get_info), raw::address(&info));
  std::int32_t code = message::ended_unseen;
  std::int32_t status = 0;
  if (result >= 0 && (info.mask & pidfd_info_exit) != 0) {
    const int signal = info.exit_code & 0x7f;
    code = signal == 0 ? 1 : ((info.exit_code & 0x80) != 0 ? 3 : 2);
    status = signal == 0 ? (info.exit_code >> 8 & 0xff) : signal;
  } else if (!last_chance) {
    slot.told = told_zombie;
    if (foreign_due == 0) foreign_due = now() + second;
    return;
  }
  slot.told = 0;
  failure_slots[table.index_of(slot)] = {};
  take_status(slot, code, status, raw::Usage{});
  raw::call(__NR_epoll_ctl, tracked, 2, slot.pidfd, 0);
  close_fd(slot.pidfd);
  table.unbind_pid(slot);
  slot.entry.flags &= static_cast<std::uint16_t>(~message::entry_has_pidfd);
  tell_exit(slot);
}

bool watch_foreign(Slot& slot) {
  constexpr std::uint32_t edge = 1U << 31;  // EPOLLET: told when it becomes a zombie, and again when it has been reaped
  raw::PollEvent event{static_cast<std::uint32_t>(raw::poll_in | raw::poll_hang_up) | edge, table.index_of(slot)};
  return raw::call(__NR_epoll_ctl, tracked, 1, slot.pidfd, raw::address(&event)) >= 0;
}

/// Whether the process is a child of ours, alive or not reaped.
bool is_child(int pidfd) {
  raw::ChildStatus status{};
  constexpr int wait_pidfd = 3;
  return raw::call(__NR_waitid, wait_pidfd, pidfd, raw::address(&status), wait_exited | wait_no_hang | wait_no_wait, 0) >= 0;
}

void track(const Request& request, std::uint32_t fd_count) {
  const bool has_log = (request.flags & message::has_log) != 0;
  begin_answer(request, Kind::Answer, 0);
  if (fd_count != (has_log ? 2U : 1U) || request.number <= 1) {
    answer.header.error = raw::e_inval;
    return;
  }
  if (table.find(request.key) != nullptr) {
    answer.header.error = e_exist;
    return;
  }
  Slot* const slot = table.add(request.key);
  if (slot == nullptr) {
    answer.header.error = e_full;
    return;
  }
  failure_slots[table.index_of(*slot)] = {};
  slot->entry.pid = request.number;
  slot->entry.state = EntryState::Running;
  slot->entry.flags = message::entry_tracked;
  for (int i = 0; i < 16; ++i) slot->entry.invocation[i] = request.invocation[i];
  slot->entry.started_ns = now();
  if (has_log) {
    slot->log_fd = keep(child_fd_first + 1);
    if (slot->log_fd < 0) {
      release(*slot);
      answer.header.error = e_too_many_files;
      return;
    }
    slot->entry.flags |= message::entry_has_log;
  }
  table.bind_pid(*slot);
  if (!is_child(child_fd_first)) {
    slot->pidfd = keep(child_fd_first);
    slot->entry.flags |= message::entry_has_pidfd;
    if (slot->pidfd < 0 || !watch_foreign(*slot)) {
      table.unbind_pid(*slot);
      release(*slot);
      answer.header.error = e_too_many_files;
      return;
    }
  }
  answer.header.count = 1;
  answer.entries[0] = slot->entry;
}

void acknowledge(const Request& request) {
  begin_answer(request, Kind::Answer, 0);
  Slot* const slot = table.find(request.key);
  if (slot == nullptr) {
    answer.header.error = e_no_entry;
  } else if (slot->entry.state != EntryState::Ended) {
    answer.header.error = raw::e_inval;  // it still runs: forgetting it would lose its end
  } else {
    release(*slot);
  }
}

// ---- what is parked

bool same_label(const char* a, const char* b) {
  for (std::size_t i = 0; i < message::label_size; ++i) {
    if (a[i] != b[i]) return false;
  }
  return true;
}

message::Parked* parked(const char* label) {
  for (message::Parked& place : table.bytes().parked) {
    if (place.fd >= 0 && same_label(place.label, label)) return &place;
  }
  return nullptr;
}

void put(const Request& request, std::uint32_t fd_count) {
  begin_answer(request, Kind::Answer, 0);
  if (fd_count != 1) {
    answer.header.error = raw::e_inval;
    return;
  }
  message::Parked* place = parked(request.label);
  for (message::Parked& candidate : table.bytes().parked) {
    if (place == nullptr && candidate.fd < 0) place = &candidate;
  }
  const std::int32_t kept = place == nullptr ? -e_full : keep(child_fd_first);
  if (kept < 0) {
    answer.header.error = -kept;
    return;
  }
  close_fd(place->fd);
  place->fd = kept;
  for (std::size_t i = 0; i < message::label_size; ++i) place->label[i] = request.label[i];
}

void list(const Request& request) {
  begin_answer(request, Kind::Listed, 0);
  std::uint32_t index = request.from;
  for (; index < table.used() && answer.header.count < message::entries_max; ++index) {
    Slot& slot = table.at(index);
    if (slot.entry.state == EntryState::Free) continue;
    Entry& entry = answer.entries[answer.header.count++];
    entry = slot.entry;
    if (slot.entry.state == EntryState::Ended) slot.told = 1;
    if (slot.log_fd >= 0) answer_fds[answer_fd_count++] = slot.log_fd;
    if (slot.gate_fd >= 0) answer_fds[answer_fd_count++] = slot.gate_fd;
    std::int32_t pidfd = slot.pidfd;
    if (pidfd < 0 && slot.entry.state == EntryState::Running) {
      // It is our unreaped child, so the number is its own; nobody else could open it as safely.
      pidfd = static_cast<std::int32_t>(raw::call(__NR_pidfd_open, slot.entry.pid, 0));
      if (pidfd >= 0) answer_close[answer_fd_count] = true;
    }
    if (pidfd >= 0) {
      entry.flags |= message::entry_has_pidfd;
      answer_fds[answer_fd_count++] = pidfd;
    }
  }
  answer.header.next = index < table.used() ? index : 0;
}

void list_parked(const Request& request) {
  begin_answer(request, Kind::ListedParked, 0);
  auto* labels = reinterpret_cast<message::ParkedLabel*>(answer.entries);
  std::uint32_t index = request.from;
  for (; index < message::parked_max && answer.header.count < message::entries_max; ++index) {
    const message::Parked& place = table.bytes().parked[index];
    if (place.fd < 0) continue;
    for (std::size_t i = 0; i < message::label_size; ++i) labels[answer.header.count].label[i] = place.label[i];
    ++answer.header.count;
    answer_fds[answer_fd_count++] = place.fd;
  }
  answer.header.next = index < message::parked_max ? index : 0;
}

// ---- programs

void exec_manager(const Request& request, std::uint32_t fd_count) {
  begin_answer(request, Kind::Answer, fd_count == 1 ? 0 : raw::e_inval);
  if (fd_count != 1) return;
  raw::dup3(message::manager_program_fd, fallback_program, raw::close_on_exec);
  raw::dup3(child_fd_first, message::manager_program_fd, raw::close_on_exec);
  exec_failures = 0;
  has_fallback = true;
}

void set_close_on_exec(std::int32_t fd, bool on) {
  if (fd >= 0) raw::fcntl(fd, set_descriptor_flags, on ? 1 : 0);
}

/// All that is held loses or gets its close-on-exec flag; only around an exec of ourselves.
void set_kept(bool close_on_exec) {
  for (int fd = message::keeper_program_fd; fd <= fallback_program; ++fd) set_close_on_exec(fd, close_on_exec);
  for (const message::Parked& place : table.bytes().parked) set_close_on_exec(place.fd, close_on_exec);
  for (std::uint32_t i = 0; i < table.used(); ++i) {
    set_close_on_exec(table.at(i).log_fd, close_on_exec);
    set_close_on_exec(table.at(i).gate_fd, close_on_exec);
    set_close_on_exec(table.at(i).pidfd, close_on_exec);
  }
}

[[gnu::noinline]] long execute_keeper(int program) {
  static char name[] = "perdure-keeper";
  static char option[] = "--adopt";
  static char number[24];
  constexpr std::size_t arguments_max = 8192;
  static char* arguments[arguments_max];
  std::size_t count = 0;
  arguments[count++] = name;
  arguments[count++] = option;
  arguments[count++] = decimal(table_file, number + 23);
  for (char** argument = manager_arguments; *argument != nullptr && count + 1 < arguments_max; ++argument)
    arguments[count++] = *argument;
  arguments[count] = nullptr;
  set_kept(false);
  const long result = raw::call(__NR_execveat, program, raw::address(""), raw::address(arguments), raw::address(environment),
                                raw::at_empty_path);
  set_kept(true);
  return result;
}

void exec_keeper(const Request& request, std::uint32_t fd_count) {
  long result = -raw::e_inval;
  if (fd_count == 1) {
    // The successor starts a manager of its own; the present one sees its channel close.
    raw::dup3(message::keeper_program_fd, aside, raw::close_on_exec);
    raw::dup3(child_fd_first, message::keeper_program_fd, raw::close_on_exec);
    result = execute_keeper(message::keeper_program_fd);
    raw::dup3(aside, message::keeper_program_fd, raw::close_on_exec);
    raw::dup3(0, aside, raw::close_on_exec);
  }
  begin_answer(request, Kind::Answer, static_cast<std::int32_t>(-result));
}

/// The programs change places, so that neither is lost whatever the reason was.
void try_fallback() {
  raw::dup3(message::manager_program_fd, aside, raw::close_on_exec);
  raw::dup3(fallback_program, message::manager_program_fd, raw::close_on_exec);
  raw::dup3(aside, fallback_program, raw::close_on_exec);
  raw::dup3(0, aside, raw::close_on_exec);
  exec_failures = 0;
}

void start_manager() {
  fill_low_numbers();  // or the new channel's own ends take the numbers that they are copied to
  std::int32_t ends[2] = {-1, -1};
  constexpr int unix_domain = 1;
  constexpr int sequenced_packets = 5;
  constexpr int non_blocking = 04000;
  if (raw::call(__NR_socketpair, unix_domain, sequenced_packets | raw::close_on_exec, 0, raw::address(ends)) < 0) {
    manager_due = now() + second;
    return;
  }
  const std::int32_t room = 1 << 20;
  for (const std::int32_t end : ends)
    raw::call(__NR_setsockopt, end, raw::socket_level, 7, raw::address(&room), sizeof room);
  raw::dup3(ends[0], channel, raw::close_on_exec);
  raw::fcntl(channel, 4, 2 | non_blocking);  // F_SETFL
  raw::dup3(ends[1], manager_end, 0);
  raw::close(ends[0]);
  raw::close(ends[1]);
  has_answer = false;
  has_channel = true;

  birth.program = message::manager_program_fd;
  birth.last_fd = manager_end;
  birth.arguments = manager_arguments - 1;
  static char name[] = "perdure-manager";
  birth.arguments[0] = name;
  birth.environment = environment;
  birth.oom_score_adj = table.bytes().oom_score_adj_at_start;
  for (int fd = message::keeper_program_fd; fd <= message::instance_lock_fd; ++fd) set_close_on_exec(fd, false);
  raw::CloneArguments how{};
  how.flags = clone_vm | clone_vfork | clone_files;
  how.exit_signal = sigchld;
  const long pid = clone_child(how);
  for (int fd = message::keeper_program_fd; fd <= message::instance_lock_fd; ++fd) set_close_on_exec(fd, true);
  raw::close(manager_end);
  fill_low_numbers();
  if (pid <= 0 || birth.error < 0) {
    if (pid > 0 && ++exec_failures >= exec_failures_max && has_fallback) try_fallback();
    manager_due = now() + second;
    return;  // a child that could not execute is reaped as an orphan
  }
  manager_pid = static_cast<std::int32_t>(pid);
  ++table.bytes().manager_starts;
  for (std::uint32_t i = 0; i < table.used(); ++i) {
    if (table.at(i).entry.state == EntryState::Ended) table.at(i).told = 1;  // it asks with List first
  }
  silent_since = pending_signals != 0 ? now() : 0;
  resumed = false;
  untold = pending_signals != 0;
}

void manager_died();

// ---- facts

constexpr int wait_one = 1;  // P_PID
/// With so few entries, looking at all children at once costs nothing worth mentioning.
constexpr std::uint32_t few_entries = 128;
constexpr std::int64_t sweep_after = second / 1000;
std::int64_t sweep_due = 0;  // when to look at all children, in case signals were merged; 0: not at all
/// Ends that are taken at a time: requests must not wait for a service whose processes never cease to end.
constexpr int ends_max = 256;

/// The child that has ended: `pid`, or any (0). False: there is none.
bool look_at_ended(std::int32_t pid, raw::ChildStatus& status, raw::Usage& usage, int further_options = 0) {
  long result = 0;
  do {
    result = raw::call(__NR_waitid, pid == 0 ? wait_all : wait_one, pid, raw::address(&status),
                       wait_exited | wait_no_hang | further_options, raw::address(&usage));
  } while (result == -raw::e_intr);
  return result >= 0 && status.pid != 0;
}

/// Tells how a service ended before its zombie is reaped: the kernel takes its time over that (50 us), and a restart waits for it.
/// While there is a zombie, nobody else gets its number, and its usage is complete.
bool reap_service(Slot& slot) {
  const std::int32_t pid = slot.entry.pid;
  raw::ChildStatus status{};
  raw::Usage usage{};
  if (!look_at_ended(pid, status, usage, wait_no_wait)) return false;
  table.unbind_pid(slot);
  take_status(slot, status.code, status.status, usage);
  tell_exit(slot);
  look_at_ended(pid, status, usage);
  return true;
}

/// Takes the status of one child: of `pid`, or of whichever has ended (0). False: there is none.
bool reap(std::int32_t pid) {
  if (pid != 0 && pid != manager_pid) {
    if (Slot* const slot = table.find_pid(pid)) return reap_service(*slot);
  }
  raw::ChildStatus status{};
  raw::Usage usage{};
  if (!look_at_ended(pid, status, usage)) return false;
  if (status.pid == manager_pid) {
    manager_end_code = static_cast<std::int16_t>(status.code);
    manager_end_status = static_cast<std::int16_t>(status.status);
    manager_ended_realtime_ns = clock_ns(0);
    manager_died();
  } else if (Slot* const slot = table.find_pid(status.pid)) {
    table.unbind_pid(*slot);
    take_status(*slot, status.code, status.status, usage);
    tell_exit(*slot);
  } else {
    ++table.bytes().orphans_reaped;
  }
  return true;
}

/// SIGCHLD says who has ended, but two of them become one when nobody has looked in between. So all children are looked at a
/// little later; not at once, because the kernel walks through all of them (0.7 ms with 4,000) while a restart waits. Where many
/// end together, the walk is short, as it ends at the first that has; where it is long, each that lives is asked for itself.
void sweep() {
  sweep_due = 0;
  constexpr std::int64_t long_walk = second / 10'000;
  int ends = 0;
  for (std::int64_t before = now(); ends < ends_max; ++ends) {
    if (!reap(0)) return;
    const std::int64_t after = now();
    if (after - before > long_walk) break;
    before = after;
  }
  if (ends == ends_max) {
    sweep_due = now();
    return;
  }
  for (std::uint32_t i = 0; i < table.used(); ++i) {
    const Entry& entry = table.at(i).entry;
    if (entry.state == EntryState::Running && table.at(i).pidfd < 0 && entry.pid > 1) reap(entry.pid);
  }
  for (; ends < ends_max; ++ends) {
    if (!reap(0)) return;
  }
  sweep_due = now();
}

void take_signals() {
  raw::SignalFact fact{};
  bool has_child_ended = false;
  for (int i = 0; i < ends_max && raw::read(signals, &fact, sizeof fact) == static_cast<long>(sizeof fact); ++i) {
    if (fact.signal == sigchld) {
      const auto pid = static_cast<std::int32_t>(fact.rest[2]);  // ssi_pid
      if (pid > 1) reap(pid);
      has_child_ended = true;
    } else if (fact.signal < 64) {
      pending_signals |= std::uint64_t{1} << fact.signal;
    }
  }
  if (has_child_ended && table.entries() <= few_entries) {
    sweep();
  } else if (has_child_ended && sweep_due == 0) {
    sweep_due = now() + sweep_after;
  }
  tell_signals();
}

void take_foreign_ends() {
  raw::PollEvent events[16];
  const long count = raw::call(__NR_epoll_pwait, tracked, raw::address(events), 16, 0, 0, 8);
  for (long i = 0; i < count; ++i) {
    Slot& slot = table.at(static_cast<std::uint32_t>(events[i].data));
    const bool is_reaped = (events[i].events & raw::poll_hang_up) != 0;
    if (slot.pidfd >= 0 && slot.entry.state == EntryState::Running) take_foreign_status(slot, is_reaped);
  }
}

void give_up_on_zombies() {
  foreign_due = 0;
  for (std::uint32_t i = 0; i < table.used(); ++i) {
    Slot& slot = table.at(i);
    if (slot.entry.state == EntryState::Running && slot.pidfd >= 0 && slot.told == told_zombie)
      take_foreign_status(slot, true);
  }
}

constexpr std::int64_t leave_max = second;  // for a manager that has said Finish

/// Leaves once the manager has: nobody else would reap it where we are PID 1 or the only subreaper.
[[noreturn]] void finish(int code) {
  std::int64_t until = now() + leave_max;
  bool is_killed = false;
  while (manager_pid > 1) {
    raw::ChildStatus status{};
    raw::Usage usage{};
    while (look_at_ended(0, status, usage) && status.pid != manager_pid) {
    }
    if (status.pid == manager_pid) break;
    const std::int64_t left = until - now();
    if (left <= 0) {
      if (is_killed) break;  // not even that ends it
      raw::call(__NR_kill, manager_pid, sigkill);
      is_killed = true;
      until = now() + leave_max;
      continue;
    }
    raw::PollEntry polled{signals, raw::poll_in, 0};
    const raw::Time wait{left / second, left % second};
    raw::call(__NR_ppoll, raw::address(&polled), 1, raw::address(&wait), 0, 8);
    raw::SignalFact fact{};
    for (int i = 0; i < ends_max && raw::read(signals, &fact, sizeof fact) > 0; ++i) {
    }
  }
  raw::exit(code);
}

void carry_out(const Request& request, std::uint32_t fd_count) {
  silent_since = 0;
  resumed = false;
  switch (request.operation) {
    case Operation::List: return list(request);
    case Operation::ListParked: return list_parked(request);
    case Operation::Spawn: return spawn(request, fd_count);
    case Operation::Track: return track(request, fd_count);
    case Operation::Acknowledge: return acknowledge(request);
    case Operation::Put: return put(request, fd_count);
    case Operation::Delete:
      begin_answer(request, Kind::Answer, e_no_entry);
      if (message::Parked* place = parked(request.label)) {
        close_fd(place->fd);
        answer.header.error = 0;
      }
      return;
    case Operation::ExecManager: return exec_manager(request, fd_count);
    case Operation::ExecKeeper: return exec_keeper(request, fd_count);
    case Operation::Seen:
      if (request.from == signals_told) told_signals = 0;
      return;
    case Operation::Finish: finish(request.number & 0xff);
  }
  begin_answer(request, Kind::Answer, raw::e_nosys);
}

/// Whether nothing comes any more: a message without a byte reads like the end.
bool is_closed() {
  constexpr std::int16_t read_hang_up = 0x2000;  // POLLRDHUP
  raw::PollEntry polled{channel, read_hang_up, 0};
  const raw::Time no_wait{};
  raw::call(__NR_ppoll, raw::address(&polled), 1, raw::address(&no_wait), 0, 8);
  return (polled.found & (read_hang_up | raw::poll_hang_up)) != 0;
}

/// One request, if there is one. False: there is none.
bool take_request() {
  static Request request;
  raw::Vector part{&request, sizeof request};
  raw::MessageHeader header{nullptr, 0, &part, 1, control, sizeof control, 0};
  // Not close-on-exec: the child of a Spawn inherits what arrives; it is closed below in any case.
  long size = raw::call(__NR_recvmsg, channel, raw::address(&header), raw::message_dont_wait);
  // A peer that went with our messages unread is told of once (ECONNRESET); what it had sent before is there all the same.
  if (size == -e_connection_reset) size = raw::call(__NR_recvmsg, channel, raw::address(&header), raw::message_dont_wait);
  if (size == 0 && is_closed()) {  // it closed its end, or is dead already: without a channel it is no manager
    has_channel = false;
    if (manager_pid > 1) raw::call(__NR_kill, manager_pid, sigkill);
    return false;
  }
  if (size < 0) return false;
  std::uint32_t fd_count = 0;
  if (header.control_size >= sizeof(raw::ControlHeader)) {
    const auto* head = reinterpret_cast<const raw::ControlHeader*>(control);
    if (head->level == raw::socket_level && head->type == raw::rights) {
      fd_count = static_cast<std::uint32_t>((head->size - sizeof(raw::ControlHeader)) / sizeof(std::int32_t));
    }
  }
  const bool is_whole =
      size == static_cast<long>(sizeof request) && (header.flags & (raw::message_truncated | raw::control_truncated)) == 0;
  if (!is_whole || request.magic_number != message::magic || request.version != message::protocol) {
    begin_answer(request, Kind::Answer, e_proto);
  } else {
    carry_out(request, fd_count);
  }
  if (fd_count > 0) raw::close_range(child_fd_first, static_cast<unsigned>(child_fd_first) + fd_count - 1, 0);
  if (has_answer) send_answer();
  return true;
}

void manager_died() {
  manager_pid = 0;
  // Its last words count: a Finish, or an order that the journal already speaks of.
  drop_answer();
  while (has_channel && take_request()) drop_answer();
  pending_signals |= told_signals;  // it may have died before it acted on them
  told_signals = 0;
  silent_since = 0;
  has_channel = false;
  raw::dup3(0, channel, raw::close_on_exec);
  const std::int64_t at = now();
  const bool too_often = manager_deaths[0] != 0 && at - manager_deaths[0] < 10 * second;
  for (int i = 0; i + 1 < quick_starts; ++i) manager_deaths[i] = manager_deaths[i + 1];
  manager_deaths[quick_starts - 1] = at;
  manager_due = too_often ? at + second : at;
}

/// Milliseconds until something is due, -1: nothing is.
int due_in(std::int64_t at) {
  std::int64_t due = 0;
  if (manager_pid == 0) due = manager_due;
  if (silent_since != 0) {
    const std::int64_t patience = silent_since + (resumed ? silence_max + silence_max / 2 : silence_max);
    if (due == 0 || patience < due) due = patience;
  }
  if (foreign_due != 0 && (due == 0 || foreign_due < due)) due = foreign_due;
  if (sweep_due != 0 && (due == 0 || sweep_due < due)) due = sweep_due;
  if (due == 0) return -1;
  return due <= at ? 0 : static_cast<int>((due - at + 999'999) / 1'000'000);
}

void act_when_due(std::int64_t at) {
  if (manager_pid == 0 && manager_due <= at) start_manager();
  if (foreign_due != 0 && foreign_due <= at) give_up_on_zombies();
  if (sweep_due != 0 && sweep_due <= at) sweep();
  if (silent_since == 0 || manager_pid <= 1) return;
  // manager_pid is our unreaped child: the number cannot belong to anybody else.
  if (!resumed && at - silent_since >= silence_max) {
    raw::call(__NR_kill, manager_pid, sigcont);
    resumed = true;
  } else if (resumed && at - silent_since >= silence_max + silence_max / 2) {
    raw::call(__NR_kill, manager_pid, sigkill);
    silent_since = 0;
  }
}

std::int16_t channel_interest() {
  if (has_answer) return raw::poll_out;  // nothing is taken before it is answered
  return static_cast<std::int16_t>(untold ? raw::poll_in | raw::poll_out : raw::poll_in);
}

[[noreturn]] void run() {
  for (;;) {
    raw::PollEntry polled[] = {
        {signals, raw::poll_in, 0},
        {tracked, raw::poll_in, 0},
        {has_channel ? channel : -1, channel_interest(), 0},
    };
    const std::int64_t at = now();
    const int wait_ms = due_in(at);
    raw::Time wait{wait_ms / 1000, std::int64_t{wait_ms % 1000} * 1'000'000};
    raw::call(__NR_ppoll, raw::address(polled), 3, wait_ms < 0 ? 0 : raw::address(&wait), 0, 8);
    if (polled[0].found != 0) take_signals();
    if (polled[1].found != 0) take_foreign_ends();
    if (has_channel && polled[2].found != 0) {
      if (has_answer) send_answer();
      if ((polled[2].found & raw::poll_hang_up) != 0) drop_answer();  // nobody takes it
      if (!has_answer && untold && (polled[2].found & raw::poll_out) != 0) tell_rest();
      constexpr int requests_max = 64;  // then a look at the signals
      for (int i = 0; i < requests_max && !has_answer && has_channel && take_request(); ++i) {
      }
    }
    act_when_due(now());
  }
}

// ---- the start

/// `size` bytes of the file, shared with whoever else has it.
void* map(int file, std::size_t size) {
  const long address = raw::call(__NR_mmap, 0, static_cast<long>(size), 3, 1, file, 0);
  if (address < 0 && address > -4096) die("perdure-keeper: cannot map its table; nothing was started\n");
  return reinterpret_cast<void*>(address);
}

std::size_t table_size(std::uint32_t capacity) { return sizeof(message::Table) + std::size_t{capacity} * sizeof(Slot); }

int memory_file(const char* name, int number, std::size_t size) {
  const long file = raw::call(__NR_memfd_create, raw::address(name), 1);  // MFD_CLOEXEC
  if (file < 0 || raw::call(__NR_ftruncate, file, static_cast<long>(size)) < 0)
    die("perdure-keeper: cannot make its table; nothing was started\n");
  place(file, number);
  return number;
}

void make_table() {
  constexpr int nofile = 7;
  raw::Limit limit{};
  raw::call(__NR_prlimit64, 0, nofile, 0, raw::address(&limit));
  const std::uint64_t at_start = limit.soft;
  limit.soft = limit.hard;
  if (raw::call(__NR_prlimit64, 0, nofile, raw::address(&limit), 0) < 0) limit.soft = at_start;
  std::uint64_t capacity = limit.soft > kept_fd_first + message::parked_max
                               ? (limit.soft - kept_fd_first - message::parked_max) / message::fds_per_entry
                               : 1;
  if (capacity > message::capacity_max) capacity = message::capacity_max;
  memory_file("perdure-table", table_file, table_size(static_cast<std::uint32_t>(capacity)));
  auto* bytes = static_cast<message::Table*>(map(table_file, table_size(static_cast<std::uint32_t>(capacity))));
  bytes->magic_number = message::table_magic;
  bytes->version = message::table_version;
  bytes->slot_size = sizeof(Slot);
  bytes->capacity = static_cast<std::uint32_t>(capacity);
  bytes->nofile_at_start = at_start;
  for (message::Parked& place : bytes->parked) place.fd = -1;
  table.rebuild(*bytes);
}

/// With the keeper end all services of a container, and everybody's statuses: it should be the last whom the kernel ends for want
/// of memory. Without CAP_SYS_RESOURCE that is refused (EACCES, proc_pid_oom_score_adj(5)), which is told and changes nothing else.
/// Its children get back what it found, as text: there is nothing to understand in it.
void lower_oom_score_adj() {
  char* const at_start = table.bytes().oom_score_adj_at_start;
  if (at_start[0] != '\0') return;  // by our predecessor in this process
  constexpr int read_write = 2;
  constexpr char lowest[] = "-1000";
  constexpr std::size_t room = sizeof(message::Table::oom_score_adj_at_start) - 1;
  char found[room + 1]{};
  const long file = open_oom_score_adj(read_write);
  long result = file < 0 ? file : raw::read(static_cast<int>(file), found, room);
  if (result >= 0) result = raw::write(static_cast<int>(file), lowest, sizeof lowest - 1);
  if (file >= 0) raw::close(static_cast<int>(file));
  if (result < 0) {
    oom_score_error = static_cast<std::int32_t>(-result);
    return;
  }
  for (std::size_t i = 0; i < room; ++i) at_start[i] = found[i] == '\n' ? '\0' : found[i];
}

/// Parks what holds a directory of ours locked. Requires: fill_low_numbers() found it there.
void park_lock(message::Parked& place, int fd, const char* label) {
  place.fd = keep(fd);
  raw::dup3(0, fd, raw::close_on_exec);
  if (place.fd < 0) die("perdure-keeper: too few descriptors are allowed to hold its locks; nothing was started\n");
  for (std::size_t i = 0; label[i] != '\0'; ++i) place.label[i] = label[i];
}

void adopt_table(int file) {
  auto* head = static_cast<message::Table*>(map(file, sizeof(message::Table)));
  if (head->magic_number != message::table_magic || head->version != message::table_version ||
      head->slot_size != sizeof(Slot) || head->capacity == 0 || head->capacity > message::capacity_max) {
    die("perdure-keeper: the table to adopt is of another version; services go on, nobody watches them\n");
  }
  if (file != table_file) place(file, table_file);
  table.rebuild(*static_cast<message::Table*>(map(table_file, table_size(head->capacity))));
}

}  // namespace

extern "C" [[noreturn, gnu::used]] void perdure_keeper(long* stack) {
  const long count = stack[0];
  auto** given = reinterpret_cast<char**>(stack + 1);
  environment = given + count + 1;
  manager_arguments = given + 1;
  int adopted_table = -1;
  if (count >= 3 && given[1][0] == '-' && given[1][1] == '-' && given[1][2] == 'a' && given[1][3] == 'd' &&
      given[1][4] == 'o') {
    adopted_table = 0;
    for (const char* digit = given[2]; *digit >= '0' && *digit <= '9'; ++digit)
      adopted_table = adopted_table * 10 + (*digit - '0');
    manager_arguments = given + 3;
  }

  // Everything is blocked and nothing is handled: a child inherits default dispositions and unblocks for itself.
  const std::uint64_t all = ~std::uint64_t{0};
  raw::call(__NR_rt_sigprocmask, 2, raw::address(&all), 0, 8);
  raw::SignalAction default_action{};
  for (int signal = 1; signal <= 64; ++signal) raw::call(__NR_rt_sigaction, signal, raw::address(&default_action), 0, 8);

  for (int fd = message::keeper_program_fd; fd <= message::instance_lock_fd; ++fd) set_close_on_exec(fd, true);
  if (adopted_table < 0) {
    raw::close_range(message::log_lock_fd + 1, ~0U, 0);
    const bool has_state_lock = is_open(message::state_lock_fd);
    const bool has_log_lock = is_open(message::log_lock_fd);
    fill_low_numbers();
    make_table();
    message::Parked* place = table.bytes().parked;
    if (has_state_lock) park_lock(*place++, message::state_lock_fd, message::state_lock_label);
    if (has_log_lock) park_lock(*place++, message::log_lock_fd, message::log_lock_label);
  } else {
    fill_low_numbers();
    adopt_table(adopted_table);
    set_kept(true);
    // What our predecessor left open there: the request's own descriptors.
    raw::close_range(child_fd_first, kept_fd_first - 1, 0);
    has_fallback = true;  // if it is none, the programs change places again
    facts |= message::fact_adopted;
  }
  lower_oom_score_adj();
  memory_file("perdure-failures", failures, message::capacity_max * sizeof(wire::Failure));
  set_close_on_exec(failures, false);  // the executor's, which closes it
  failure_slots = static_cast<wire::Failure*>(map(failures, message::capacity_max * sizeof(wire::Failure)));

  const long signal_file = raw::call(__NR_signalfd4, -1, raw::address(&all), 8, raw::close_on_exec | 04000);
  const long epoll = raw::call(__NR_epoll_create1, raw::close_on_exec);
  if (signal_file < 0 || epoll < 0) die("perdure-keeper: cannot watch for signals; nothing was started\n");
  place(signal_file, signals);
  place(epoll, tracked);

  constexpr int set_child_subreaper = 36;
  if (raw::call(__NR_prctl, set_child_subreaper, 1, 0, 0, 0) >= 0) facts |= message::fact_subreaper;
  constexpr int lock_on_fault = 1 | 2 | 4;  // MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT
  if (raw::call(__NR_mlockall, lock_on_fault) >= 0) facts |= message::fact_locked;

  for (std::uint32_t i = 0; i < table.used(); ++i) {
    Slot& slot = table.at(i);
    if (slot.entry.state == EntryState::Running && slot.pidfd >= 0) watch_foreign(slot);
  }
  sweep();  // what ended while one keeper became the next
  start_manager();
  run();
}

PERDURE_RAW_START(perdure_keeper);

}  // namespace perdure::keeper
