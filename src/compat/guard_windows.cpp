// Windows: what the compat header has behind it there, besides daemon_guard.cpp (which is the same everywhere) and
// pid_files_windows.cpp. There is no fork(2), so there is no realDaemon(); what a service needs of its control manager is the
// program's own.
#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "compat/guard_state.hpp"
#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"
#include "perdure/exit_code.hpp"

namespace perdure::compat {

int own_pid() noexcept { return static_cast<int>(::GetCurrentProcessId()); }

std::string program_name() {
  std::array<wchar_t, 32768> path{};  // the longest that Windows has
  const DWORD size = ::GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
  const std::string name = std::filesystem::path{path.data(), path.data() + size}.stem().string();
  return name.empty() ? "daemon" : name;
}

void remember_program(const char*) {}

}  // namespace perdure::compat

namespace atom::async {
namespace {

constexpr std::array noted{SIGTERM, SIGINT, SIGBREAK};

std::atomic<bool> stop_seen{false};
std::array<std::atomic<bool>, noted.size()> seen{};

std::atomic<bool>* flag_of(int signum) noexcept {
  for (std::size_t i = 0; i < noted.size(); ++i)
    if (noted[i] == signum) return &seen[i];
  return nullptr;
}

}  // namespace

auto DaemonGuard::realDaemon(int, char**, const std::function<int(int argc, char** argv)>&) -> int {
  perdure::compat::complain(
      "cannot detach: on Windows a callback cannot be handed to another process; nothing was started; call realStart, in a "
      "service inside its ServiceMain");
  std::fflush(nullptr);
  std::_Exit(perdure::exit_system);
}

void signalHandler(int signum) {
  std::atomic<bool>* const flag = flag_of(signum);
  if (flag == nullptr) return;
  std::signal(signum, signalHandler);  // tidy: allow signal — there is no sigaction, and the C library has just reset it
  flag->store(true);
  stop_seen.store(true);
}

auto stopRequested() -> bool { return stop_seen.load(); }

auto takeSignal(int signum) -> bool {
  std::atomic<bool>* const flag = flag_of(signum);
  return flag != nullptr && flag->exchange(false);
}

bool registerSignalHandlers() {
  bool all = true;
  for (const int signum : noted)
    all = std::signal(signum, signalHandler) != SIG_ERR && all;  // tidy: allow signal — there is no sigaction
  return all;
}

auto isProcessBackground() -> bool { return ::GetConsoleWindow() == nullptr; }

}  // namespace atom::async
