// listen_at(): a listening stream socket at an address that is no file, and what may be said about one that somebody passed.
//
// Files are control/listening_socket.hpp's, which replaces stale ones. What comes from here is non-blocking and close-on-exec.
// Thread safety: all. Fork: a child's copy keeps the address taken. Signal safety: none.
//
//     PERDURE_TRY(UniqueFd http, net::listen_at(address, {.backlog = 64}));
#pragma once

#include <string_view>

#include "net/address.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::net {

struct ListenOptions {
  int backlog = 4096;  ///< the kernel takes net.core.somaxconn at most
  bool reuse_address =
      true;  ///< SO_REUSEADDR: connections of a former process that still wait to be forgotten do not hinder
};

/// Requires: `address` is not a file's. On failure: the errno of what failed, without saying where.
Result<UniqueFd> listen_at(const Address& address, const ListenOptions& options);

/// Makes a socket that an init or a predecessor passed non-blocking and close-on-exec.
/// On failure: it is no listening stream socket (EINVAL, ENOTSOCK, EBADF); it is as it was.
Result<void> accept_passed_listener(int fd);

/// Whether somebody accepts connections there now. Makes a connection and closes it at once.
bool somebody_listens(const Address& address) noexcept;

}  // namespace perdure::net
