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

std::string setup_failure_text(wire::Step step, int error, const std::string& program, const Rights& rights) {
  if (step == wire::Step::Exec) {
    const std::string text = Error::from_errno(error, "execute", program).message();
    const std::string why = why_not_executed(error, program, rights);
    return why.empty() ? text : text + ": " + why;
  }
  if (error == ETIMEDOUT)
    return "cannot start " + program + ": the set-up timed out at the step \"" + wire::step_words(step) + "\" (ETIMEDOUT)";
  return "cannot start " + program + ": the step \"" + wire::step_words(step) + "\" failed: " + base::errno_words(error) +
         " (" + std::string{base::errno_name(error)} + ")";
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
