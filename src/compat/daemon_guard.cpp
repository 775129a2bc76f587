#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>

#include "compat/guard_state.hpp"
#include "compat/pid_files.hpp"
#include "compat/surroundings.hpp"
#include "perdure/compat/daemon.hpp"

namespace perdure::compat {
namespace {

std::atomic<int> restart_interval_s{0};
std::atomic<std::int64_t> stop_timeout_ms{5000};

}  // namespace

void complain(std::string_view text) {
  std::cout.flush();
  std::fprintf(stderr, "%s: %.*s\n", program_name().c_str(), static_cast<int>(text.size()), text.data());
}

int call(const std::function<int(int argc, char** argv)>& callback, int argc, char** argv,
         void (*complaint)(std::string_view)) {
  if (!callback) {
    complaint("cannot run an empty callback; nothing was started");
    return callback_failed;
  }
  try {
    return callback(argc, argv);
  } catch (const std::exception& error) {
    complaint(std::string{"the callback failed: "} + error.what());
  } catch (...) {
    complaint("the callback failed with an exception that is no std::exception");
  }
  return callback_failed;
}

GuardSettings guard_settings() noexcept {
  return {std::chrono::seconds{restart_interval_s}, std::chrono::milliseconds{stop_timeout_ms}};
}

}  // namespace perdure::compat

namespace atom::async {
namespace {

namespace compat = perdure::compat;
using Callback = std::function<int(int argc, char** argv)>;

void append_time(std::string& json, std::string_view key, std::int64_t nanoseconds) {
  std::array<char, 64> text{"null"};
  if (nanoseconds != 0) {
    // Not gmtime: each system has another one that is safe.
    const auto time = std::chrono::floor<std::chrono::seconds>(std::chrono::nanoseconds{nanoseconds});
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{std::chrono::sys_days{day}};
    const std::chrono::hh_mm_ss clock{time - day};
    std::snprintf(text.data(), text.size(), "\"%04d-%02u-%02uT%02d:%02d:%02dZ\"", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()));
  }
  json.append(",\"").append(key).append("\":").append(text.data());
}

}  // namespace

DaemonGuard::DaemonGuard() : state_(std::make_unique<State>()) {}
DaemonGuard::~DaemonGuard() = default;
DaemonGuard::DaemonGuard(DaemonGuard&&) noexcept = default;
DaemonGuard& DaemonGuard::operator=(DaemonGuard&&) noexcept = default;

auto DaemonGuard::toString() const -> std::string {
  std::string json = "{\"parent_id\":" + std::to_string(state_ ? state_->parent_id.load() : 0);
  json += ",\"main_id\":" + std::to_string(state_ ? state_->main_id.load() : 0);
  append_time(json, "parent_start_time", state_ ? state_->parent_start.load() : 0);
  append_time(json, "main_start_time", state_ ? state_->main_start.load() : 0);
  json += ",\"restart_count\":" + std::to_string(getRestartCount()) + "}";
  return json;
}

auto DaemonGuard::realStart(int argc, char** argv, const Callback& mainCb) -> int {
  if (!state_) state_ = std::make_unique<State>();  // was moved from
  compat::remember_program(argc > 0 ? argv[0] : nullptr);
  state_->begin_main(compat::own_pid(), std::chrono::system_clock::now());
  const int code = compat::call(mainCb, argc, argv, &compat::complain);
  state_->running = false;
  return code;
}

auto DaemonGuard::startDaemon(int argc, char** argv, const Callback& mainCb, bool isDaemon) -> int {
  return isDaemon ? realDaemon(argc, argv, mainCb) : realStart(argc, argv, mainCb);
}

void DaemonGuard::setPidFilePath(const std::string& path) {
  std::string absolute = compat::absolute_path(path);
  compat::choose_pid_file(absolute);
  if (!state_) state_ = std::make_unique<State>();
  const std::scoped_lock guard{state_->mutex};
  state_->pid_path = std::move(absolute);
}

auto DaemonGuard::getPidFilePath() const -> std::string {
  const std::string path = state_ ? state_->path() : std::string{};
  return path.empty() ? compat::default_pid_file_path() : path;
}

auto DaemonGuard::getRestartCount() const -> int { return state_ ? state_->restarts.load() : 0; }
auto DaemonGuard::isRunning() const -> bool { return state_ && state_->running; }

void setDaemonRestartInterval(int seconds) {
  if (seconds < 0)
    throw DaemonException("cannot set a restart interval of " + std::to_string(seconds) +
                          " s: it must not be negative; it stays " + std::to_string(compat::restart_interval_s.load()) +
                          " s");
  compat::restart_interval_s = seconds;
}

auto getDaemonRestartInterval() -> int { return compat::restart_interval_s; }

void setStopTimeout(std::chrono::milliseconds timeout) {
  if (timeout <= std::chrono::milliseconds::zero())
    throw DaemonException("cannot set a stop timeout of " + std::to_string(timeout.count()) +
                          " ms: it must be positive; it stays " + std::to_string(compat::stop_timeout_ms.load()) + " ms");
  compat::stop_timeout_ms = timeout.count();
}

}  // namespace atom::async
