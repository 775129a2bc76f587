// Abstract Unix sockets (unix(7)): names without files, so nothing is left behind and nothing stale is in the way.
//
// The name's length is exact: every byte that is passed counts, NULs included, so `zig-metrics` is found by every tool
// that passes the tight length. Such sockets have no permissions: check the peer's credentials.
#pragma once

#include <string>

#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

/// A listener, not blocking. On failure with EADDRINUSE: somebody else has the name.
perdure::Result<perdure::UniqueFd> listen_abstract(const std::string& name);
/// A connection, blocking.
perdure::Result<perdure::UniqueFd> connect_abstract(const std::string& name);
