// Listeners: the sockets of Options::listeners, from wherever they come.
//
// Each is looked for by its name: first among what a predecessor handed over, then among what the init passed, then it is bound.
// A socket file that nobody listens on is replaced, which is safe under the instance's lock only; it goes with the process that
// owns it, never with one that got the socket from an init.
// Left out: accepting. Thread safety: opened while there is one thread, then find() from any. Fork: a child's copy closes its
// descriptors and leaves files alone. Signal safety: none.
//
//     PERDURE_CHECK(daemon::check_listeners(options.listeners));                  // before anything is touched
//     PERDURE_CHECK(listeners.open(options.listeners, handed_over, sockets));     // under the lock
//     listeners.find("http")
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "control/listening_socket.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/result.hpp"
#include "perdure/run.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::daemon {

/// On failure: a name that cannot be one or is there twice, an address that is none.
Result<void> check_listeners(const std::vector<ListenerOptions>& options);

/// One that a predecessor handed over.
struct InheritedListener {
  std::string name{};
  std::string address{};  ///< as its options had it: another address is another socket
  UniqueFd socket{};
  control::SocketFile file{};
};

class Listeners {
 public:
  /// What is left in `inherited` and `from_init` afterwards, nobody asked for.
  /// On failure: the error names address, listener and what to do; what was opened before is closed by the destructor.
  Result<void> open(const std::vector<ListenerOptions>& options, std::vector<InheritedListener>& inherited,
                    ListenFds& from_init);

  /// -1 where there is none of that name.
  [[nodiscard]] int find(std::string_view name) const noexcept;
  /// "http, admin"; "none".
  [[nodiscard]] std::string names() const;

  struct Listener {
    std::string name{};
    std::string address{};
    control::ListeningSocket socket;
    /// Of an inherited one: not ours before the predecessor has said so.
    control::SocketFile promised{};
  };
  [[nodiscard]] const std::vector<Listener>& all() const noexcept { return listeners_; }

  /// The files that a predecessor had are ours to unlink from now on.
  void own_files() noexcept;
  /// The files are a successor's.
  void disown_files() noexcept;
  /// Closes all, and unlinks what is ours.
  void close() noexcept { listeners_.clear(); }
  /// Unlinks what is ours. The sockets stay open, for threads that may be in find() or poll.
  void remove_files() noexcept;

 private:
  std::vector<Listener> listeners_;
};

}  // namespace perdure::daemon
