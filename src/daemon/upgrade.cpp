#include "daemon/upgrade.hpp"

#include <array>
#include <cstddef>
#include <iterator>

namespace perdure::daemon {
namespace {

using S = UpgradeState;
using A = UpgradeAction;

constexpr std::size_t states = 7;
constexpr std::size_t events = 11;

struct Cell {
  S next;
  std::array<A, 3> actions{};
  std::size_t count = 0;
};

template <class... Actions>
constexpr Cell go(S next, Actions... actions) {
  return {next, {actions...}, sizeof...(Actions)};
}

// What a successor that is of no use leads to, from wherever.
constexpr Cell winding_up = go(S::Ending, A::TellToEnd, A::ArmEndDeadline);
constexpr Cell is_gone = go(S::Idle, A::DisarmDeadline, A::ReportFailure);

// Rows: states. Columns: events, in the order of enum UpgradeEvent. A cell without actions whose state stays is "ignored", with
// the reason beside it.
// clang-format off
constexpr Cell table[states][events] = {
    // Idle
    {
        /* Requested      */ go(S::Offering, A::ArmStartDeadline, A::StartSuccessor),
        /* StartFailed    */ go(S::Idle),  // there is none
        /* Taken          */ go(S::Idle),
        /* BecameReady    */ go(S::Idle),
        /* Failed         */ go(S::Idle),
        /* TookOver       */ go(S::Idle),
        /* Ended          */ go(S::Idle),
        /* DeadlinePassed */ go(S::Idle),
        /* StopBegan      */ go(S::Idle),
        /* ReloadFinished */ go(S::Idle),
        /* HandOverFailed */ go(S::Idle),
    },
    // Offering
    {
        /* Requested      */ go(S::Offering),  // refused beforehand
        /* StartFailed    */ is_gone,
        /* Taken          */ go(S::Starting),
        /* BecameReady    */ winding_up,       // without its descriptors: it is no successor
        /* Failed         */ go(S::Ending, A::ArmEndDeadline),
        /* TookOver       */ winding_up,
        /* Ended          */ is_gone,
        /* DeadlinePassed */ winding_up,
        /* StopBegan      */ winding_up,
        /* ReloadFinished */ go(S::Offering),
        /* HandOverFailed */ go(S::Offering),  // nothing was handed over yet
    },
    // Starting
    {
        /* Requested      */ go(S::Starting),  // refused beforehand
        /* StartFailed    */ go(S::Starting),  // it runs
        /* Taken          */ go(S::Starting),  // said again
        /* BecameReady    */ go(S::HandingOver, A::ArmHandOverDeadline, A::HandOver),
        /* Failed         */ go(S::Ending, A::ArmEndDeadline),
        /* TookOver       */ winding_up,       // nobody told it to
        /* Ended          */ is_gone,
        /* DeadlinePassed */ winding_up,
        /* StopBegan      */ winding_up,
        /* ReloadFinished */ go(S::Starting),
        /* HandOverFailed */ go(S::Starting),  // nothing was handed over yet
    },
    // Ready
    {
        /* Requested      */ go(S::Ready),     // refused beforehand
        /* StartFailed    */ go(S::Ready),
        /* Taken          */ go(S::Ready),
        /* BecameReady    */ go(S::Ready),     // said again
        /* Failed         */ go(S::Ending, A::ArmEndDeadline),
        /* TookOver       */ winding_up,       // nobody told it to
        /* Ended          */ is_gone,
        /* DeadlinePassed */ winding_up,       // a reload hook that hangs
        /* StopBegan      */ winding_up,
        /* ReloadFinished */ go(S::HandingOver, A::ArmHandOverDeadline, A::HandOver),
        /* HandOverFailed */ go(S::Ready),     // nothing was handed over yet
    },
    // HandingOver
    {
        /* Requested      */ go(S::HandingOver),  // refused beforehand
        /* StartFailed    */ go(S::HandingOver),
        /* Taken          */ go(S::HandingOver),
        /* BecameReady    */ go(S::HandingOver),
        /* Failed         */ go(S::Ending, A::TakeBack, A::ArmEndDeadline),
        /* TookOver       */ go(S::Superseded, A::DisarmDeadline, A::Supersede),
        /* Ended          */ go(S::Idle, A::TakeBack, A::DisarmDeadline, A::ReportFailure),
        /* DeadlinePassed */ go(S::Ending, A::Kill, A::TakeBack),  // it might wake up and believe that it is in charge
        /* StopBegan      */ go(S::Ending, A::TakeBack, A::TellToEnd, A::ArmEndDeadline),
        /* ReloadFinished */ go(S::HandingOver),
        /* HandOverFailed */ go(S::Ending, A::TakeBack, A::TellToEnd, A::ArmEndDeadline),
    },
    // Ending
    {
        /* Requested      */ go(S::Ending),  // refused beforehand
        /* StartFailed    */ go(S::Ending),
        /* Taken          */ go(S::Ending),  // late
        /* BecameReady    */ go(S::Ending),  // too late
        /* Failed         */ go(S::Ending),  // it is about to end, as it should
        /* TookOver       */ go(S::Ending),  // the word crossed ours
        /* Ended          */ is_gone,
        /* DeadlinePassed */ go(S::Ending, A::Kill),
        /* StopBegan      */ go(S::Ending),  // its deadline stands
        /* ReloadFinished */ go(S::Ending),
        /* HandOverFailed */ go(S::Ending),
    },
    // Superseded: what the successor does now is its own affair
    {
        /* Requested      */ go(S::Superseded),  // refused beforehand
        /* StartFailed    */ go(S::Superseded),
        /* Taken          */ go(S::Superseded),
        /* BecameReady    */ go(S::Superseded),
        /* Failed         */ go(S::Superseded),
        /* TookOver       */ go(S::Superseded),
        /* Ended          */ go(S::Superseded),
        /* DeadlinePassed */ go(S::Superseded),
        /* StopBegan      */ go(S::Superseded),
        /* ReloadFinished */ go(S::Superseded),
        /* HandOverFailed */ go(S::Superseded),
    },
};
// clang-format on

}  // namespace

void Upgrade::step(UpgradeEvent event, Reloading reloading, std::vector<UpgradeAction>& actions) {
  // A reload has told the init RELOADING=1; whoever said that says READY=1 as well.
  if (state_ == S::Starting && event == UpgradeEvent::BecameReady && reloading == Reloading::Yes) {
    state_ = S::Ready;
    return;
  }
  // One that follows at once is waited for too.
  if (state_ == S::Ready && event == UpgradeEvent::ReloadFinished && reloading == Reloading::Yes) return;
  const Cell& cell = table[static_cast<std::size_t>(state_)][static_cast<std::size_t>(event)];
  state_ = cell.next;
  actions.insert(actions.end(), cell.actions.begin(), cell.actions.begin() + static_cast<std::ptrdiff_t>(cell.count));
}

std::string upgrade_refusal(const UpgradeSurroundings& s) {
  switch (s.upgrade) {
    case S::Idle: break;
    case S::Superseded: return "a successor is in charge already; ask again";
    case S::Ending: return "the one before has failed and its process has not ended yet; try again";
    default: return "another one is under way";
  }
  if (s.state == State::Starting) return "not ready yet";
  if (s.state >= State::Stopping) return "stopping";
  if (s.is_process_1) return "process 1 cannot be replaced, for the container would end with it; restart the container";
  if (s.is_supervised) return "supervise() would take the end of its worker for a failure; restart it";
  if (s.is_under_init && !s.init_listens)
    return "the init would take our end for the service's: run it with Type=notify, or restart it";
  if (s.has_new_root) return "the program cannot be executed from inside its chroot; restart it";
  if (s.keeps_capabilities)
    return "it keeps capabilities that a new program would not have (only ambient ones stay); restart it";
  if (s.keeps_descriptors) return "it keeps descriptors that it was started with, which cannot be handed over; restart it";
  return {};
}

std::string_view name(UpgradeState state) noexcept {
  constexpr std::string_view names[] = {"idle", "offering", "starting", "ready", "handing over", "ending", "superseded"};
  static_assert(std::size(names) == states);
  return names[static_cast<std::size_t>(state)];
}

std::string_view name(UpgradeEvent event) noexcept {
  constexpr std::string_view names[] = {"Requested", "StartFailed",    "Taken",         "BecameReady",
                                        "Failed",    "TookOver",       "Ended",         "DeadlinePassed",
                                        "StopBegan", "ReloadFinished", "HandOverFailed"};
  static_assert(std::size(names) == events);
  return names[static_cast<std::size_t>(event)];
}

std::string_view name(UpgradeAction action) noexcept {
  constexpr std::string_view names[] = {"StartSuccessor", "ArmStartDeadline", "ArmHandOverDeadline",
                                        "ArmEndDeadline", "DisarmDeadline",   "HandOver",
                                        "TakeBack",       "TellToEnd",        "Kill",
                                        "ReportFailure",  "Supersede"};
  return names[static_cast<std::size_t>(action)];
}

}  // namespace perdure::daemon
