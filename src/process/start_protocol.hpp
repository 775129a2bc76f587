// What the detached processes tell the first one, over a SOCK_SEQPACKET socket pair: each message is one StartMessage, a
// failure with its text behind it. A socket and not a pipe, because only a socket can be written to without risking SIGPIPE.
//
//     Detached (from the process in between: the daemon's pid), then Ready or Failed (from the daemon), or nothing: it ended.
//     In a portable build the process in between stays, and says how it Ended.
// Thread and fork safety: plain values. Signal safety: send() allocates nothing.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace perdure::process {

enum class StartNews : std::int32_t {
  Detached = 1,
  Ready = 2,
  Failed = 3,
  // Between a daemon and its successor (daemon/upgrade.hpp), which says Ready and Failed as well:
  Taken = 4,     ///< all descriptors have come and are what they should be
  InCharge = 5,  ///< from the predecessor, with the lock: you are; number 1: and reload first
  TookOver = 6,  ///< I am
  Ended = 7,     ///< from the process in between, in a portable build: the daemon has; number: how
};

struct StartMessage {
  StartNews news{};
  std::int32_t number = 0;  ///< Detached: the daemon's pid; Failed: the exit code; InCharge: whether to reload
};

/// Longest reason of a failure; longer ones are cut.
inline constexpr std::size_t start_text_max = 4096;

/// Never blocks, never raises SIGPIPE. False when it could not be sent; errno says why. In a portable build the socket is
/// O_NONBLOCK.
bool send(int socket, StartMessage message, std::string_view text = {}) noexcept;

/// What has arrived: nothing yet, a message, or the end: every process that could tell something has ended or gave up.
enum class Arrival { None, Message, End };
struct StartPacket {
  StartMessage message{};
  std::string_view text{};  ///< in `buffer`
  char buffer[sizeof(StartMessage) + start_text_max];
};
/// Never blocks; as for send().
Arrival receive(int socket, StartPacket& packet) noexcept;

}  // namespace perdure::process
