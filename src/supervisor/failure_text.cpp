#include "supervisor/failure_text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include <fmt/format.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "perdure/result.hpp"

namespace perdure::supervisor {
namespace {

/// What to do, where step and errno leave one answer.
std::string_view advice_for(wire::Step step, int error) {
  using wire::Step;
  const bool is_refused = error == EPERM || error == EACCES;
  switch (step) {
    case Step::Namespace:
      if (error == ENOENT) return "; make the path, or write \"-\" before it if it may be missing";
      if (error == ENOSYS) return "; this kernel lacks mount_setattr(2) of Linux 5.12 or open_tree(2) of 5.2";
      return is_refused ? "; it takes CAP_SYS_ADMIN: run the instance as root, and in a container that may mount" : "";
    case Step::RootDirectory: return is_refused ? "; it takes CAP_SYS_CHROOT: run the instance as root" : "";
    case Step::BoundingSet: return is_refused ? "; it takes CAP_SETPCAP: run the instance as root" : "";
    case Step::AmbientSet:
      return is_refused ? "; the instance must have each of them itself, and CapabilityBoundingSet= must leave them" : "";
    case Step::SecureBits: return is_refused ? "; it takes CAP_SETPCAP: run the instance as root" : "";
    default: return "";
  }
}

}  // namespace

std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights) {
  if (step == wire::Step::Exec) {
    const std::string text = Error::from_errno(error, "execute", program).message();
    const std::string why = why_not_executed(error, program, rights);
    return why.empty() ? text : text + ": " + why;
  }
  const std::string words = wire::step_words(step);
  if (error == ETIMEDOUT)
    return "cannot start " + program + ": the set-up timed out at the step \"" + words + "\" (ETIMEDOUT)";
  return "cannot start " + program + ": the step \"" + words + "\" failed: " + base::errno_words(error) + " (" +
         std::string{base::errno_name(error)} + ")" + std::string{advice_for(step, error)};
}

std::string crash_text(int code, int status, std::chrono::system_clock::time_point when, std::uint32_t generation) {
  static constexpr std::array signals{SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE, SIGSYS, SIGTRAP};
  const bool by_signal = code == CLD_KILLED || code == CLD_DUMPED;
  if (!by_signal || std::find(signals.begin(), signals.end(), status) == signals.end()) return {};
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char time[32]{};
  std::strftime(time, sizeof time, "%Y-%m-%dT%H:%M:%SZ", &utc);
  const char* const name = ::sigabbrev_np(status);
  return fmt::format("the manager crashed (SIG{}) at {}, generation {}", name == nullptr ? "?" : name, time, generation);
}

std::string quarantine_text(Input input, std::string_view name) {
  const std::string shown = base::quote(name);
  if (input == Input::Unit)
    return fmt::format(
        "{} is quarantined: the manager crashed {} times while loading it; change its file and \"perdure start\" it", shown,
        crashes_max);
  return fmt::format(
      "the request {} is quarantined: the manager crashed {} times while carrying it out; \"perdure reset-failed\" lifts "
      "that",
      shown, crashes_max);
}

}  // namespace perdure::supervisor
