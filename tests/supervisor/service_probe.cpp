// The service under test: does what its first word says, and keeps a truth of it (truth.hpp).
//
//   log TRUTH SEED            writes its stream in random bursts until SIGTERM
//   crash TRUTH SEED MS       the same, and dies within MS milliseconds in one of many ways, unless the test has called for calm
//   idle TRUTH [FILE WORD]    says WORD and waits for SIGTERM; then appends WORD to FILE
//   orphans TRUTH COUNT       leaves COUNT processes without a parent, which end; then as idle
//   leave TRUTH COUNT         leaves COUNT processes without a parent, in sessions of their own; then as idle
//   deaf TRUTH COUNT          the same, and no SIGTERM ends any of them
//   exit TRUTH CODE [COUNT]   leaves COUNT such processes, says a line, and exits with CODE
//   halt TRUTH                stops itself with SIGSTOP; then as idle
//   mute TRUTH                says a line and closes its standard output and error; then as idle
//   bytes TRUTH SEED COUNT    writes COUNT bytes and no newline; then as idle
//   hop TRUTH COUNT           leaves COUNT processes, each of which leaves the next one after 5 ms; then as idle
//   bomb TRUTH                forks for ever, and so do its children; counts the forks that fail
//   attack TRUTH COUNT        sends process 1 what it must withstand, COUNT times over; then as idle
//   stuck TRUTH DIR           mounts a file system on DIR that the test answers for, and asks it something; then as idle
//   init PROGRAM WORDS…       runs the program and reaps whatever becomes an orphan, until nobody is left
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "life.hpp"

