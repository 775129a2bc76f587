// Collector: the connections of the metrics collector. One request per connection, answered and closed.
//
// Nothing here blocks: a client that stays silent is closed after client_within and delays nobody. Only root and the
// collector's own user are served (SO_PEERCRED). At most clients_max connections; further ones wait in the backlog.
// Thread safety: none, one owner.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "averages.hpp"
#include "perdure/unique_fd.hpp"

class Collector {
 public:
  using Clock = std::chrono::steady_clock;
  /// Called with each line of a dump.
  using Print = std::function<void(const std::string&)>;
  static constexpr std::size_t clients_max = 32;
  static constexpr std::chrono::milliseconds client_within{2000};
  /// How long nobody is accepted after the system had no descriptor or memory left for it.
  static constexpr std::chrono::milliseconds accept_pause{100};

  Collector(perdure::UniqueFd listener, Print print) : listener_(std::move(listener)), print_(std::move(print)) {}

  /// What to poll before the next process().
  std::vector<pollfd> poll_set(Clock::time_point now) const;
  /// How long to poll; negative: as long as it takes.
  std::chrono::nanoseconds patience(Clock::time_point now) const;
  /// Serves what `polled`, a poll_set() after poll(2), found.
  void process(const std::vector<pollfd>& polled, Clock::time_point now);
  /// Connections that are over, however they ended.
  [[nodiscard]] std::size_t finished() const { return finished_; }

 private:
  struct Client {
    perdure::UniqueFd socket;
    std::string received;
    Clock::time_point deadline;
  };
  void accept_clients(Clock::time_point now);
  /// Reads what is there; true when the connection is over.
  bool serve(Client& client);

  perdure::UniqueFd listener_;
  Print print_;
  Averages averages_;
  std::vector<Client> clients_;
  Clock::time_point accept_from_{};
  std::size_t finished_ = 0;
};
