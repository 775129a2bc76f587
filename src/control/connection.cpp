#include "control/connection.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/core.h>

#include "os/system.hpp"

namespace perdure::control {
namespace sys = os::sys;

namespace {
constexpr std::size_t portion = 16 * 1024;  // one peer's share of a round
}

void Connection::receive(Instant now) {
  std::array<char, portion> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
  const ssize_t count = sys::recv(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) close();
    return;
  }
  if (count == 0) {
    ended_ = true;
    if (phase_ == Phase::Draining) close();
    return;
  }
  if (phase_ != Phase::Open) return;
  if (input_.empty() && has_asked_) since_ = now;  // the first line's clock runs from the connection on
  input_.append(bytes.data(), static_cast<std::size_t>(count));
}

void Connection::receive_rest(Instant now) {
  gone_ = true;
  while (phase_ == Phase::Open && !ended_ && input_.size() <= wire::control_request_max) {
    const auto before = input_.size();
    receive(now);
    if (input_.size() == before) ended_ = true;
  }
}

bool Connection::takes_requests() const noexcept {
  return phase_ == Phase::Open && answers_.size() < unanswered_max && unsent() == 0;
}

bool Connection::has_line() const noexcept {
  return input_.find('\n', searched_) != std::string::npos || (ended_ && !gone_ && !input_.empty());
}

std::optional<std::string> Connection::next_line(Instant now) {
  if (!takes_requests()) return std::nullopt;
  const auto newline = input_.find('\n', searched_);
  if (std::min(newline, input_.size()) > wire::control_request_max + 1) {  // a '\r' may stand before the newline
    refuse(wire::control_dialect(input_), fmt::format("the request is longer than {} bytes", wire::control_request_max));
    return std::nullopt;
  }
  if (newline != std::string::npos) {
    std::string line = input_.substr(0, newline);
    input_.erase(0, newline + 1);
    searched_ = 0;
    since_ = now;
    has_asked_ = true;
    return line;
  }
  searched_ = input_.size();
  if (!has_line()) return std::nullopt;
  searched_ = 0;
  has_asked_ = true;
  return std::exchange(input_, {});
}

void Connection::expect(std::uint64_t id, wire::Dialect dialect) {
  answers_.push_back({id, dialect, std::nullopt});
  if (dialect == wire::Dialect::Plain) phase_ = Phase::Answering;
}

void Connection::reject(wire::Dialect dialect, std::string_view why) {
  const bool is_last = dialect == wire::Dialect::Plain;
  auto bytes = wire::control_answer(dialect, {.ok = false, .text = std::string{why}});
  held_ += bytes.size();
  answers_.push_back({0, dialect, std::move(bytes)});
  if (is_last) phase_ = Phase::Answering;
}

void Connection::refuse(wire::Dialect dialect, std::string_view why) {
  reject(dialect, why);
  phase_ = Phase::Answering;
}

void Connection::answer(std::uint64_t id, const wire::ControlAnswer& answer) {
  const auto owed = std::find_if(answers_.begin(), answers_.end(), [&](const Answer& a) { return a.id == id && !a.bytes; });
  if (owed == answers_.end()) return;
  if (unsent() + held_ > unread_max) return close();
  owed->bytes = wire::control_answer(owed->dialect, answer);
  held_ += owed->bytes->size();
}

void Connection::send(Instant now) {
  if (phase_ == Phase::Over) return;
  if (unsent() == 0 && !answers_.empty() && answers_.front().bytes) since_ = now;
  while (!answers_.empty() && answers_.front().bytes) {
    held_ -= answers_.front().bytes->size();
    output_ += *answers_.front().bytes;
    answers_.pop_front();
  }
  while (unsent() > 0) {
    const ssize_t count =
        sys::sendto(socket_.get(), output_.data() + sent_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) return close();
    sent_ += static_cast<std::size_t>(count);
    since_ = now;
  }
  output_.clear();
  sent_ = 0;
  finish(now);
}

void Connection::finish(Instant now) {
  if (phase_ == Phase::Open && ended_ && !has_line()) phase_ = Phase::Answering;
  if (phase_ != Phase::Answering || !answers_.empty()) return;
  input_ = {};
  if (ended_ || sys::shutdown(socket_.get(), SHUT_WR) != 0) return close();
  phase_ = Phase::Draining;
  since_ = now;
  receive(now);
}

void Connection::expire(Instant now, std::chrono::milliseconds line_within) {
  const bool is_idle = has_asked_ && input_.empty();
  if (phase_ != Phase::Open || unsent() > 0 || is_idle) return close();
  refuse(wire::control_dialect(input_), fmt::format("no whole line arrived within {} ms", line_within.count()));
  send(now);
}

std::uint32_t Connection::interest(Room room) const noexcept {
  if (phase_ == Phase::Over) return 0;
  if (phase_ == Phase::Draining) return EPOLLIN;
  if (unsent() > 0) return EPOLLOUT;
  if (room == Room::Full || !takes_requests()) return 0;
  if (has_line()) return EPOLLOUT;
  return ended_ ? 0U : std::uint32_t{EPOLLIN};
}

std::optional<Connection::Instant> Connection::deadline(Room room, std::chrono::milliseconds line_within) const noexcept {
  if (phase_ == Phase::Over) return std::nullopt;
  if (phase_ == Phase::Draining) return since_ + drain_within;
  if (unsent() > 0) return since_ + line_within;
  if (!answers_.empty() || room == Room::Full) return std::nullopt;
  return since_ + (has_asked_ && input_.empty() ? idle_within : line_within);
}

}  // namespace perdure::control
