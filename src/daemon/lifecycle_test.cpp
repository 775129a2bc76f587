#include "daemon/lifecycle.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<Action> after(Lifecycle& life, Event event) {
  std::vector<Action> actions;
  life.step(event, actions);
  return actions;
}

TEST(Lifecycle, ABodyThatIsReadyIsAnnouncedOnce) {
  Lifecycle life;
  EXPECT_THAT(after(life, Event::BodyReady), ElementsAre(Action::DisarmStartDeadline, Action::AnnounceReady));
  EXPECT_THAT(after(life, Event::BodyReady), IsEmpty());
  EXPECT_EQ(life.state(), State::Ready);
}

TEST(Lifecycle, AStopDuringTheStartIsHonouredAndNeverAnnouncedAsReady) {
  Lifecycle life;
  EXPECT_THAT(after(life, Event::StopRequested), ElementsAre(Action::DisarmStartDeadline, Action::AnnounceStopping,
                                                             Action::TellBodyToStop, Action::ArmStopDeadline));
  EXPECT_THAT(after(life, Event::BodyReady), IsEmpty());
  EXPECT_FALSE(life.was_ready());
}

TEST(Lifecycle, AReloadDuringTheStartBeginsOnceTheBodyIsReady) {
  Lifecycle life;
  EXPECT_THAT(after(life, Event::ReloadRequested), IsEmpty());
  EXPECT_THAT(after(life, Event::BodyReady), ElementsAre(Action::DisarmStartDeadline, Action::AnnounceReady,
                                                         Action::AnnounceReloading, Action::StartReload));
}

TEST(Lifecycle, ReloadsDuringAReloadBecomeOne) {
  Lifecycle life;
  after(life, Event::BodyReady);
  EXPECT_THAT(after(life, Event::ReloadRequested), ElementsAre(Action::AnnounceReloading, Action::StartReload));
  EXPECT_THAT(after(life, Event::ReloadRequested), IsEmpty());
  EXPECT_THAT(after(life, Event::ReloadRequested), IsEmpty());
  EXPECT_THAT(after(life, Event::ReloadFinished),
              ElementsAre(Action::AnnounceReloaded, Action::AnnounceReloading, Action::StartReload));
  EXPECT_THAT(after(life, Event::ReloadFinished), ElementsAre(Action::AnnounceReloaded));
}

TEST(Lifecycle, AReloadThatFinishesWhileStoppingIsStillAnnounced) {
  Lifecycle life;
  after(life, Event::BodyReady);
  after(life, Event::ReloadRequested);
  after(life, Event::StopRequested);
  EXPECT_THAT(after(life, Event::ReloadFinished), ElementsAre(Action::AnnounceReloaded));
  EXPECT_THAT(after(life, Event::ReloadRequested), IsEmpty());
}

TEST(Lifecycle, ASecondSignalEndsItInEveryState) {
  for (const std::vector<Event>& before :
       {std::vector<Event>{}, {Event::BodyReady}, {Event::StopRequested}, {Event::BodyReturned}}) {
    Lifecycle life;
    for (const Event event : before) after(life, event);
    const auto actions = after(life, Event::StopInsisted);
    EXPECT_THAT(actions, testing::Contains(Action::ForceEnd)) << name(life.state());
  }
}

TEST(Lifecycle, ABudgetThatIsSpentEndsItOnlyWhileItStops) {
  Lifecycle ready;
  after(ready, Event::BodyReady);
  EXPECT_THAT(after(ready, Event::StopDeadlinePassed), IsEmpty());
  Lifecycle stopping;
  after(stopping, Event::StopRequested);
  EXPECT_THAT(after(stopping, Event::StopDeadlinePassed), ElementsAre(Action::ForceEnd));
}

// Any order of events, a million of them: the promises that hold whatever happens.
TEST(Lifecycle, NoOrderOfEventsBreaksItsPromises) {
  std::mt19937 random{20260101};
  std::uniform_int_distribution<int> pick{0, 7};
  for (int round = 0; round < 50'000; ++round) {
    Lifecycle life;
    bool told_to_stop = false;
    bool ready_said = false;
    int reloading = 0;
    for (int i = 0; i < 20; ++i) {
      const auto event = static_cast<Event>(pick(random));
      const State before = life.state();
      const auto actions = after(life, event);
      ASSERT_GE(life.state(), before) << "states only go forward";
      for (const Action action : actions) {
        if (action == Action::AnnounceReady) {
          ASSERT_FALSE(ready_said) << "ready is said once";
          ASSERT_FALSE(told_to_stop) << "and never after a stop";
          ready_said = true;
        }
        if (action == Action::TellBodyToStop) {
          ASSERT_FALSE(told_to_stop) << "the body is told once";
          told_to_stop = true;
        }
        if (action == Action::StartReload) {
          ASSERT_EQ(++reloading, 1) << "one reload at a time";
        }
        if (action == Action::AnnounceReloaded) {
          ASSERT_EQ(--reloading, 0) << "every RELOADING=1 has its READY=1";
        }
      }
      ASSERT_EQ(reloading == 1, life.is_reloading());
    }
  }
}

}  // namespace
}  // namespace perdure::daemon
