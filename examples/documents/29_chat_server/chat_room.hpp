// ChatRoom: up to sixteen clients on one Unix socket; what one of them says goes to all the others.
//
// Nothing here blocks. What a client does not read is kept for it, queue_bytes_max at most: whoever reads no faster than that
// is disconnected, and delays nobody. There is no framing: a message is what one read brings.
// Left out: names (the kernel tells the pid of whoever connected, SO_PEERCRED), history. Thread safety: none, one owner.
//
//     ChatRoom room{listener_fd, [](const std::string& line) { puts(line.c_str()); }};
//     for (auto set = room.poll_set(); ctx.wait_fds(set, room.patience()) >= 0; set = room.poll_set()) room.process(set);
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "perdure/unique_fd.hpp"

class ChatRoom {
 public:
  static constexpr std::size_t clients_max = 16;
  static constexpr std::size_t message_bytes_max = 1024;
  /// Of each client, beyond what the kernel holds for it.
  static constexpr std::size_t queue_bytes_max = 64 * 1024;
  /// How long nobody is let in after the system had no descriptor or memory left for it.
  static constexpr std::chrono::milliseconds accept_pause{100};
  /// Called with each line about who came and left.
  using Say = std::function<void(const std::string&)>;

  /// `listener` does not block, and outlives the room.
  ChatRoom(int listener, Say say) : listener_(listener), say_(std::move(say)) {}

  /// What to poll before the next process(): made afresh for each round, so that an index means the same client in both.
  [[nodiscard]] std::vector<pollfd> poll_set() const;
  /// How long to poll; negative: as long as it takes.
  [[nodiscard]] std::chrono::nanoseconds patience() const;
  /// Serves what `polled`, the last poll_set() after poll(2), found.
  void process(const std::vector<pollfd>& polled);

 private:
  struct Client {
    perdure::UniqueFd socket;
    pid_t pid = 0;
    std::string unsent{};
    bool is_gone = false;
  };
  void let_in();
  void hear(Client& client);
  void tell(Client& client, std::string_view text);
  static void send_unsent(Client& client);

  int listener_;
  Say say_;
  std::vector<Client> clients_;
  bool accepting_pauses_ = false;
};
