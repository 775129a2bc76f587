#include <algorithm>
#include <cerrno>
#include <cstring>

#include "os/system.hpp"
#include "perdure/detach.hpp"
#include "perdure/exit_code.hpp"
#include "process/start_protocol.hpp"

namespace perdure {

bool process::send(int socket, StartMessage message, std::string_view text) noexcept {
  text = text.substr(0, start_text_max);
  iovec parts[2] = {{&message, sizeof message}, {const_cast<char*>(text.data()), text.size()}};
  msghdr datagram{};
  datagram.msg_iov = parts;
  datagram.msg_iovlen = text.empty() ? 1 : 2;
  return os::sys::sendmsg(socket, &datagram, MSG_NOSIGNAL | os::sys::do_not_wait) >= 0;
}

process::Arrival process::receive(int socket, StartPacket& packet) noexcept {
  const ssize_t size = os::sys::recv(socket, packet.buffer, sizeof packet.buffer, os::sys::do_not_wait);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return Arrival::None;
  if (size < static_cast<ssize_t>(sizeof packet.message)) return Arrival::End;
  std::memcpy(&packet.message, packet.buffer, sizeof packet.message);
  packet.text = {packet.buffer + sizeof packet.message, static_cast<std::size_t>(size) - sizeof packet.message};
  return Arrival::Message;
}

// Whether the message arrives does not matter to the daemon: a first process that is gone needs no news.
void StartReport::ready() noexcept {
  if (!line_) return;
  process::send(line_.get(), {process::StartNews::Ready, 0});
  line_.reset();
}

void StartReport::failed(int exit_code, std::string_view reason) noexcept {
  if (!line_) return;
  const bool usable = exit_code >= 1 && exit_code <= 255;
  process::send(line_.get(), {process::StartNews::Failed, usable ? exit_code : int{exit_failed}}, reason);
  line_.reset();
}

}  // namespace perdure
