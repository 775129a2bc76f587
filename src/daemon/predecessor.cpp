#include "daemon/predecessor.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/text.hpp"
#include "daemon/successor.hpp"
#include "net/fd_message.hpp"
#include "os/system.hpp"
#include "perdure/control.hpp"
#include "process/at_load.hpp"

namespace perdure::daemon {
namespace sys = os::sys;
using process::StartMessage;
using process::StartNews;
using Kind = wire::HandOver::Kind;

namespace {

constexpr std::string_view unchanged = "nothing was taken over";

void set_to_own_pid(const char* variable) { ::setenv(variable, std::to_string(::getpid()).c_str(), 1); }

void address_to_us(const wire::HandOver& offer) {
  if (::getenv("WATCHDOG_USEC") != nullptr) set_to_own_pid("WATCHDOG_PID");
  const char* const started = ::getenv("SYSTEMD_EXEC_PID");
  if (started != nullptr && base::parse_number<std::int64_t>(started) == offer.pid) set_to_own_pid("SYSTEMD_EXEC_PID");
}

Result<UniqueFd> line_of(const std::string& variable) {
  const auto number = base::parse_number<int>(variable);
  const auto refused = [&](std::string_view why) {
    return Error{
        fmt::format("cannot take over with {}={}: {}; {}", successor_variable, base::quote(variable), why, unchanged)};
  };
  if (!number || *number <= STDERR_FILENO) return refused("it is no descriptor");
  const auto peer = peer_credentials(*number);
  if (!peer) return refused("it is no line to a predecessor");
  if (peer->uid != 0 && peer->uid != ::geteuid()) return refused(fmt::format("the user {} started it", peer->uid));
  if (sys::fcntl(*number, F_SETFD, FD_CLOEXEC) != 0) return refused("it cannot be kept from children");
  process::exempt_from_closing(*number);
  return UniqueFd{*number};
}

}  // namespace

Result<std::optional<Predecessor>> Predecessor::from_environment() {
  const char* const value = ::secure_getenv(successor_variable);
  if (value == nullptr) return std::optional<Predecessor>{};
  const std::string variable{value};
  ::unsetenv(successor_variable);
  Predecessor predecessor;
  PERDURE_TRY(predecessor.line_, line_of(variable));
  auto message = net::receive_message(predecessor.line_.get(), wire::hand_over_bytes_max);
  if (!message) return std::move(message).error().in("the hand-over").with_advice(unchanged);
  auto offer = wire::parse_hand_over(message->bytes, message->fds.size());
  if (!offer) return std::move(offer).error().with_advice(unchanged);
  predecessor.offer_ = *std::move(offer);
  predecessor.fds_ = std::move(message->fds);
  address_to_us(predecessor.offer_);
  return std::optional<Predecessor>{std::move(predecessor)};
}

std::optional<wire::HandOver::Item> Predecessor::take(Kind kind, UniqueFd& fd) {
  for (std::size_t i = 0; i < fds_.size(); ++i) {
    if (offer_.items[i].kind != kind || !fds_[i]) continue;
    fd = std::move(fds_[i]);
    return offer_.items[i];
  }
  return std::nullopt;
}

Result<PidFile, PidFileError> Predecessor::lock(const std::string& path) {
  UniqueFd fd;
  const auto item = take(Kind::Lock, fd);
  if (!item) return PidFileError{Error{fmt::format("the hand-over has no lock; {}", unchanged)}};
  if (item->address != path) {
    return PidFileError{Error{fmt::format("the PID file would be {}, and the running daemon's is {}: restart instead; {}",
                                          base::escape(path), base::escape(item->address), unchanged)}};
  }
  return PidFile::handed_over(path, std::move(fd));
}

std::vector<InheritedListener> Predecessor::listeners() {
  std::vector<InheritedListener> result;
  UniqueFd fd;
  while (const auto item = take(Kind::Listener, fd)) {
    InheritedListener listener{item->name, item->address, std::move(fd), {}};
    std::string_view path = item->address;
    base::remove_prefix(path, "unix:");
    if (item->inode != 0) listener.file = {std::string{path}, item->device, item->inode};
    result.push_back(std::move(listener));
  }
  return result;
}

ListenFds Predecessor::sockets() {
  ListenFds result;
  UniqueFd fd;
  while (const auto item = take(Kind::Socket, fd)) result.add(item->name, std::move(fd));
  return result;
}

std::optional<Predecessor::ControlSocket> Predecessor::control() {
  UniqueFd fd;
  const auto item = take(Kind::Control, fd);
  if (!item) return std::nullopt;
  ControlSocket socket{item->address, std::move(fd), {}};
  if (item->inode != 0) socket.file = {item->address, item->device, item->inode};
  return socket;
}

Result<void> Predecessor::restore_error_output() {
  UniqueFd fd;
  if (take(Kind::ErrorOutput, fd) && sys::dup2(fd.get(), STDERR_FILENO) < 0)
    return Error::from_errno(errno, "put back", "standard error");
  return {};
}

StartReport Predecessor::report() const { return StartReport{UniqueFd{sys::fcntl(line_.get(), F_DUPFD_CLOEXEC, 3)}}; }

void Predecessor::say(StartNews news) noexcept { process::send(line_.get(), {news, 0}); }

std::optional<Predecessor::Word> Predecessor::hear() {
  auto message = net::receive_message(line_.get(), sizeof(StartMessage));
  if (!message && message.error().code() == EAGAIN) return std::nullopt;
  if (!message || message->bytes.size() < sizeof(StartMessage)) return Word{.is_gone = true};
  StartMessage head;
  std::memcpy(&head, message->bytes.data(), sizeof head);
  if (head.news != StartNews::InCharge || message->fds.empty()) return std::nullopt;
  return Word{.is_gone = false, .lock = std::move(message->fds.front()), .shall_reload = head.number != 0};
}

}  // namespace perdure::daemon
