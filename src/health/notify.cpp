#include "perdure/notify.hpp"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <climits>
#include <fmt/format.h>

#include "base/text.hpp"
#include "os/clock.hpp"
#include "os/system.hpp"
#include "wire/notify.hpp"

namespace perdure {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

constexpr std::string_view barrier_message = "BARRIER=1";
constexpr std::chrono::hours barrier_wait_max{24};

// A variable's value, copied out of the environment and removed from it: children must not speak for us.
std::optional<std::string> take_variable(const char* name) {
  const char* value = ::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string copy{value};
  ::unsetenv(name);
  return copy;
}

Error bad_address(std::string_view address, std::string_view why) {
  return Error{fmt::format("cannot use NOTIFY_SOCKET={}: {}", base::escape(address), why), EAFNOSUPPORT};
}

Result<void> check_address(std::string_view address) {
  constexpr std::size_t path_bytes_max = sizeof(sockaddr_un::sun_path) - 1;
  if (address.starts_with("vsock")) return bad_address(address, "vsock addresses are not supported");
  if (address.starts_with('@') && address.size() > 1) {
    if (address.size() > sizeof(sockaddr_un::sun_path))
      return bad_address(address, "an abstract name has at most 107 bytes");
    return {};
  }
  if (!address.starts_with('/')) return bad_address(address, "neither an absolute path nor an abstract name (@NAME)");
  if (address.size() > path_bytes_max) return bad_address(address, "a socket's path has at most 107 bytes");
  return {};
}

struct SocketAddress {
  sockaddr_un name{};
  socklen_t size = 0;
};

// Requires: check_address(text). The size of an abstract name is exact: trailing NULs would belong to it.
SocketAddress socket_address(std::string_view text) noexcept {
  SocketAddress address;
  address.name.sun_family = AF_UNIX;
  std::memcpy(address.name.sun_path, text.data(), text.size());
  const bool is_abstract = text.starts_with('@');
  if (is_abstract) address.name.sun_path[0] = '\0';
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + (is_abstract ? 0 : 1));
  return address;
}

Result<std::optional<microseconds>> watchdog_of(const std::optional<std::string>& timeout,
                                                const std::optional<std::string>& pid) {
  if (!timeout || timeout->empty()) return std::optional<microseconds>{};
  if (pid && base::parse_number<pid_t>(*pid) != ::getpid()) return std::optional<microseconds>{};
  const auto number = base::parse_number<std::int64_t>(*timeout);
  if (!number || *number <= 0) {
    return Error{fmt::format("cannot use WATCHDOG_USEC={}: not a positive number of microseconds", base::escape(*timeout)),
                 EINVAL};
  }
  return std::optional<microseconds>{microseconds{*number}};
}

enum class Route : std::uint8_t { Connected, ByAddress };

// One datagram to `address`, with a copy of `fd` where that is not -1.
Result<void> send_datagram(int socket, const std::string& address, Route route, std::string_view bytes, int fd) {
  SocketAddress to = socket_address(address);
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  if (route == Route::ByAddress) {
    message.msg_name = &to.name;
    message.msg_namelen = to.size;
  }
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  if (os::sys::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
    return Error::from_errno(errno, "notify the init at", address);
  }
  return {};
}

// Until the other end of the pipe is closed everywhere. Whatever is in the pipe does not matter.
Result<void> wait_for_hangup(int fd, milliseconds within) {
  const base::Instant deadline = os::monotonic_now() + std::min<milliseconds>(within, barrier_wait_max);
  for (nanoseconds left = deadline - os::monotonic_now();;) {
    const auto timeout = std::clamp<std::int64_t>(std::chrono::ceil<milliseconds>(left).count(), 0, INT_MAX);
    pollfd end{.fd = fd, .events = 0, .revents = 0};
    const int ready = os::sys::poll(&end, 1, static_cast<int>(timeout));
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Error::from_errno(errno, "wait for", "the init's answer");
    left = deadline - os::monotonic_now();
    if (left <= nanoseconds{0}) break;
  }
  return Error{fmt::format("the init has not confirmed the notifications within {} ms (ETIMEDOUT)", within.count()),
               ETIMEDOUT};
}

}  // namespace

Result<Notify> Notify::from_environment() {
  const auto address = take_variable("NOTIFY_SOCKET");
  const auto timeout = take_variable("WATCHDOG_USEC");
  const auto pid = take_variable("WATCHDOG_PID");
  if (!address || address->empty()) return Notify{};
  PERDURE_CHECK(check_address(*address));
  PERDURE_TRY(const auto watchdog, watchdog_of(timeout, pid));
  return to(*address, watchdog);
}

Result<Notify> Notify::to(const std::string& address, std::optional<microseconds> watchdog) {
  if (watchdog && watchdog->count() <= 0) return Error{"a watchdog's time must be positive", EINVAL};
  PERDURE_CHECK(check_address(address));
  Notify notify;
  notify.watchdog_ = watchdog;
  notify.socket_ = UniqueFd{os::sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!notify.socket_) return Error::from_errno(errno, "make a socket for the init at", address);
  notify.address_ = address;
  return notify;
}

Result<void> Notify::send(std::string_view lines) const {
  PERDURE_CHECK(wire::check_notify(lines));
  if (!is_enabled()) return {};
  return send_datagram(socket_.get(), address_, is_connected_ ? Route::Connected : Route::ByAddress, lines, -1);
}

Result<void> Notify::connect() {
  if (!socket_ || is_connected_) return {};
  const SocketAddress to = socket_address(address_);
  if (os::sys::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&to.name), to.size) != 0)
    return Error::from_errno(errno, "connect to the init at", address_);
  is_connected_ = true;
  return {};
}

Result<void> Notify::reloading() const {
  const auto now = std::chrono::floor<microseconds>(os::monotonic_now().time_since_epoch());
  const std::string time = std::to_string(now.count());
  return send(wire::compose_notify({{"RELOADING", "1"}, {"MONOTONIC_USEC", time}}));
}

Result<void> Notify::status(std::string_view text) const { return send(wire::compose_notify({{"STATUS", text}})); }

Result<void> Notify::extend_timeout(std::chrono::microseconds by) const {
  const std::string time = std::to_string(std::max(by, microseconds{0}).count());
  return send(wire::compose_notify({{"EXTEND_TIMEOUT_USEC", time}}));
}

Result<void> Notify::barrier(std::chrono::milliseconds within) const {
  if (!is_enabled()) return {};
  int ends[2] = {-1, -1};
  if (os::sys::pipe2(ends, O_CLOEXEC) != 0) return Error::from_errno(errno, "make a pipe for", "the barrier to the init");
  const UniqueFd ours{ends[0]};
  UniqueFd theirs{ends[1]};
  const Route route = is_connected_ ? Route::Connected : Route::ByAddress;
  PERDURE_CHECK(send_datagram(socket_.get(), address_, route, barrier_message, theirs.get()));
  // Our copy goes, so that the init's is the last: it closes it once it has come to this datagram.
  theirs.reset();
  return wait_for_hangup(ours.get(), within);
}

}  // namespace perdure
