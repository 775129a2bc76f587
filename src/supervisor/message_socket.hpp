// A socket that any process may send datagrams to, and who it was that sent one: for sd_notify(3) and syslog(3).
//
// Who sent is known by pid and, on Linux 6.5 and later, by pidfd: a number alone may belong to somebody else by now, and a sender
// that has ended is still known by its pidfd. Descriptors that are sent along are never given a number here: whoever sends one
// chooses what closing it takes, and may choose a file whose close(2) never returns.
// Left out: what the bytes mean; whether the sender is heard.
// Thread safety: one thread per process looks and drops (RLIMIT_NOFILE, SIGALRM and ITIMER_REAL are the process's). Fork:
// descriptors are close-on-exec. Signal safety: none.
//
//     PERDURE_TRY(UniqueFd socket, bind_message_socket("/run/perdure/notify"));
//     std::array<char, 4096> room;
//     while (auto message = look_at_message(socket.get(), room)) {
//       take(*message);
//       drop_message(socket.get(), *message);
//     }
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::supervisor {

struct ReceivedMessage {
  pid_t sender = 0;         ///< as the kernel says; 0: it does not
  UniqueFd sender_pidfd{};  ///< none: the kernel is too old, or the message carries descriptors
  std::string_view bytes{};
  bool is_cut = false;               ///< it was longer than the room
  bool carries_descriptors = false;  ///< which are closed when the message is dropped
};

/// A datagram socket at `path`, in the place of a socket that was there, which everybody may send to and which never waits.
/// On failure (EEXIST: there is something that is no socket): nothing is bound; a socket that was at `path` may be gone.
Result<UniqueFd> bind_message_socket(const std::string& path);

/// The next message, which stays where it is; nothing: there is none now. Requires: `room` outlives the result.
std::optional<ReceivedMessage> look_at_message(int socket, std::span<char> room);

/// Takes the next message away, and closes what it carries; never waits for that longer than about 10 ms.
void drop_message(int socket, const ReceivedMessage& message);

}  // namespace perdure::supervisor
