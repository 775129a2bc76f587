#include "daemon/notify_relay.hpp"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "os/random.hpp"
#include "os/system.hpp"
#include "wire/notify.hpp"

namespace perdure::daemon {
namespace {

constexpr std::array variables{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
constexpr std::size_t messages_at_once_max = 64;
constexpr std::size_t unsent_max = 8;
constexpr std::chrono::milliseconds retry_interval{20};
// SCM_MAX_FD of the kernel: a sender cannot attach more to one message.
constexpr std::size_t descriptors_max = 253;

// The names that are forwarded; with a value: only this one.
struct Rule {
  std::string_view name;
  std::string_view value{};
};
constexpr std::array rules{Rule{"READY", "1"}, Rule{"RELOADING", "1"}, Rule{"MONOTONIC_USEC"},     Rule{"STOPPING", "1"},
                           Rule{"STATUS"},     Rule{"WATCHDOG", "1"},  Rule{"EXTEND_TIMEOUT_USEC"}};

bool is_forwarded(const wire::NotifyField& field, bool is_stopping) noexcept {
  if (field.name == "STOPPING" && !is_stopping) return false;
  return std::any_of(rules.begin(), rules.end(), [&](const Rule& rule) {
    return rule.name == field.name && (rule.value.empty() || rule.value == field.value);
  });
}

// An abstract name (unix(7)): it needs no directory, outlives no process, and a worker that has changed its user or its root still
// reaches it. Others may reach it too, so the sender is looked at.
Result<UniqueFd> bound_socket(std::string_view name) {
  UniqueFd socket{os::sys::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!socket) return Error::from_errno(errno, "make", "the worker's notify socket");
  const int on = 1;
  if (os::sys::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
    return Error::from_errno(errno, "set up", "the worker's notify socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (os::sys::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0)
    return Error::from_errno(errno, "bind", "the worker's notify socket");
  return socket;
}

// Who sent it; what else came along is closed.
pid_t sender_of(msghdr& message) noexcept {
  pid_t sender = 0;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
      sender = credentials.pid;
    } else if (header->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= header->cmsg_len; at += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + at, sizeof fd);
        os::sys::close(fd);
      }
    }
  }
  return sender;
}

}  // namespace

Relayed relayed(std::string_view datagram, bool is_stopping) {
  Relayed result;
  std::vector<wire::NotifyField> fields;
  for (const wire::NotifyField& field : wire::parse_notify(datagram).fields) {
    if (!is_forwarded(field, is_stopping)) continue;
    fields.push_back(field);
    result.speaks_for_itself |= field.name == "READY" || field.name == "WATCHDOG";
  }
  if (!fields.empty()) result.lines = wire::compose_notify(fields);
  return result;
}

bool WatchdogDuty::take_ping(base::Instant now) noexcept {
  const auto due = next_ping();
  if (!due || now < *due) return false;
  next_ = now + interval_;
  return true;
}

Result<std::unique_ptr<NotifyRelay>> NotifyRelay::from_environment(base::Duration start_within) {
  std::vector<std::pair<std::string, std::string>> taken;
  for (const char* name : variables)
    if (const char* value = ::getenv(name)) taken.emplace_back(name, value);
  const auto put_back = [&taken] {
    for (const auto& [name, value] : taken) ::setenv(name.c_str(), value.c_str(), 1);
  };

  auto init = Notify::from_environment();
  if (!init || !init->is_enabled()) {
    put_back();
    if (!init) return std::move(init).error();
    return std::unique_ptr<NotifyRelay>{};
  }
  const std::string name = "perdure/worker/" + os::random_name();
  auto socket = bound_socket(name);
  if (!socket) {
    put_back();
    return std::move(socket).error();
  }
  std::unique_ptr<NotifyRelay> relay{new NotifyRelay{*std::move(init), *std::move(socket), "@" + name, start_within}};
  relay->taken_ = std::move(taken);
  return relay;
}

NotifyRelay::NotifyRelay(Notify init, UniqueFd socket, std::string address, base::Duration start_within)
    : init_(std::move(init)), socket_(std::move(socket)), address_(std::move(address)) {
  if (init_.watchdog()) watchdog_.emplace(*init_.watchdog(), start_within);
}

NotifyRelay::~NotifyRelay() {
  for (const auto& [name, value] : taken_) ::setenv(name.c_str(), value.c_str(), 1);
}

void NotifyRelay::become_worker() noexcept {
  ::setenv("NOTIFY_SOCKET", address_.c_str(), 1);
  if (init_.watchdog()) {
    ::setenv("WATCHDOG_USEC", std::to_string(init_.watchdog()->count()).c_str(), 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  }
  init_ = Notify{};
  socket_.reset();
}

void NotifyRelay::worker_started(pid_t worker, base::Instant now) {
  worker_ = worker;
  if (watchdog_) watchdog_->worker_started(now);
}

void NotifyRelay::worker_ended(base::Instant now) {
  for (std::size_t count = 0; count < messages_at_once_max && take_one(); ++count) {
  }
  worker_ = 0;
  if (watchdog_) watchdog_->worker_ended(now);
}

void NotifyRelay::stopping() {
  if (!std::exchange(is_stopping_, true)) say("STOPPING=1");
}

void NotifyRelay::status(std::string_view text) { say(wire::compose_notify({{"STATUS", text}})); }

void NotifyRelay::forward(base::Instant now) {
  if (!send_unsent(now)) return;
  for (std::size_t count = 0; count < messages_at_once_max && unsent_.empty() && take_one(); ++count) {
  }
  if (watchdog_ && watchdog_->take_ping(now) && unsent_.empty()) say("WATCHDOG=1");
}

std::optional<base::Instant> NotifyRelay::next_deadline() const noexcept {
  if (!unsent_.empty()) return retry_at_;
  return watchdog_ ? watchdog_->next_ping() : std::nullopt;
}

// A full queue is worth waiting for: an init that misses READY=1 ends us. Anything else it never hears, and we go on.
void NotifyRelay::say(std::string lines) {
  if (unsent_.empty()) {
    const auto sent = init_.send(lines);
    if (sent || sent.error().code() != EAGAIN) return;
  }
  if (unsent_.size() == unsent_max) unsent_.pop_front();
  unsent_.push_back(std::move(lines));
}

// False while the init's queue is full.
bool NotifyRelay::send_unsent(base::Instant now) {
  while (!unsent_.empty()) {
    const auto sent = init_.send(unsent_.front());
    if (!sent && sent.error().code() == EAGAIN) {
      retry_at_ = now + retry_interval;
      return false;
    }
    unsent_.pop_front();
  }
  return true;
}

// False when there is nothing more.
bool NotifyRelay::take_one() {
  std::array<char, wire::notify_bytes_max> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(descriptors_max * sizeof(int))> control;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = os::sys::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return errno == EINTR;
  const bool is_heard = sender_of(message) == worker_ && worker_ != 0 && (message.msg_flags & MSG_TRUNC) == 0;
  if (!is_heard) return true;
  Relayed on = relayed({bytes.data(), static_cast<std::size_t>(size)}, is_stopping_);
  if (on.speaks_for_itself && watchdog_) watchdog_->worker_spoke();
  if (!on.lines.empty()) say(std::move(on.lines));
  return true;
}

}  // namespace perdure::daemon
