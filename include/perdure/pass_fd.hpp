// send_fd() and receive_fd(): give an open descriptor to another process, over a Unix socket.
//
// The receiver gets a descriptor of its own for the same open file (SCM_RIGHTS, unix(7)), with whatever rights it was opened with:
// so a process that may open a file can open it for one that may not. One data byte travels with it, because a stream socket
// carries no message without data (unix(7), ANCILLARY MESSAGES).
// Left out: who is at the other end (peer_credentials in control.hpp), several descriptors at once, waiting with a limit: the
// calls wait as the socket does, so poll(2) first, or set SO_RCVTIMEO.
// Thread safety: different sockets are independent. Fork: nothing is kept. Signal safety: none (errors allocate). No SIGPIPE.
//
//     PERDURE_CHECK(perdure::send_fd(worker, file.get()));              // ours stays open and ours
//
//     auto file = perdure::receive_fd(opener);
//     if (!file && file.error().code() == ENOMSG) …                     // bytes came, but no descriptor: "DENIED"
#pragma once

#include "perdure/export.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure {

/// Sends a copy of `fd` and the byte `mark` over a connected Unix socket.
/// On failure: nothing was sent. The Error's code is EPIPE or ECONNRESET where the peer is gone, EBADF where `fd` is not open,
/// EAGAIN where a non-blocking socket is full, ETOOMANYREFS where too many are on their way already.
PERDURE_EXPORT Result<void> send_fd(int socket, int fd, char mark = 'F');

/// Takes one byte and the descriptor that came with it; the descriptor is close-on-exec. Further ones that came with the same
/// byte are closed at once.
///
/// On failure nothing is left open, and the Error's code tells what it was:
///   ECONNRESET  the peer has closed the connection
///   ENOMSG      a byte came without a descriptor: the peer said something else. Of a stream, what follows that byte stays
///   EMFILE      descriptors came, but this process may not open as many (MSG_CTRUNC)
///   others      as recvmsg(2), e.g. EAGAIN
PERDURE_EXPORT Result<UniqueFd> receive_fd(int socket);

}  // namespace perdure
