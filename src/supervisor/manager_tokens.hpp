// What the manager's poller and timers call things: a kind, and for most kinds a unit and a run.
//
// A run is told by the low 24 bits of its number: no two runs of a unit that are alive at the same time agree in these.
#pragma once

#include <cstdint>

#include "core/service_settings.hpp"
#include "loop/token.hpp"

namespace perdure::supervisor {

enum class TokenKind : std::uint8_t {
  Keeper = 1,
  Control,
  Tracking,
  Log,  ///< poller: the pipe has something; timer: look at it again
  Gate,
  Emptiness,    ///< timer: ask again whether a run is empty
  Release,      ///< timer: try again to write the last of a run's log
  OldLeaves,    ///< timer: try again to remove leaves
  KeeperOwes,   ///< timer: the keeper has not answered an order
  Console,      ///< poller: its reader takes more
  Notify,       ///< poller: a message for us; timer: the one that waited may be known now
  MainProcess,  ///< timer: look for a main process again
  Sockets,      ///< poller: something was removed from the runtime directory; timer: look at our sockets there
  Syslog,       ///< poller: somebody said something with syslog(3); timer: the pipe it goes to may have room again
};

inline constexpr std::uint64_t token_run_mask = 0xffffff;

constexpr loop::Token token_of(TokenKind kind, core::UnitId unit = 0, std::uint64_t run = 0) noexcept {
  return static_cast<std::uint64_t>(kind) << 56 | static_cast<std::uint64_t>(unit) << 24 | (run & token_run_mask);
}
constexpr TokenKind kind_of(loop::Token token) noexcept { return static_cast<TokenKind>(token >> 56); }
constexpr core::UnitId unit_of(loop::Token token) noexcept { return static_cast<core::UnitId>(token >> 24); }
constexpr std::uint64_t run_of(loop::Token token) noexcept { return token & token_run_mask; }

}  // namespace perdure::supervisor
