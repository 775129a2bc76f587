// A socket that any process may send datagrams to, and who it was that sent one: for sd_notify(3) and syslog(3).
//
// Who sent is known by pid and, on Linux 6.5 and later, by pidfd: a number alone may belong to somebody else by now, and a sender
// that has ended is still known by its pidfd.
// Left out: what the bytes mean; whether the sender is heard.
// Thread safety: one thread per socket. Fork: descriptors are close-on-exec. Signal safety: none.
//
//     PERDURE_TRY(UniqueFd socket, bind_message_socket("/run/perdure/notify"));
//     std::array<char, 4096> room;
//     while (auto message = receive_message(socket.get(), room, Receive::Take)) take(*message);
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

struct ReceivedMessage {
  pid_t sender = 0;         ///< as the kernel says; 0: it does not
  UniqueFd sender_pidfd{};  ///< none: the kernel is too old
  std::string_view bytes{};
  bool is_cut = false;          ///< it was longer than the room
  std::vector<UniqueFd> fds{};  ///< what was sent along: closed with the message
};

enum class Receive : std::uint8_t {
  Take,
  Look,  ///< the message stays, and the next call returns it again
};

/// A datagram socket at `path`, in the place of whatever was there, which everybody may send to and which never waits.
/// On failure: nothing is bound; what was at `path` may be gone.
Result<UniqueFd> bind_message_socket(const std::string& path);

/// The next message; nothing: there is none now. Requires: `room` outlives the result.
std::optional<ReceivedMessage> receive_message(int socket, std::span<char> room, Receive how);

}  // namespace perdure::supervisor