namespace supervisor_test {
namespace {

/// All of it, also when a SIGTERM comes in between.
void write_counted(Truth& truth, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) ::_exit(98);
    truth.bytes_written += static_cast<std::uint64_t>(count);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void write_burst(Truth& truth, std::uint32_t seed, std::uint64_t random) {
  std::string burst;
  for (std::uint64_t lines = 1 + random % 20; lines > 0; --lines) burst += stream_line(seed, truth.next_line++);
  write_counted(truth, burst);
}

int log(TruthFile& truth, std::uint32_t seed, int life_max_ms) {
  Life& life = begin_life(truth);
  std::uint64_t random = scramble(seed * 1000003ULL + truth->lives.load());
  std::int64_t left_ms = life_max_ms > 0 ? static_cast<std::int64_t>(random % static_cast<unsigned>(life_max_ms)) : -1;
  while (is_stopping == 0) {
    random = scramble(random);
    write_burst(*truth, seed, random);
    if (left_ms == 0 && truth->is_calm.load() == 0) die(life, death_of(scramble(random)));
    const auto pause = static_cast<std::int64_t>(random / 64 % 7);
    work_for(static_cast<int>(left_ms > 0 ? std::min(pause, left_ms) : pause));
    if (left_ms > 0) left_ms -= std::min(pause, left_ms);
  }
  exit_as(life, 0);
}

int idle(Truth& truth, Life& life, const char* file, std::string word) {
  if (file != nullptr) write_counted(truth, word + '\n');
  work_until_stopped();
  if (file != nullptr) {
    word += '\n';
    const int order = ::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (::write(order, word.data(), word.size()) < 0) exit_as(life, 94);
  }
  exit_as(life, 0);
}

void leave_orphan(Truth& truth) {
  const pid_t child = ::fork();
  if (child == 0) {
    const pid_t parent = ::getpid();
    if (::fork() == 0) {
      while (::getppid() == parent) ::poll(nullptr, 0, 1);
      ++truth.rounds;
      ::_exit(0);
    }
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}

void leave_escapee(Truth& truth) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);
    ++truth.rounds;
    work_until_stopped();
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
}
void leave_escapees(Truth& truth, int count) {
  for (int i = 0; i < count; ++i) leave_escapee(truth);
}

[[noreturn]] void hop(Truth& truth) {
  for (;;) {
    ::poll(nullptr, 0, 5);
    if (::fork() != 0) ::_exit(0);
    ++truth.rounds;
  }
}
void leave_hoppers(Truth& truth, int count) {
  handle_sigterm(SIG_DFL);
  for (int i = 0; i < count; ++i) {
    if (::fork() == 0) hop(truth);
  }
  handle_sigterm(on_sigterm);
}

/// Any of its processes goes on alone, and only SIGKILL for all of them ends it. Refuses where nothing would limit it.
[[noreturn]] void explode(Truth& truth) {
  rlimit limit{};
  if (::geteuid() == 0 || ::getrlimit(RLIMIT_NPROC, &limit) != 0 || limit.rlim_cur > 200) ::_exit(91);
  handle_sigterm(SIG_IGN);
  for (;;) {
    if (::fork() >= 0) continue;
    ++truth.rounds;
    ::poll(nullptr, 0, 1);
  }
}

void attack_process_1(Truth& truth) {
  const auto init = static_cast<int>(::syscall(SYS_pidfd_open, 1, 0));
  if (init < 0) ::_exit(93);
  for (const int number : {SIGKILL, SIGSTOP, SIGSEGV, SIGABRT, SIGHUP, SIGUSR1}) {
    if (::syscall(SYS_pidfd_send_signal, init, number, nullptr, 0) != 0) ::_exit(92);
  }
  ::close(init);
  ++truth.rounds;
}

/// In a namespace of its own. The test takes over the other end of the file system, whose number is the truth's `rounds`.
void ask_a_file_system(Truth& truth, const std::string& directory) {
  const int end = ::open("/dev/fuse", O_RDWR);
  const std::string options = "rootmode=40000,user_id=0,group_id=0,fd=" + std::to_string(end);
  if (end < 0 || ::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("probe", directory.c_str(), "fuse", 0, options.c_str()) != 0)
    ::_exit(90);
  truth.rounds = static_cast<std::uint32_t>(end);
  while (truth.is_calm.load() == 0) ::poll(nullptr, 0, 1);
  ::close(end);
  struct stat answer {};
  ::stat((directory + "/anything").c_str(), &answer);
}

int init(char** command) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  if (::fork() == 0) {
    ::execv(command[0], command);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(-1, &status, 0) > 0 || errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;  // of the last one: a keeper outlives its services
}

int run(int count, char** words) {
  const std::string_view mode = count >= 3 ? words[1] : "";
  const auto number = [&](int index) { return count > index ? std::atoi(words[index]) : 0; };
  if (mode == "init") return init(words + 2);
  if (mode.empty()) return 64;
  TruthFile truth = TruthFile::open(words[2]);
  if (mode == "log") return log(truth, static_cast<std::uint32_t>(number(3)), 0);
  if (mode == "crash") return log(truth, static_cast<std::uint32_t>(number(3)), number(4));
  Life& life = begin_life(truth);
  if (mode == "orphans") {
    for (int i = 0; i < number(3); ++i) leave_orphan(*truth);
  } else if (mode == "attack") {
    for (int i = 0; i < number(3); ++i) attack_process_1(*truth);
  } else if (mode == "leave") {
    leave_escapees(*truth, number(3));
  } else if (mode == "deaf") {
    handle_sigterm(SIG_IGN);
    leave_escapees(*truth, number(3));
  } else if (mode == "exit") {
    leave_escapees(*truth, number(4));
    write_counted(*truth, "its last words\n");
    exit_as(life, number(3));
  } else if (mode == "halt") {
    std::raise(SIGSTOP);
  } else if (mode == "mute") {
    write_counted(*truth, "what it said\n");
    ::close(STDOUT_FILENO);
    ::close(STDERR_FILENO);
    ++truth->rounds;
  } else if (mode == "bytes") {
    write_counted(*truth, unbroken_stream(static_cast<std::uint32_t>(number(3)), static_cast<std::size_t>(number(4))));
  } else if (mode == "stuck") {
    ask_a_file_system(*truth, words[3]);
  } else if (mode == "hop") {
    leave_hoppers(*truth, number(3));
  } else if (mode == "bomb") {
    explode(*truth);
  } else if (mode == "idle") {
    return idle(*truth, life, count > 4 ? words[3] : nullptr, count > 4 ? words[4] : "");
  } else {
    return 64;
  }
  return idle(*truth, life, nullptr, "");
}

}  // namespace
}  // namespace supervisor_test

int main(int count, char** words) { return supervisor_test::run(count, words); }
