#include "testing/descendants.hpp"

#include <dirent.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <system_error>
#include <vector>

#include "perdure/testing/process.hpp"

namespace perdure::testing {
namespace detail {
namespace {

constexpr std::chrono::seconds kill_limit{10};
constexpr int parents_max = 4096;  // longer chains than any machine has

struct ProcessEntry {
  char state;
  pid_t parent;
};

std::optional<ProcessEntry> look_up(pid_t pid) {
  const std::optional<std::string> stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat) return std::nullopt;
  // The name in parentheses may itself contain ") Z 1": only the last one ends it.
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos || stat->size() < name_end + 5) return std::nullopt;
  ProcessEntry entry{(*stat)[name_end + 2], 0};
  const char* parent = stat->data() + name_end + 4;
  if (std::from_chars(parent, stat->data() + stat->size(), entry.parent).ec != std::errc{}) return std::nullopt;
  return entry;
}

std::map<pid_t, ProcessEntry> all_processes() {
  std::map<pid_t, ProcessEntry> found;
  DIR* const proc = ::opendir("/proc");
  if (proc == nullptr) return found;
  while (const dirent* entry = ::readdir(proc)) {
    const std::string_view name{entry->d_name};
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{} || pid <= 0) continue;
    if (const auto known = look_up(pid)) found.emplace(pid, *known);
  }
  ::closedir(proc);
  return found;
}

bool descends_from(const std::map<pid_t, ProcessEntry>& processes, pid_t pid, pid_t ancestor) {
  for (int steps = 0; pid > 0 && steps < parents_max; ++steps) {
    const auto entry = processes.find(pid);
    if (entry == processes.end()) return false;
    pid = entry->second.parent;
    if (pid == ancestor) return true;
  }
  return false;
}

enum class Carries { No, Yes, NotSaidYet };

/// Where the environment of `pid` ends in its memory (proc_pid_stat(5), field 51): 0 in the middle of an exec, another after it.
std::string environment_end(const std::string& directory) {
  const std::string stat = read_file(directory + "/stat").value_or("");
  std::size_t at = stat.rfind(')');
  for (int field = 2; field < 51 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
  return at == std::string::npos ? "0" : stat.substr(at + 1, stat.find(' ', at + 1) - at - 1);
}

Carries carries(pid_t pid, std::string_view mark) {
  const std::string directory = "/proc/" + std::to_string(pid);
  const std::string end_before = environment_end(directory);
  const std::optional<std::string> environment = read_file(directory + "/environ");
  if (!environment) return Carries::No;
  // An exec empties it for a while, and it may have begun or ended between our looks.
  if (environment->empty() && (end_before == "0" || environment_end(directory) != end_before)) return Carries::NotSaidYet;
  const std::string wanted = std::string{mark_variable} + "=" + std::string{mark};
  for (std::size_t start = 0; start < environment->size();) {
    const std::size_t end = std::min(environment->find('\0', start), environment->size());
    const std::string_view variable = std::string_view{*environment}.substr(start, end - start);
    if (variable == wanted || (variable.starts_with(wanted) && variable[wanted.size()] == '/')) return Carries::Yes;
    start = end + 1;
  }
  return Carries::No;
}

struct Living {
  std::vector<UniqueFd> found;
  bool complete = true;  // false: some did not say yet whose they are
};

Living find_living(std::string_view mark, pid_t root) {
  Living living;
  const std::map<pid_t, ProcessEntry> processes = all_processes();
  for (const auto& [pid, entry] : processes) {
    if (entry.state == 'Z' || entry.state == 'X' || !descends_from(processes, pid, ::getpid())) continue;
    // Opened before the second look: should the number have passed to a stranger, then that has other parents and no mark.
    UniqueFd pidfd = open_pidfd(pid);
    const auto again = look_up(pid);
    if (!pidfd || !again || again->parent != entry.parent) continue;
    const bool under_root = root > 0 && (pid == root || descends_from(processes, pid, root));
    const Carries marked = under_root ? Carries::Yes : carries(pid, mark);
    if (marked == Carries::Yes) living.found.push_back(std::move(pidfd));
    if (marked == Carries::NotSaidYet) living.complete = false;
  }
  return living;
}

bool has_children() noexcept {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

/// Kills what is left when the test program exits; a forked copy of it that exits has nothing of its own.
class Sweeper {
 public:
  Sweeper() : owner_(::getpid()) {
    std::uint64_t number[2]{};
    if (::getrandom(number, sizeof number, 0) != static_cast<ssize_t>(sizeof number)) {
      throw std::system_error(errno, std::generic_category(), "cannot read random bytes for " + std::string{mark_variable});
    }
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(number[0]),
                  static_cast<unsigned long long>(number[1]));
    const char* inherited = std::getenv(std::string{mark_variable}.c_str());
    mark_ = inherited == nullptr ? std::string{text} : std::string{inherited} + "/" + text;
  }
  ~Sweeper() {
    if (::getpid() == owner_) end_all(mark_, 0, UniqueFd{});
  }
  Sweeper(const Sweeper&) = delete;
  Sweeper& operator=(const Sweeper&) = delete;
  [[nodiscard]] const std::string& mark() const noexcept { return mark_; }

 private:
  pid_t owner_;
  std::string mark_;
};

}  // namespace

