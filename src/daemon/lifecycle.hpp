// Lifecycle: what a daemon is doing, decided without a clock, a descriptor or a thread.
//
// A state × event table. The daemon's control thread turns everything that happens into an Event, steps this machine, and carries
// out the actions in their order; the body, the hooks and the init never act on the daemon directly. Late events are ignored by
// the cell that names them, not by accident.
// Left out: how an action is done (daemon.cpp), deadlines' lengths (Options).
// Thread safety: none, one owner. Pure.
//
//     Lifecycle life;
//     life.step(Event::BodyReady, actions);        // AnnounceReady
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perdure::daemon {

enum class State : std::uint8_t {
  Starting,  ///< from the body's first instruction until it is ready
  Ready,     ///< serving
  Stopping,  ///< asked to stop; the body has not returned yet
  Ending,    ///< the body has returned; hooks and cleanup
};

enum class Event : std::uint8_t {
  BodyReady,      ///< its first wait, or ready()
  BodyReturned,   ///< whatever with
  StopRequested,  ///< the first one: signal, command, or by the program itself
  StopInsisted,   ///< a second signal
  StartDeadlinePassed,
  StopDeadlinePassed,
  ReloadRequested,
  ReloadFinished,
};

enum class Action : std::uint8_t {
  AnnounceReady,     ///< READY=1; whoever waits for the start hears that it went well
  AnnounceStopping,  ///< STOPPING=1; not ready any more
  TellBodyToStop,    ///< waits return, the stop token is set
  ArmStopDeadline,
  DisarmStartDeadline,
  FailStart,          ///< whoever waits for the start hears what is missing
  AnnounceReloading,  ///< RELOADING=1
  StartReload,        ///< on the callback thread
  AnnounceReloaded,   ///< READY=1, STATUS= says how it went
  ForceEnd,           ///< name who is late, release the lock, _exit
};

std::string_view name(State state) noexcept;
std::string_view name(Event event) noexcept;
std::string_view name(Action action) noexcept;

class Lifecycle {
 public:
  /// Total: every event is answered in every state. Appends what is to be done, in order.
  void step(Event event, std::vector<Action>& actions);

  [[nodiscard]] State state() const noexcept { return state_; }
  [[nodiscard]] bool is_reloading() const noexcept { return reloading_; }
  /// The body became ready at some time.
  [[nodiscard]] bool was_ready() const noexcept { return was_ready_; }

 private:
  void begin_reload(std::vector<Action>& actions);

  State state_ = State::Starting;
  bool reloading_ = false;       ///< between StartReload and ReloadFinished
  bool reload_pending_ = false;  ///< asked for while it could not begin; any number of requests make one
  bool was_ready_ = false;
};

}  // namespace perdure::daemon
