// ListenFds: sockets that an init opened for us (socket activation).
//
// Protocol: sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES; descriptors from 3 on. The variables are removed from the
// environment when taken, so that children do not believe they are meant. Each descriptor is made close-on-exec.
// Thread safety: take it while the process has one thread; then as a plain value.
//
//     auto sockets = perdure::ListenFds::from_environment();
//     perdure::UniqueFd http = sockets.take("http");            // empty where the init passed none of that name
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "perdure/export.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

class PERDURE_EXPORT ListenFds {
 public:
  /// None.
  ListenFds() = default;
  /// What is meant for this process (LISTEN_PID is its pid); none where the variables are absent, malformed or another's.
  /// At most 1,024 are taken.
  static ListenFds from_environment();

  /// One more, that came another way: from a predecessor, in an upgrade.
  void add(std::string name, UniqueFd fd) { sockets_.push_back({std::move(name), std::move(fd)}); }

  [[nodiscard]] std::size_t size() const noexcept { return sockets_.size(); }
  /// Names in the order passed; "unknown" where LISTEN_FDNAMES has none.
  [[nodiscard]] std::vector<std::string> names() const;
  /// Descriptors still held, for keep lists.
  [[nodiscard]] std::vector<int> fds() const;
  /// The first one of that name, moved out; empty if there is none (left).
  UniqueFd take(std::string_view name);
  /// The first one whatever its name.
  UniqueFd take_any();

 private:
  struct Named {
    std::string name;
    UniqueFd fd;
  };
  std::vector<Named> sockets_;
};

}  // namespace perdure
