#include "daemon/lifecycle.hpp"

#include <array>
#include <cstddef>
#include <span>

namespace perdure::daemon {
namespace {

constexpr std::size_t states = 4;
constexpr std::size_t events = 8;

/// What one cell of the table says. Reload events are the same in every cell of a column but for whether one may begin, so
/// they are answered by `Reload` instead of actions.
enum class Reload : std::uint8_t { No, Begin, Remember, Finish };

struct Cell {
  State next;
  Reload reload = Reload::No;
  std::array<Action, 4> actions{};
  std::size_t count = 0;
};

template <class... A>
constexpr Cell go(State next, A... actions) {
  return {next, Reload::No, {actions...}, sizeof...(A)};
}
constexpr Cell reload(State next, Reload how) { return {next, how, {}, 0}; }

using S = State;
using A = Action;

// Rows: states. Columns: events, in the order of enum Event. A cell without actions whose state stays is "ignored", with the
// reason beside it.
// clang-format off
constexpr Cell table[states][events] = {
    // Starting
    {
        /* BodyReady           */ go(S::Ready, A::DisarmStartDeadline, A::AnnounceReady),
        /* BodyReturned        */ go(S::Ending, A::DisarmStartDeadline, A::AnnounceStopping, A::ArmStopDeadline),
        /* StopRequested       */ go(S::Stopping, A::DisarmStartDeadline, A::AnnounceStopping, A::TellBodyToStop,
                                  A::ArmStopDeadline),
        /* StopInsisted        */ go(S::Stopping, A::ForceEnd),
        /* StartDeadlinePassed */ go(S::Stopping, A::FailStart, A::AnnounceStopping, A::TellBodyToStop, A::ArmStopDeadline),
        /* StopDeadlinePassed  */ go(S::Starting),  // never armed here
        /* ReloadRequested     */ reload(S::Starting, Reload::Remember),
        /* ReloadFinished      */ reload(S::Starting, Reload::Finish),
    },
    // Ready
    {
        /* BodyReady           */ go(S::Ready),  // said again
        /* BodyReturned        */ go(S::Ending, A::AnnounceStopping, A::ArmStopDeadline),
        /* StopRequested       */ go(S::Stopping, A::AnnounceStopping, A::TellBodyToStop, A::ArmStopDeadline),
        /* StopInsisted        */ go(S::Stopping, A::ForceEnd),
        /* StartDeadlinePassed */ go(S::Ready),  // late: it is ready
        /* StopDeadlinePassed  */ go(S::Ready),  // never armed here
        /* ReloadRequested     */ reload(S::Ready, Reload::Begin),
        /* ReloadFinished      */ reload(S::Ready, Reload::Finish),
    },
    // Stopping
    {
        /* BodyReady           */ go(S::Stopping),  // too late: a stopping daemon is never announced as ready
        /* BodyReturned        */ go(S::Ending),
        /* StopRequested       */ go(S::Stopping),  // asked again by command
        /* StopInsisted        */ go(S::Stopping, A::ForceEnd),
        /* StartDeadlinePassed */ go(S::Stopping),  // late
        /* StopDeadlinePassed  */ go(S::Stopping, A::ForceEnd),
        /* ReloadRequested     */ go(S::Stopping),  // pointless now
        /* ReloadFinished      */ reload(S::Stopping, Reload::Finish),
    },
    // Ending
    {
        /* BodyReady           */ go(S::Ending),  // late
        /* BodyReturned        */ go(S::Ending),  // cannot happen twice
        /* StopRequested       */ go(S::Ending),  // it is about to
        /* StopInsisted        */ go(S::Ending, A::ForceEnd),
        /* StartDeadlinePassed */ go(S::Ending),  // late
        /* StopDeadlinePassed  */ go(S::Ending, A::ForceEnd),
        /* ReloadRequested     */ go(S::Ending),  // pointless now
        /* ReloadFinished      */ reload(S::Ending, Reload::Finish),
    },
};
// clang-format on

}  // namespace

void Lifecycle::step(Event event, std::vector<Action>& actions) {
  const Cell& cell = table[static_cast<std::size_t>(state_)][static_cast<std::size_t>(event)];
  state_ = cell.next;
  actions.insert(actions.end(), cell.actions.begin(), cell.actions.begin() + static_cast<std::ptrdiff_t>(cell.count));
  if (state_ == State::Ready) was_ready_ = true;

  if (cell.reload == Reload::Finish && reloading_) {
    reloading_ = false;
    // RELOADING=1 has been said; the init waits for READY=1 even when we are stopping meanwhile.
    actions.push_back(Action::AnnounceReloaded);
  } else if (cell.reload == Reload::Begin || cell.reload == Reload::Remember) {
    reload_pending_ = true;
  }
  if (state_ == State::Ready && reload_pending_ && !reloading_) begin_reload(actions);
}

void Lifecycle::begin_reload(std::vector<Action>& actions) {
  reload_pending_ = false;
  reloading_ = true;
  actions.push_back(Action::AnnounceReloading);
  actions.push_back(Action::StartReload);
}

std::string_view name(State state) noexcept {
  constexpr std::string_view names[] = {"starting", "ready", "stopping", "ending"};
  return names[static_cast<std::size_t>(state)];
}

std::string_view name(Event event) noexcept {
  constexpr std::string_view names[] = {"BodyReady",           "BodyReturned",       "StopRequested",   "StopInsisted",
                                        "StartDeadlinePassed", "StopDeadlinePassed", "ReloadRequested", "ReloadFinished"};
  static_assert(std::size(names) == events);
  return names[static_cast<std::size_t>(event)];
}

std::string_view name(Action action) noexcept {
  constexpr std::string_view names[] = {"AnnounceReady",       "AnnounceStopping", "TellBodyToStop",    "ArmStopDeadline",
                                        "DisarmStartDeadline", "FailStart",        "AnnounceReloading", "StartReload",
                                        "AnnounceReloaded",    "ForceEnd"};
  return names[static_cast<std::size_t>(action)];
}

}  // namespace perdure::daemon
