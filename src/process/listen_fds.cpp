#include "perdure/listen_fds.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/text.hpp"
#include "os/system.hpp"
#include "process/at_load.hpp"

namespace perdure {

namespace sys = os::sys;

namespace {

constexpr int first_fd = 3;  // SD_LISTEN_FDS_START
constexpr int sockets_max = 1024;

std::optional<std::string> take_variable(const char* name) {
  const char* const value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string text{value};
  ::unsetenv(name);
  return text;
}

}  // namespace

ListenFds ListenFds::from_environment() {
  const auto pid = take_variable("LISTEN_PID");
  const auto count_text = take_variable("LISTEN_FDS");
  const auto names_text = take_variable("LISTEN_FDNAMES");
  ListenFds result;
  if (!pid || !count_text || base::parse_number<pid_t>(*pid) != ::getpid()) return result;
  const auto count = base::parse_number<int>(*count_text);
  if (!count || *count < 1) return result;

  const auto names = names_text ? base::split(*names_text, ':') : std::vector<std::string_view>{};
  for (int index = 0; index < std::min(*count, sockets_max); ++index) {
    const int fd = first_fd + index;
    const int flags = sys::fcntl(fd, F_GETFD);
    if (flags < 0 || sys::fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0) continue;  // promised, but not there
    process::exempt_from_closing(fd);
    const auto place = static_cast<std::size_t>(index);
    const bool is_named = place < names.size() && !names[place].empty();
    result.sockets_.push_back({std::string{is_named ? names[place] : "unknown"}, UniqueFd{fd}});
  }
  return result;
}

std::vector<std::string> ListenFds::names() const {
  std::vector<std::string> result;
  for (const Named& socket : sockets_) result.push_back(socket.name);
  return result;
}

std::vector<int> ListenFds::fds() const {
  std::vector<int> result;
  for (const Named& socket : sockets_) result.push_back(socket.fd.get());
  return result;
}

UniqueFd ListenFds::take(std::string_view name) {
  const auto found =
      std::find_if(sockets_.begin(), sockets_.end(), [name](const Named& socket) { return socket.name == name; });
  if (found == sockets_.end()) return {};
  UniqueFd fd = std::move(found->fd);
  sockets_.erase(found);
  return fd;
}

UniqueFd ListenFds::take_any() {
  if (sockets_.empty()) return {};
  UniqueFd fd = std::move(sockets_.front().fd);
  sockets_.erase(sockets_.begin());
  return fd;
}

}  // namespace perdure
