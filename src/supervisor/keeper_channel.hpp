// KeeperChannel: the manager's end of its link to the keeper.
//
// Requests go out without waiting and their answers come back as messages; what the socket does not take now is kept, in order,
// with copies of its descriptors. Only the start of a manager asks and waits.
// Left out: what the messages mean (manager.cpp), what the keeper does (keeper/).
// Thread safety: one thread. Fork: a child leaves it alone. Signal safety: none.
//
//     channel.send(request, std::array{spec, log});
//     while (auto message = channel.receive()) …                  // whenever fd() is readable
//     if (channel.is_lost()) become_the_keeper();
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"
#include "wire/keeper_message.hpp"

namespace perdure::supervisor {

namespace keeper = wire::keeper;

class KeeperChannel {
 public:
  struct Received {
    keeper::Message message{};
    std::vector<UniqueFd> fds{};
    /// Of ListedParked.
    [[nodiscard]] std::span<const keeper::ParkedLabel> labels() const noexcept;
  };

  explicit KeeperChannel(UniqueFd socket) noexcept : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  /// Sends or keeps for later; fills in the sequence number and returns it. The descriptors stay the caller's.
  std::uint64_t send(keeper::Request request, std::span<const int> fds = {});
  /// Sends what was kept, as far as it goes. Call when fd() is writable.
  void flush();
  [[nodiscard]] bool has_unsent() const noexcept { return !unsent_.empty(); }

  /// The next message, if there is one. A message that is none of ours is dropped and counted, one without bytes too.
  std::optional<Received> receive();
  /// Waits for the message with that sequence number; others that come first are kept for receive().
  Result<Received> answer_to(std::uint64_t sequence);
  /// Sends, and waits for the answer.
  Result<Received> ask(const keeper::Request& request, std::span<const int> fds = {});
  /// The other end is closed: there is no keeper any more.
  [[nodiscard]] bool is_lost() const noexcept { return lost_; }
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

 private:
  struct Unsent {
    keeper::Request request{};
    std::vector<UniqueFd> fds{};
  };
  enum class Sent { Yes, Later, Never };
  Sent transmit(const keeper::Request& request, std::span<const int> fds);
  enum class End : std::uint8_t { Open, Closed, Unknown };
  [[nodiscard]] End look_at_end() const;

  UniqueFd socket_;
  std::deque<Unsent> unsent_{};
  std::deque<Received> early_{};
  std::uint64_t sequence_ = 0;
  std::uint64_t dropped_ = 0;
  bool lost_ = false;
};

}  // namespace perdure::supervisor
