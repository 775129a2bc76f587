// DatagramPeer: a local socket that somebody else listens at, and may stop and start again while we send: syslogd, journald.
//
// Sending never waits. A peer that has gone is looked for once more with each datagram, at the same path.
// Thread safety: none. Fork: parent and child may both send. Signal safety: none.
//
//     DatagramPeer syslog{"/dev/log"};
//     if (auto sent = syslog.send(datagram); !sent) …
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

struct msghdr;

namespace perdure::logbook {

class DatagramPeer {
 public:
  explicit DatagramPeer(std::string path) : path_(std::move(path)) {}

  /// Afresh, also where it was connected. On failure: stays as it was.
  Result<void> connect();
  /// One datagram; connects where nobody is at the other end, once.
  Result<void> send(std::string_view bytes);
  /// The same with a message of sendmsg(2), whose address is left empty.
  Result<void> send(const msghdr& message);
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  UniqueFd socket_;
};

}  // namespace perdure::logbook
