// FdMessage: bytes and descriptors that travel together, one message of a Unix socket.
//
// For send_fd()/receive_fd() and for handing a daemon over to its successor. A message arrives whole or is an error: descriptors
// that the kernel could not install (MSG_CTRUNC) are no message, and none of the others is kept. What arrives is close-on-exec
// from its first instant. Left out: what the bytes mean.
// Thread safety: different sockets are independent. Fork: plain values. Signal safety: none.
//
//     PERDURE_CHECK(net::send_message(socket, bytes, {{listener.get()}}));
//     PERDURE_TRY(net::FdMessage message, net::receive_message(socket, offer_bytes_max));
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::net {

/// SCM_MAX_FD of the kernel (net/scm.h, Linux 2.6.38 to 6.x): more in one message is EINVAL.
inline constexpr std::size_t message_fds_max = 253;

struct FdMessage {
  std::string bytes{};  ///< empty: the peer has closed
  std::vector<UniqueFd> fds{};
  bool is_cut = false;  ///< a datagram was longer than asked for; its end is gone
};

/// Sends both or nothing. Requires: at least one byte, at most message_fds_max descriptors. Repeats EINTR, never raises SIGPIPE.
Result<void> send_message(int socket, std::string_view bytes, std::span<const int> fds);

/// The next message, of at most `bytes_max` bytes; of a stream, so many bytes at most. On failure no descriptor is left open;
/// EMFILE: not all descriptors could be installed.
Result<FdMessage> receive_message(int socket, std::size_t bytes_max);

}  // namespace perdure::net
