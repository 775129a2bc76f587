#include "process/process_group.hpp"

#include <dirent.h>

#include <cerrno>
#include <csignal>
#include <set>
#include <utility>

#include "os/system.hpp"
#include "perdure/unique_fd.hpp"
#include "process/proc.hpp"
#include "process/signal_name.hpp"

namespace perdure::process {

namespace sys = os::sys;

namespace {

constexpr unsigned signal_process_group = 1U << 2;  // PIDFD_SIGNAL_PROCESS_GROUP of linux/pidfd.h, Linux 6.9
/// A group that forks faster than we look is given up after this many looks.
constexpr int looks_max = 100;

using Identity = std::pair<pid_t, std::uint64_t>;

Error cannot_signal(int code, int signal, const ProcessGroup& group) {
  return Error::from_errno(code, "send " + signal_name(signal) + " to process group", std::to_string(group.group));
}

std::optional<Identity> living_member(pid_t pid, const ProcessGroup& group) {
  const auto stat = read_proc_stat(pid);
  if (!stat || stat->group != group.group || stat->session != group.session || stat->state == 'Z') return std::nullopt;
  return Identity{pid, stat->start_time};
}

/// Whether `pid` was a member that had no signal yet, and has one now.
Result<bool> signal_member(pid_t pid, const ProcessGroup& group, int signal, std::set<Identity>& signalled) {
  if (const auto seen = living_member(pid, group); !seen || signalled.contains(*seen)) return false;
  const UniqueFd process{sys::pidfd_open(pid, 0)};
  if (!process && errno == ESRCH) return false;
  if (!process) return cannot_signal(errno, signal, group);
  // The pidfd may be a successor's. If the number still names a member now, then it named the same one when it was opened.
  const auto member = living_member(pid, group);
  if (!member) return false;
  if (sys::pidfd_send_signal(process.get(), signal) != 0 && errno != ESRCH) return cannot_signal(errno, signal, group);
  signalled.insert(*member);
  return true;
}

Result<void> signal_members(const ProcessGroup& group, int signal) {
  std::set<Identity> signalled;
  for (int look = 0; look < looks_max; ++look) {
    DIR* const processes = sys::opendir("/proc");
    if (processes == nullptr) return cannot_signal(errno, signal, group);
    bool found_new = false;
    std::optional<Error> failure;
    while (const dirent* entry = ::readdir(processes)) {
      const auto pid = number_of_entry(entry->d_name);
      if (!pid) continue;
      const auto sent = signal_member(*pid, group, signal, signalled);
      if (sent) found_new |= *sent;
      else failure = sent.error();  // the others get theirs all the same
    }
    ::closedir(processes);
    if (failure) return *failure;
    if (!found_new) return {};
  }
  return Error{"cannot send " + signal_name(signal) + " to all of process group " + std::to_string(group.group) +
               ": it makes new processes faster than they can be found"};
}

}  // namespace

Result<void> signal_group(const ProcessGroup& group, int signal) {
  if (signal < 1 || signal > SIGRTMAX) return cannot_signal(EINVAL, signal, group);
  if (sys::pidfd_send_signal(group.leader_pidfd, signal, signal_process_group) == 0 || errno == ESRCH) return {};
  if (errno != EINVAL) return cannot_signal(errno, signal, group);
  return group.is_pinned ? signal_members(group, signal) : Result<void>{};
}

}  // namespace perdure::process
