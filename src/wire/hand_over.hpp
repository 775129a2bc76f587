// HandOver: what a daemon tells the process that is to succeed it, as the bytes that travel with the descriptors.
//
// One message, so that it arrives whole or not at all: a version, who hands over, and one item per descriptor in the same order.
// Fields end with NUL. A version that is not ours is an error, never a guess. Left out: sockets, and the words that the successor
// answers (process/start_protocol.hpp). Thread safety: pure functions. Signal safety: none.
//
//     net::send_message(socket, wire::compose_hand_over(offer), fds);
//     PERDURE_TRY(wire::HandOver offer, wire::parse_hand_over(message.bytes, message.fds.size()));
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/result.hpp"

namespace perdure::wire {

inline constexpr unsigned hand_over_version = 1;
inline constexpr std::size_t hand_over_bytes_max = 128 * 1024;
/// As many as one message of a Unix socket carries (net/fd_message.hpp).
inline constexpr std::size_t hand_over_items_max = 253;

struct HandOver {
  enum class Kind : std::uint8_t {
    Lock,         ///< of the PID file
    Control,      ///< the control socket's listener
    Listener,     ///< of Options::listeners
    Socket,       ///< one that an init passed and nobody asked for by name
    ErrorOutput,  ///< standard error, which the successor gets once somebody else hears of its faults
  };
  struct Item {
    Kind kind{};
    std::string name{};
    std::string address{};     ///< of a listener, as the options had it; of the lock and the control socket: the path
    std::uint64_t device = 0;  ///< with inode: the socket's file, where it is ours to leave; else 0
    std::uint64_t inode = 0;
    bool operator==(const Item&) const = default;
  };
  std::int64_t pid = 0;   ///< of who hands over
  std::string program{};  ///< the path that is executed in an upgrade
  bool is_detached = false;
  std::string rights{};  ///< those that were given up, as rights::text_of() writes them; "": none
  std::vector<Item> items{};
  bool operator==(const HandOver&) const = default;
};

std::string compose_hand_over(const HandOver& offer);
/// On failure: another version, or bytes that are no offer of `descriptors` items.
Result<HandOver> parse_hand_over(std::string_view bytes, std::size_t descriptors);

}  // namespace perdure::wire
