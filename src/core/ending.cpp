#include "core/ending.hpp"

#include <algorithm>
#include <csignal>

namespace perdure::core {
namespace {

bool contains(const StatusSet& set, const Exit& exit) noexcept {
  switch (exit.kind) {
    case ExitKind::Exited:
      return std::any_of(set.codes.begin(), set.codes.end(), [&](std::uint8_t code) { return code == exit.status; });
    case ExitKind::Killed:
    case ExitKind::Dumped: return std::find(set.signals.begin(), set.signals.end(), exit.status) != set.signals.end();
    case ExitKind::Unknown: break;
  }
  return false;
}

bool is_clean_signal(int signal) noexcept {
  return signal == SIGHUP || signal == SIGINT || signal == SIGTERM || signal == SIGPIPE;
}

policy::ServiceEnding ending_of(ServiceResult result) noexcept {
  switch (result) {
    case ServiceResult::Success: return policy::ServiceEnding::Clean;
    case ServiceResult::ExitCode: return policy::ServiceEnding::UncleanCode;
    case ServiceResult::Signal:
    case ServiceResult::CoreDump: return policy::ServiceEnding::UncleanSignal;
    case ServiceResult::Timeout: return policy::ServiceEnding::Timeout;
    case ServiceResult::Watchdog: return policy::ServiceEnding::Watchdog;
    case ServiceResult::Protocol:  // as abnormal as an ending that nobody saw
    case ServiceResult::Resources:
    case ServiceResult::ExecCondition:
    case ServiceResult::OomKill:  // on-abort is not meant for it
    case ServiceResult::StartLimitHit: break;
  }
  return policy::ServiceEnding::Resources;
}

}  // namespace

ServiceResult result_of(const Exit& exit, const StatusSet& success_status) noexcept {
  if (contains(success_status, exit)) return ServiceResult::Success;
  switch (exit.kind) {
    case ExitKind::Exited: return exit.status == 0 ? ServiceResult::Success : ServiceResult::ExitCode;
    case ExitKind::Killed: return is_clean_signal(exit.status) ? ServiceResult::Success : ServiceResult::Signal;
    case ExitKind::Dumped: return ServiceResult::CoreDump;
    case ExitKind::Unknown: break;
  }
  return ServiceResult::Resources;
}

bool wants_restart(const ServiceSettings& settings, ServiceResult result, const std::optional<Exit>& exit) noexcept {
  if (result == ServiceResult::StartLimitHit) return false;
  if (exit && contains(settings.restart_prevent_status, *exit)) return false;
  if (exit && contains(settings.restart_force_status, *exit)) return true;
  return policy::wants_restart(settings.restart, ending_of(result));
}

}  // namespace perdure::core
