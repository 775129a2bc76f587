#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/core.h>

#include "control/listening_socket.hpp"
#include "os/system.hpp"
#include "perdure/control.hpp"
#include "wire/control_frame.hpp"

namespace perdure {
namespace sys = os::sys;

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds wait_max = std::chrono::hours{24};  // "for ever", without overflow
constexpr std::string_view refusal = "error: ";

Error cannot_connect(int code, const std::string& path) {
  Error error = Error::from_errno(code, "connect to", path);
  switch (code) {
    case ENOENT:
    case ECONNREFUSED: return std::move(error).with_advice("is it running?");
    case EACCES:
    case EPERM: return std::move(error).with_advice("only root and the user it runs as may ask");
    default: return error;
  }
}

/// Waits for `events` on `fd` until `deadline`. False: it has passed.
Result<bool> wait_for(int fd, short events, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    pollfd one{fd, events, 0};
    const int count = sys::poll(&one, 1, static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)));
    if (count > 0) return true;
    if (count == 0) return false;
    if (errno != EINTR) return Error::from_errno(errno, "wait for the control socket");
  }
}

/// On success: whether all was sent; not so where the peer has closed, which may have left its reasons to read.
Result<bool> send_all(int fd, std::string_view bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t count = sys::sendto(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      PERDURE_TRY(const bool writable, wait_for(fd, POLLOUT, deadline));
      if (!writable) return Error{"cannot send the request: the daemon does not read it (ETIMEDOUT)", ETIMEDOUT};
    } else if (errno == EPIPE || errno == ECONNRESET) {
      return false;
    } else if (errno != EINTR) {
      return Error::from_errno(errno, "send the request");
    }
  }
  return true;
}

/// Moves the first line of what arrives out of `unread`.
Result<std::string> receive_line(int fd, std::string& unread, Clock::time_point deadline, milliseconds within) {
  for (std::size_t searched = 0;;) {
    if (const auto newline = unread.find('\n', searched); newline != std::string::npos) {
      std::string line = unread.substr(0, newline);
      unread.erase(0, newline + 1);
      return line;
    }
    searched = unread.size();
    if (searched > wire::control_answer_max) {
      return Error{fmt::format("the answer is longer than {} bytes", wire::control_answer_max), EMSGSIZE};
    }
    std::array<char, 16 * 1024> bytes;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
    const ssize_t count = sys::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count > 0) {
      unread.append(bytes.data(), static_cast<std::size_t>(count));
    } else if (count == 0 || errno == ECONNRESET) {
      return Error{"the daemon closed the connection without an answer", ECONNRESET};
    } else if (errno == EAGAIN) {
      PERDURE_TRY(const bool readable, wait_for(fd, POLLIN, deadline));
      if (!readable) return Error{fmt::format("no answer within {} ms (ETIMEDOUT)", within.count()), ETIMEDOUT};
    } else if (errno != EINTR) {
      return Error::from_errno(errno, "read the answer");
    }
  }
}

Result<Reply> exchange(int fd, std::string& unread, const std::string& request, milliseconds within) {
  const auto deadline = Clock::now() + std::clamp(within, milliseconds{0}, wait_max);
  PERDURE_TRY([[maybe_unused]] const bool sent, send_all(fd, request, deadline));
  PERDURE_TRY(const std::string line, receive_line(fd, unread, deadline, within));
  // Who is turned away at the door reads a plain line, because nothing was known about the requester yet.
  if (line.starts_with(refusal)) {
    const auto why = line.substr(refusal.size());
    return Error{"the daemon refused: " + why, why.starts_with("not permitted") ? EACCES : 0};
  }
  PERDURE_TRY(auto answer, wire::parse_control_answer(line));
  return Reply{answer.ok, std::move(answer.text), std::move(answer.data)};
}

}  // namespace

Result<ControlClient> ControlClient::connect(const std::string& path, milliseconds within) {
  PERDURE_TRY(const sockaddr_un address, control::socket_address(path, "connect to"));
  UniqueFd socket{sys::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!socket) return cannot_connect(errno, path);

  // Where the daemon's queue is full, only a blocking connect(2) waits for a place in it (a non-blocking one fails with EAGAIN
  // and nothing to poll for); SO_SNDTIMEO bounds the wait.
  const auto deadline = Clock::now() + std::clamp(within, milliseconds{1}, wait_max);
  for (;;) {
    const auto left =
        std::max(std::chrono::ceil<std::chrono::microseconds>(deadline - Clock::now()), std::chrono::microseconds{1});
    timeval limit{};
    limit.tv_sec = left.count() / 1'000'000;
    limit.tv_usec = left.count() % 1'000'000;
    if (sys::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0)
      return cannot_connect(errno, path);
    if (sys::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) break;
    if (errno == EAGAIN || (errno == EINTR && Clock::now() >= deadline)) {
      return Error{fmt::format("cannot connect to {}: no answer within {} ms (ETIMEDOUT); it runs, but takes no connections",
                               path, within.count()),
                   ETIMEDOUT};
    }
    if (errno != EINTR) return cannot_connect(errno, path);
  }
  return ControlClient{std::move(socket)};
}

Result<Reply> ControlClient::request(std::string_view verb, std::string_view text, milliseconds within) {
  return send_line(wire::control_request(verb, text), within);
}

Result<Reply> ControlClient::request_object(std::string_view object, milliseconds within) {
  return send_line(std::string{object} + '\n', within);
}

Result<Reply> ControlClient::send_line(const std::string& line, milliseconds within) {
  if (!socket_) return Error{"the connection to the daemon is closed; connect again", ENOTCONN};
  if (line.size() > wire::control_request_max + 1) {
    return Error{fmt::format("the request is longer than {} bytes; nothing was sent", wire::control_request_max), EMSGSIZE};
  }
  auto reply = exchange(socket_.get(), unread_, line, within);
  if (!reply) socket_.reset();  // an answer that comes late would be taken for the next one's
  return reply;
}

}  // namespace perdure
