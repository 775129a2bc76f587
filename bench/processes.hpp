// The processes of a benchmark: started, signalled by pidfd, waited for, looked at through /proc, and ended with it.
//
// guarded() runs the measuring code in a child and stays behind as a subreaper; when that child has ended, however it did, every
// process that came from it is killed. Daemons that detach are adopted by the measuring process, so it can wait for them.
// What cannot go on throws std::runtime_error; guarded() prints it and returns 1. All waits end at hang_limit.
// Left out: output of the processes (it is /dev/null), several threads. One thread. Not signal-safe.
//
//     int main(int argc, char** argv) { return bench::guarded(argc, argv, measure); }
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "measure.hpp"
#include "perdure/unique_fd.hpp"

extern char** environ;

namespace bench {

/// Longest wait for anything that should happen at once.
inline constexpr int hang_limit_ms = 30'000;
/// Longest run of one benchmark.
inline constexpr int run_limit_ms = 15 * 60'000;

[[noreturn]] inline void fail(std::string_view attempt) {
  const int code = errno;
  throw std::runtime_error(fmt::format("cannot {}: {}", attempt, std::strerror(code)));
}

// ---- files -----------------------------------------------------------------------------------------------------------------

inline std::string read_all(const std::string& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// How the names of this run's directories begin; guarded() completes it, and removes what a killed run leaves.
inline std::string scratch_prefix = "perdure-bench-";

/// A new directory under `base`, removed at the end.
class Directory {
 public:
  explicit Directory(const std::string& base) : path_(base + "/" + scratch_prefix + "XXXXXX"), owner_(::getpid()) {
    if (::mkdtemp(path_.data()) == nullptr) fail("make a directory under " + base);
  }
  ~Directory() {
    std::error_code ignored;
    if (owner_ == ::getpid()) std::filesystem::remove_all(path_, ignored);
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(std::string_view name) const { return fmt::format("{}/{}", path_, name); }

 private:
  std::string path_;
  pid_t owner_;
};

inline bool is_tmpfs(const std::string& path) {
  constexpr long tmpfs_magic = 0x01021994;
  struct statfs file_system {};
  return ::statfs(path.c_str(), &file_system) == 0 && static_cast<long>(file_system.f_type) == tmpfs_magic;
}
/// A directory in memory where there is one, else the one for temporary files.
inline std::string memory_base() { return is_tmpfs("/dev/shm") && ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"; }

/// A program that was built beside this one.
inline std::string sibling(std::string_view name) {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

// ---- talking ---------------------------------------------------------------------------------------------------------------

/// A pipe whose messages have a fixed size, both ends close-on-exec.
struct Line {
  Line() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail("make a pipe");
    out.reset(ends[0]);
    in.reset(ends[1]);
  }
  /// Async-signal-safe.
  template <class Message>
  void send(const Message& message) const noexcept {
    if (::write(in.get(), &message, sizeof message) != static_cast<ssize_t>(sizeof message)) ::_exit(99);
  }
  template <class Message>
  Message receive() const {
    pollfd ready{.fd = out.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, hang_limit_ms) != 1) throw std::runtime_error("a measured process said nothing for 30 s");
    Message message{};
    if (::read(out.get(), &message, sizeof message) != static_cast<ssize_t>(sizeof message))
      fail("read from a measured process");
    return message;
  }
  perdure::UniqueFd out;
  perdure::UniqueFd in;
};

// ---- processes -------------------------------------------------------------------------------------------------------------

/// A process of this benchmark: its child, adopted or not. Not killed by the destructor: guarded() does that.
class Target {
 public:
  explicit Target(pid_t pid) : pid_(pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
    if (!pidfd_) fail(fmt::format("open process {}", pid));
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void signal(int number) const {
    if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) != 0)
      fail(fmt::format("signal process {}", pid_));
  }
  /// Waits for its end and reaps it. Requires: a child. Returns the exit code, or 128 + the signal's number.
  [[nodiscard]] int wait() const {
    pollfd ended{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, hang_limit_ms) != 1) throw std::runtime_error(fmt::format("process {} does not end", pid_));
    siginfo_t info{};
    if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0)
      fail(fmt::format("wait for process {}", pid_));
    return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
  }
  void stop() const {
    signal(SIGTERM);
    (void)wait();
  }

 private:
  pid_t pid_;
  perdure::UniqueFd pidfd_;
};

