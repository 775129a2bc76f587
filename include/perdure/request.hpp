// Request and Reply: what a control command gets and gives back. The socket they travel over is in control.hpp.
//
// Thread, fork and signal safety: plain values.
//
//     perdure::Reply answer(const perdure::Request& request) {
//       return request.text.empty() ? perdure::Reply::error("set: a number is wanted") : perdure::Reply::text("done");
//     }
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <utility>

#include "perdure/export.hpp"

namespace perdure {

/// Who is at the other end of a connected Unix socket, as the kernel recorded it at connect(2) (unix(7), SO_PEERCRED).
struct Credentials {
  pid_t pid = 0;  ///< 0 where the peer lives in another pid namespace
  uid_t uid = 0;
  gid_t gid = 0;
};

/// One request, as it came off a connection.
struct Request {
  std::uint64_t id = 0;  ///< for ControlServer::reply; used once
  std::string verb{};    ///< [a-z][a-z0-9-]*, at most 64 bytes
  std::string text{};    ///< the rest of a plain line, or the member "text"
  std::string json{};    ///< the whole object as it came; empty for a plain line
  Credentials peer{};
  /// False only under ControlServerOptions::strangers_max: `peer` may not ask; deny it, with words of your own.
  bool is_permitted = true;
};

/// What the requester gets. Plain: `text`, or `error: text`, with a newline. JSON: {"ok":…,"text":…,"data":…}.
struct PERDURE_EXPORT Reply {
  bool ok = true;
  std::string message{};
  /// A JSON value for the member "data"; plain requesters do not see it. Empty: no such member.
  std::string json{};
  /// Whoever made `json` vouches for it: one JSON value on one line, at most 64 deep. Spares the server a look at every byte.
  bool json_is_sound = false;

  static Reply text(std::string message) { return {true, std::move(message), {}, false}; }
  static Reply error(std::string message) { return {false, std::move(message), {}, false}; }
  /// "unknown command"
  static Reply unknown();
};

}  // namespace perdure
