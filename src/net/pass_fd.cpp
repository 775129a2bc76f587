#include "perdure/pass_fd.hpp"

#include <cerrno>

#include <fmt/core.h>

#include "base/errno_name.hpp"
#include "base/text.hpp"
#include "net/fd_message.hpp"

namespace perdure {
namespace {

std::string in_words(int code) { return fmt::format("{} ({})", base::errno_words(code), base::errno_name(code)); }

Error cannot_receive(std::string_view why, int code) {
  return Error{fmt::format("cannot receive a descriptor: {}", why), code};
}

}  // namespace

Result<void> send_fd(int socket, int fd, char mark) {
  auto sent = net::send_message(socket, {&mark, 1}, {&fd, 1});
  if (sent) return {};
  const int code = sent.error().code();
  const std::string why = code == EPIPE || code == ECONNRESET
                              ? fmt::format("the peer has closed the connection ({})", base::errno_name(code))
                              : in_words(code);
  return Error{fmt::format("cannot send descriptor {}: {}", fd, why), code};
}

Result<UniqueFd> receive_fd(int socket) {
  auto message = net::receive_message(socket, 1);
  if (!message) {
    const int code = message.error().code();
    if (code == EMFILE) return cannot_receive(message.error().message(), code);
    if (code != ECONNRESET) return cannot_receive(in_words(code), code);
  }
  if (!message || (message->bytes.empty() && message->fds.empty()))
    return cannot_receive("the peer has closed the connection (ECONNRESET)", ECONNRESET);
  if (message->fds.empty())
    return cannot_receive(fmt::format("the byte {} came without one (ENOMSG)", base::quote(message->bytes)), ENOMSG);
  return std::move(message->fds.front());
}

}  // namespace perdure