/// Standard input is empty and output is thrown away from now on.
inline void silence() noexcept {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {0, 1, 2}) (void)::dup2(null, fd);
  (void)::close(null);
}

/// Forks a copy of this program that runs `body` and ends with its result.
template <class Body>
Target fork_running(Body&& body) {
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    silence();
    ::_exit(body());
  }
  return Target{pid};
}

/// The live children of `parent`, from /proc; zombies are left out.
inline std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const std::string stat = read_all("/proc/" + name + "/stat");  // "pid (name) state ppid …"; the name may hold anything
    const auto after_name = stat.rfind(')');
    if (after_name == std::string::npos) continue;
    std::istringstream rest{stat.substr(after_name + 1)};
    char state = 0;
    pid_t ppid = 0;
    rest >> state >> ppid;
    if (ppid == parent && state != 'Z' && state != 'X') children.push_back(static_cast<pid_t>(std::stol(name)));
  }
  return children;
}

struct Program {
  std::vector<std::string> command;
  std::vector<std::string> environment{};  ///< "NAME=value", besides our own
  std::string errors = "/dev/null";        ///< the file for its standard error
};

/// Starts a program, its output thrown away.
inline pid_t spawn(const Program& program) {
  std::vector<std::string> words = program.command;
  std::vector<std::string> added = program.environment;
  std::vector<char*> argv;
  std::vector<char*> envp;
  for (std::string& word : words) argv.push_back(word.data());
  for (std::string& variable : added) envp.push_back(variable.data());
  for (char** variable = environ; *variable != nullptr; ++variable) envp.push_back(*variable);
  argv.push_back(nullptr);
  envp.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, program.errors.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  pid_t pid = -1;
  errno = ::posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
  posix_spawn_file_actions_destroy(&actions);
  if (errno != 0) fail("start " + program.command[0]);
  return pid;
}

/// A daemon that detached, and how long its first process lived.
struct Detached {
  Target daemon;
  std::int64_t first_process_ns;
};

/// Starts a program that detaches itself, and returns when its first process is gone with exit code 0.
inline Detached start_detached(const Program& program) {
  const std::vector<pid_t> known = children_of(::getpid());
  const std::int64_t begin = now_ns();
  const pid_t first = spawn(program);
  int status = -1;
  const pid_t waited = ::waitpid(first, &status, 0);
  const std::int64_t end = now_ns();
  if (waited != first || status != 0) throw std::runtime_error(fmt::format("{} did not start", program.command[0]));
  std::vector<pid_t> adopted = children_of(::getpid());
  std::erase_if(adopted, [&](pid_t pid) { return std::find(known.begin(), known.end(), pid) != known.end(); });
  if (adopted.size() != 1)
    throw std::runtime_error(fmt::format("{} left {} processes instead of one", program.command[0], adopted.size()));
  return {Target{adopted[0]}, end - begin};
}

// ---- what a process uses -----------------------------------------------------------------------------------------------------

/// What the threads of a process have done so far.
struct Activity {
  std::uint64_t cpu_ticks = 0;  ///< user and system, in units of sysconf(_SC_CLK_TCK)
  std::uint64_t wakeups = 0;    ///< voluntary context switches: how often a thread went to sleep again
  unsigned threads = 0;
  bool all_asleep = true;
};

inline Activity activity_of(pid_t pid) {
  Activity sum;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator{fmt::format("/proc/{}/task", pid), gone}) {
    const std::string stat = read_all(task.path() / "stat");
    std::istringstream fields{stat.substr(stat.rfind(')') + 1)};
    char state = 0;
    std::string skipped;
    std::uint64_t user = 0, system = 0;
    fields >> state;
    for (int i = 0; i < 10; ++i) fields >> skipped;  // ppid … cmajflt
    fields >> user >> system;
    sum.cpu_ticks += user + system;
    sum.all_asleep = sum.all_asleep && state == 'S';
    ++sum.threads;
    const std::string status = read_all(task.path() / "status");
    constexpr std::string_view field = "\nvoluntary_ctxt_switches:";
    if (const auto at = status.find(field); at != std::string::npos)
      sum.wakeups += std::stoull(status.substr(at + field.size()));
  }
  return sum;
}

inline void pause_ms(int ms) { (void)::poll(nullptr, 0, ms); }