const std::string& own_mark() {
  static const Sweeper sweeper;
  return sweeper.mark();
}

void end_all(std::string_view mark, pid_t root, UniqueFd root_fd) {
  std::vector<UniqueFd> dying;
  const auto deadline = Clock::now() + kill_limit;
  while (has_children()) {
    auto [living, complete] = find_living(mark, root);
    const bool found_none = complete && living.empty();
    if (root_fd) living.push_back(std::move(root_fd));
    for (UniqueFd& pidfd : living) {
      send_signal(pidfd, SIGKILL);
      dying.push_back(std::move(pidfd));
    }
    // A grandchild becomes ours to reap once its parent is dead; its signal fails when somebody else has reaped it.
    std::erase_if(dying, [](const UniqueFd& pidfd) {
      const std::optional<ExitStatus> status = reap(pidfd);
      if (!status) return false;
      return status->kind() != ExitStatus::Kind::Unknown || !send_signal(pidfd, 0);
    });
    if (found_none && dying.empty()) return;
    root = 0;  // what was below it is now ours, or found by its mark
    if (Clock::now() > deadline) {
      std::fputs("perdure::testing: processes that were killed did not end; they are left behind\n", stderr);
      return;
    }
    pause_between_looks();
  }
}

UniqueFd open_pidfd(pid_t pid) noexcept {
  if (pid <= 0) return UniqueFd{};
  return UniqueFd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U))};
}

bool send_signal(const UniqueFd& pidfd, int number) noexcept {
  return pidfd && ::syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0U) == 0;
}

bool wait_for_end(const UniqueFd& pidfd, Clock::time_point deadline) noexcept {
  for (;;) {
    pollfd ended{pidfd.get(), POLLIN, 0};
    const int ready = ::poll(&ended, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

std::optional<ExitStatus> reap(const UniqueFd& pidfd) noexcept {
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ExitStatus{};
  if (info.si_pid == 0) return std::nullopt;
  if (info.si_code == CLD_EXITED) return ExitStatus::exited(info.si_status);
  return ExitStatus::killed(info.si_status, info.si_code == CLD_DUMPED);
}

int milliseconds_until(Clock::time_point deadline) noexcept {
  constexpr std::chrono::milliseconds longest{3'600'000};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::clamp(left, std::chrono::milliseconds{0}, longest).count());
}

}  // namespace detail

void adopt_orphans() {
  detail::own_mark();
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot become a subreaper");
  }
}

ExitStatus kill_adopted(pid_t pid, int signal) {
  const UniqueFd pidfd = detail::open_pidfd(pid);
  if (!pidfd || !detail::descends_from(detail::all_processes(), pid, ::getpid())) return {};
  if (!detail::send_signal(pidfd, signal)) return {};
  if (!detail::wait_for_end(pidfd, detail::Clock::now() + hang_limit)) {
    detail::send_signal(pidfd, SIGKILL);
    detail::wait_for_end(pidfd, detail::Clock::now() + detail::kill_limit);
    static_cast<void>(detail::reap(pidfd));
    return {};
  }
  return detail::reap(pidfd).value_or(ExitStatus{});
}

ExitStatus wait_adopted(pid_t pid, std::chrono::milliseconds within) {
  const UniqueFd pidfd = detail::open_pidfd(pid);
  if (!pidfd || !detail::wait_for_end(pidfd, detail::Clock::now() + within)) return {};
  return detail::reap(pidfd).value_or(ExitStatus{});
}

bool has_ended(pid_t pid) {
  if (pid <= 0) throw std::invalid_argument("has_ended: " + std::to_string(pid) + " is no process id");
  const auto entry = detail::look_up(pid);
  return !entry || entry->state == 'Z' || entry->state == 'X';
}

}  // namespace perdure::testing
