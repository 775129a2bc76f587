// Upgrade: how a daemon replaces itself by a successor, decided without a clock, a descriptor or a process.
//
// A state × event table, as Lifecycle is one. The predecessor steps it; the successor is a daemon like any other that gets its
// descriptors from somebody. Whatever goes wrong before the successor is in charge leads back to Idle, and the predecessor goes on
// serving as if nothing had been. A stop wins over an upgrade at every instant.
// Left out: how an action is done (upgrading.cpp), what is handed over (wire/hand_over.hpp).
// Thread safety: none, one owner. Pure.
//
//     Upgrade upgrade;
//     upgrade.step(UpgradeEvent::Requested, Reloading::No, actions);      // StartSuccessor, ArmStartDeadline
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/lifecycle.hpp"

namespace perdure::daemon {

enum class UpgradeState : std::uint8_t {
  Idle,
  Offering,     ///< the successor runs and has not confirmed its descriptors
  Starting,     ///< it has them, and is not ready
  Ready,        ///< it is ready; a reload of ours is under way and ends first
  HandingOver,  ///< it was told that it is in charge, and has not confirmed it
  Ending,       ///< it is of no use any more, and has not ended yet
  Superseded,   ///< it is in charge; we finish
};

enum class UpgradeEvent : std::uint8_t {
  Requested,
  StartFailed,  ///< there is no successor
  Taken,        ///< it has its descriptors, all of them
  BecameReady,
  Failed,  ///< it says that it cannot; it is about to end
  TookOver,
  Ended,
  DeadlinePassed,
  StopBegan,  ///< of ours, for whatever reason
  ReloadFinished,
  HandOverFailed,  ///< it could not be told, or the PID file not be written
};

enum class UpgradeAction : std::uint8_t {
  StartSuccessor,
  ArmStartDeadline,
  ArmHandOverDeadline,
  ArmEndDeadline,
  DisarmDeadline,
  HandOver,   ///< PID file, then the word
  TakeBack,   ///< the PID file names us again
  TellToEnd,  ///< SIGTERM
  Kill,
  ReportFailure,  ///< to whoever asked, and in the log
  Supersede,      ///< to whoever asked, the init; then stop
};

std::string_view name(UpgradeState state) noexcept;
std::string_view name(UpgradeEvent event) noexcept;
std::string_view name(UpgradeAction action) noexcept;

enum class Reloading : std::uint8_t { No, Yes };

class Upgrade {
 public:
  /// Total: every event is answered in every state. Appends what is to be done, in order.
  void step(UpgradeEvent event, Reloading reloading, std::vector<UpgradeAction>& actions);

  [[nodiscard]] UpgradeState state() const noexcept { return state_; }
  /// There is a process that is ours to wait for.
  [[nodiscard]] bool has_successor() const noexcept {
    return state_ != UpgradeState::Idle && state_ != UpgradeState::Superseded;
  }

 private:
  UpgradeState state_ = UpgradeState::Idle;
};

/// What an upgrade depends on before it begins.
struct UpgradeSurroundings {
  State state = State::Ready;
  UpgradeState upgrade = UpgradeState::Idle;
  bool is_process_1 = false;
  bool is_under_init = false;
  bool init_listens = false;        ///< NOTIFY_SOCKET: it can be told who the main process is
  bool has_new_root = false;        ///< a chroot, in which the program's path is another one
  bool keeps_capabilities = false;  ///< that execve(2) takes away
  bool is_supervised = false;       ///< the worker of supervise()
  bool keeps_descriptors = false;   ///< Options::keep_fds, whose numbers would become ours
};

/// Why no upgrade may begin now; "" where it may.
std::string upgrade_refusal(const UpgradeSurroundings& surroundings);

}  // namespace perdure::daemon
