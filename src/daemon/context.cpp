#include <algorithm>

#include "daemon/running.hpp"
#include "perdure/run.hpp"

namespace perdure {

bool Context::wait(std::chrono::nanoseconds duration) {
  // Not positive: a look. In wait_fds a negative duration would wait without limit.
  return running_.wait_fds({}, std::max(duration, std::chrono::nanoseconds{0})) >= 0;
}

std::chrono::steady_clock::time_point Context::now() const noexcept {
  return std::chrono::time_point_cast<std::chrono::steady_clock::duration>(running_.now());
}

bool Context::wait_until(std::chrono::steady_clock::time_point instant) {
  // What lies behind us is not subtracted: time_point::min() less the time of now would come out as the far future.
  const base::Instant now = running_.now();
  return wait(instant > now ? instant - now : std::chrono::nanoseconds{0});
}

int Context::wait_fds(std::span<pollfd> fds, std::chrono::nanoseconds duration) { return running_.wait_fds(fds, duration); }
int Context::stop_fd() const noexcept { return running_.stop_fd(); }
bool Context::stopping() const noexcept { return running_.stopping(); }
StopReason Context::stop_reason() const noexcept { return stopping() ? running_.stop_reason() : StopReason::None; }
std::stop_token Context::stop_token() const noexcept { return running_.stop_token(); }
void Context::request_stop() noexcept { running_.request_stop(); }
void Context::beat() noexcept { running_.beat(); }
void Context::ready() { running_.ready(); }
Log& Context::log() noexcept { return running_.log(); }
const std::vector<std::string>& Context::args() const noexcept { return running_.args(); }
int Context::listener(std::string_view name) const { return running_.listener(name); }
ListenFds& Context::listen_fds() noexcept { return running_.listen_fds(); }
const std::string& Context::pid_file() const noexcept { return running_.pid_file(); }

}  // namespace perdure