/// Returns when every thread of the process sleeps: only then is a wake-up measured from its beginning.
inline void until_asleep(pid_t pid) {
  const std::int64_t limit = now_ns() + std::int64_t{hang_limit_ms} * 1'000'000;
  while (!activity_of(pid).all_asleep) {
    if (now_ns() > limit) throw std::runtime_error(fmt::format("process {} never sleeps", pid));
    (void)::poll(nullptr, 0, 1);
  }
}

/// What the descriptors of a process lead to, in the order of their numbers.
inline std::vector<std::string> descriptors_of(pid_t pid) {
  std::vector<std::pair<int, std::string>> found;
  for (const auto& entry : std::filesystem::directory_iterator{fmt::format("/proc/{}/fd", pid)}) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (!gone) found.emplace_back(std::stoi(entry.path().filename().string()), target);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> targets;
  for (auto& [number, target] : found) targets.push_back(std::move(target));
  return targets;
}

/// Resident memory in KiB, counted page by page (VmRSS is a sum of per-thread counters that lag behind).
inline long rss_kib(pid_t pid) {
  const std::string rollup = read_all(fmt::format("/proc/{}/smaps_rollup", pid));
  constexpr std::string_view field = "\nRss:";
  if (const auto at = rollup.find(field); at != std::string::npos) return std::stol(rollup.substr(at + field.size()));
  const std::string status = read_all(fmt::format("/proc/{}/status", pid));
  constexpr std::string_view coarse = "\nVmRSS:";
  const auto at = status.find(coarse);
  if (at == std::string::npos) throw std::runtime_error(fmt::format("cannot read how much memory process {} has", pid));
  return std::stol(status.substr(at + coarse.size()));
}

// ---- main --------------------------------------------------------------------------------------------------------------------

namespace detail {

inline void kill_all_children() {
  for (;;) {
    for (const pid_t child : children_of(::getpid())) Target{child}.signal(SIGKILL);
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED) != 0) return;  // ECHILD: grandchildren came to us when their parents died
    do info.si_pid = 0;                                   // of thousands, many end between two looks at /proc
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid != 0);
  }
}

inline void remove_scratch() {
  std::error_code ignored;
  for (const std::string& base : {memory_base(), std::string{"/tmp"}, std::string{"/var/tmp"}}) {
    for (const auto& entry : std::filesystem::directory_iterator{base, ignored}) {
      if (entry.path().filename().string().rfind(scratch_prefix, 0) == 0) std::filesystem::remove_all(entry.path(), ignored);
    }
  }
}

template <class Measure>
int measured(int argc, char** argv, Measure measure) {
  try {
    const Arguments arguments = Arguments::parse(argc, argv);
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) fail("adopt daemons");
    Report report;
    measure(arguments, report);
    report.print(arguments.table);
    return 0;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
    return 1;
  }
}

}  // namespace detail

/// Runs `measure(const Arguments&, Report&)` and prints the report; afterwards nothing of it runs any more. For main().
template <class Measure>
int guarded(int argc, char** argv, Measure measure) {
  // Ctrl-C and TERM interrupt the wait below and nothing else; the measuring process gets the defaults.
  struct sigaction interrupt {};
  struct sigaction by_default {};
  interrupt.sa_handler = [](int) {};
  by_default.sa_handler = SIG_DFL;
  sigset_t stops, mask;
  sigemptyset(&stops);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&stops, number);
  (void)::sigprocmask(SIG_BLOCK, &stops, &mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(number, &interrupt, nullptr);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return std::perror("cannot adopt what the benchmark leaves"), 1;

  scratch_prefix += std::to_string(::getpid()) + "-";
  const pid_t pid = ::fork();
  if (pid < 0) return std::perror("cannot fork"), 1;
  if (pid == 0) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) (void)::sigaction(number, &by_default, nullptr);
    (void)::sigprocmask(SIG_SETMASK, &mask, nullptr);
    std::exit(detail::measured(argc, argv, measure));
  }
  int code = 1;
  try {
    const Target child{pid};
    pollfd ended{.fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), .events = POLLIN, .revents = 0};
    const timespec limit{.tv_sec = run_limit_ms / 1000 + Arguments::parse(argc, argv).minutes * 60, .tv_nsec = 0};
    if (::ppoll(&ended, 1, &limit, &mask) != 1) {
      fmt::print(stderr, "{}: not done within {} minutes, or interrupted: nothing was measured\n", argv[0],
                 limit.tv_sec / 60);
      child.signal(SIGKILL);
    }
    code = child.wait();
    detail::kill_all_children();
    detail::remove_scratch();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
  }
  return code;
}

}  // namespace bench
