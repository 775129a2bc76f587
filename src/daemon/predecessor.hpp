// Predecessor: the successor's side of an upgrade: the descriptors of who ran before, and the line to it.
//
// A process that was started as a successor finds one in its environment. It keeps to an order: take what was offered, say so,
// become ready, and touch no file and speak to nobody until the predecessor puts it in charge. A predecessor that dies leaves the
// service to it.
// Left out: when to do what (upgrading.cpp). Thread safety: one thread. Fork: a child must not use it. Signal safety: none.
//
//     PERDURE_TRY(auto predecessor, daemon::Predecessor::from_environment());
//     if (predecessor) …
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "daemon/listeners.hpp"
#include "perdure/detach.hpp"
#include "perdure/listen_fds.hpp"
#include "perdure/pid_file.hpp"
#include "perdure/result.hpp"
#include "perdure/unique_fd.hpp"
#include "process/start_protocol.hpp"
#include "wire/hand_over.hpp"

namespace perdure::daemon {

class Predecessor {
 public:
  /// None where this process was not started as a successor. Takes the variable away, and gives this process's pid to those with
  /// which an init addresses one process (WATCHDOG_PID, SYSTEMD_EXEC_PID).
  /// On failure: it was, but what it was given is not what it should be. Requires: one thread.
  static Result<std::optional<Predecessor>> from_environment();

  [[nodiscard]] const wire::HandOver& offer() const noexcept { return offer_; }
  /// Refused where the PID file of this process would be another one.
  Result<PidFile, PidFileError> lock(const std::string& path);
  std::vector<InheritedListener> listeners();
  /// What the init passed and nobody asked for by name.
  ListenFds sockets();
  struct ControlSocket {
    std::string path{};
    UniqueFd listener{};
    control::SocketFile file{};
  };
  std::optional<ControlSocket> control();
  /// Puts standard error back to where the predecessor's goes.
  Result<void> restore_error_output();

  /// Who waits for our start is the predecessor.
  [[nodiscard]] StartReport report() const;
  void say(process::StartNews news) noexcept;
  /// For poll(2).
  [[nodiscard]] int line() const noexcept { return line_.get(); }

  struct Word {
    bool is_gone = false;  ///< else: we are in charge
    UniqueFd lock{};
    bool shall_reload = false;
  };
  /// The next word, if one has come. Never waits.
  std::optional<Word> hear();

 private:
  Predecessor() = default;
  std::optional<wire::HandOver::Item> take(wire::HandOver::Kind kind, UniqueFd& fd);

  UniqueFd line_;
  wire::HandOver offer_;
  std::vector<UniqueFd> fds_;  ///< in the order of the offer's items; taken ones are empty
};

}  // namespace perdure::daemon
