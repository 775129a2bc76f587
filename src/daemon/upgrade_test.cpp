#include "daemon/upgrade.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

using A = UpgradeAction;
using E = UpgradeEvent;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::vector<A> after(Upgrade& upgrade, E event, Reloading reloading = Reloading::No) {
  std::vector<A> actions;
  upgrade.step(event, reloading, actions);
  return actions;
}

Upgrade brought_to(UpgradeState state) {
  Upgrade upgrade;
  const auto go = [&](E event, Reloading reloading = Reloading::No) {
    if (upgrade.state() != state) after(upgrade, event, reloading);
  };
  if (state == UpgradeState::Idle) return upgrade;
  go(E::Requested);
  if (state == UpgradeState::Ending) return go(E::Failed), upgrade;
  go(E::Taken);
  go(E::BecameReady, state == UpgradeState::Ready ? Reloading::Yes : Reloading::No);
  go(E::TookOver);
  EXPECT_EQ(upgrade.state(), state);
  return upgrade;
}

TEST(Upgrade, GoesFromTheRequestToTheEndOfTheOldOne) {
  Upgrade upgrade;
  EXPECT_THAT(after(upgrade, E::Requested), ElementsAre(A::ArmStartDeadline, A::StartSuccessor));
  EXPECT_THAT(after(upgrade, E::Taken), IsEmpty());
  EXPECT_THAT(after(upgrade, E::BecameReady), ElementsAre(A::ArmHandOverDeadline, A::HandOver));
  EXPECT_THAT(after(upgrade, E::TookOver), ElementsAre(A::DisarmDeadline, A::Supersede));
  EXPECT_FALSE(upgrade.has_successor());
}

TEST(Upgrade, AReloadThatIsUnderWayEndsBeforeTheHandOver) {
  Upgrade upgrade = brought_to(UpgradeState::Starting);
  EXPECT_THAT(after(upgrade, E::BecameReady, Reloading::Yes), IsEmpty());
  EXPECT_THAT(after(upgrade, E::ReloadFinished, Reloading::Yes), IsEmpty()) << "another one has begun at once";
  EXPECT_THAT(after(upgrade, E::ReloadFinished, Reloading::No), ElementsAre(A::ArmHandOverDeadline, A::HandOver));
}

TEST(Upgrade, WhateverEndsTheSuccessorBeforeItIsInChargeIsReportedAndLeavesUsIdle) {
  for (const auto state : {UpgradeState::Offering, UpgradeState::Starting, UpgradeState::Ready, UpgradeState::HandingOver,
                           UpgradeState::Ending}) {
    Upgrade upgrade = brought_to(state);
    EXPECT_THAT(after(upgrade, E::Ended), Contains(A::ReportFailure)) << name(state);
    EXPECT_EQ(upgrade.state(), UpgradeState::Idle) << name(state);
  }
}

TEST(Upgrade, AStopWinsAtEveryInstant) {
  for (const auto state : {UpgradeState::Offering, UpgradeState::Starting, UpgradeState::Ready, UpgradeState::HandingOver}) {
    Upgrade upgrade = brought_to(state);
    EXPECT_THAT(after(upgrade, E::StopBegan), Contains(A::TellToEnd)) << name(state);
    EXPECT_THAT(after(upgrade, E::BecameReady), IsEmpty()) << name(state);
    EXPECT_THAT(after(upgrade, E::TookOver), IsEmpty()) << name(state);
    EXPECT_THAT(after(upgrade, E::DeadlinePassed), ElementsAre(A::Kill)) << name(state);
    EXPECT_TRUE(upgrade.has_successor()) << "it is waited for";
    EXPECT_THAT(after(upgrade, E::Ended), Contains(A::ReportFailure)) << name(state);
  }
}

TEST(Upgrade, AHandOverThatFailsIsTakenBackBeforeAnythingElse) {
  for (const E event : {E::Failed, E::Ended, E::StopBegan, E::HandOverFailed}) {
    Upgrade upgrade = brought_to(UpgradeState::HandingOver);
    const auto actions = after(upgrade, event);
    ASSERT_FALSE(actions.empty());
    EXPECT_EQ(actions.front(), A::TakeBack) << name(event);
  }
  Upgrade silent = brought_to(UpgradeState::HandingOver);
  EXPECT_THAT(after(silent, E::DeadlinePassed), ElementsAre(A::Kill, A::TakeBack)) << "it may be stopped, not gone";
}

TEST(Upgrade, ASuccessorThatSpeaksOutOfTurnIsEnded) {
  Upgrade early = brought_to(UpgradeState::Offering);
  EXPECT_THAT(after(early, E::BecameReady), ElementsAre(A::TellToEnd, A::ArmEndDeadline));
  Upgrade bold = brought_to(UpgradeState::Starting);
  EXPECT_THAT(after(bold, E::TookOver), ElementsAre(A::TellToEnd, A::ArmEndDeadline));
}

TEST(Upgrade, NoOrderOfEventsSupersedesWithoutAHandOverOrReportsTwice) {
  std::mt19937 random{20261122};
  for (int round = 0; round < 20'000; ++round) {
    Upgrade upgrade;
    bool handed_over = false, is_open = false;
    for (int i = 0; i < 30; ++i) {
      const auto event = static_cast<E>(std::uniform_int_distribution{0, 10}(random));
      const auto reloading = std::uniform_int_distribution{0, 1}(random) == 0 ? Reloading::No : Reloading::Yes;
      for (const A action : after(upgrade, event, reloading)) {
        if (action == A::StartSuccessor) {
          ASSERT_FALSE(is_open);
          is_open = true, handed_over = false;
        }
        if (action == A::HandOver) handed_over = true;
        if (action == A::TakeBack) handed_over = false;
        if (action == A::ReportFailure) {
          ASSERT_TRUE(is_open) << "nobody asked";
          ASSERT_FALSE(handed_over) << "the PID file would name somebody who is gone";
          is_open = false;
        }
        if (action == A::Supersede) {
          ASSERT_TRUE(handed_over);
        }
      }
      ASSERT_EQ(is_open, upgrade.has_successor() || upgrade.state() == UpgradeState::Superseded);
    }
  }
}

TEST(Upgrade, IsRefusedWhereItCannotEndWell) {
  EXPECT_EQ(upgrade_refusal({}), "");
  EXPECT_EQ(upgrade_refusal({.state = State::Starting}), "not ready yet");
  EXPECT_EQ(upgrade_refusal({.state = State::Stopping}), "stopping");
  EXPECT_EQ(upgrade_refusal({.upgrade = UpgradeState::Starting}), "another one is under way");
  EXPECT_THAT(upgrade_refusal({.is_process_1 = true}), HasSubstr("process 1"));
  EXPECT_THAT(upgrade_refusal({.is_under_init = true}), HasSubstr("Type=notify"));
  EXPECT_EQ(upgrade_refusal({.is_under_init = true, .init_listens = true}), "");
  EXPECT_THAT(upgrade_refusal({.is_supervised = true}), HasSubstr("supervise()"));
  EXPECT_THAT(upgrade_refusal({.has_new_root = true}), HasSubstr("chroot"));
  EXPECT_THAT(upgrade_refusal({.keeps_capabilities = true}), HasSubstr("ambient"));
  EXPECT_THAT(upgrade_refusal({.keeps_descriptors = true}), HasSubstr("descriptors"));
}

}  // namespace
}  // namespace perdure::daemon
