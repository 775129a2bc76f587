#include "core/transaction.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/print.hpp"

namespace perdure::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr ServiceState up = ServiceState::Running;

class TransactionTest : public testing::Test {
 protected:
  void load(UnitId id, ServiceSettings settings, ServiceState state = ServiceState::Dead) {
    relations.replace(id, {}, settings);
    ordering.set(id, settings.after, settings.before);
    units[id] = Unit{.record = {.unit = id, .state = state}, .settings = std::move(settings)};
  }
  void put_in_flight(UnitId id, JobType type) {
    units[id].record.job = 77;
    units[id].record.job_type = type;
  }
  Transaction make(Transaction::Cause cause = Transaction::Cause::Asked) const {
    return {units, relations, ordering, cause};
  }
  /// What one request means: "1 start, 2 stop", or how it ends.
  std::string plan(UnitId id, JobType type, Transaction::Cause cause = Transaction::Cause::Asked) const {
    Transaction transaction = make(cause);
    const auto problem = transaction.add(id, type);
    return problem ? std::string{name(*problem)} : text(transaction);
  }
  static std::string text(const Transaction& transaction) {
    std::string all;
    for (const auto& [id, type] : transaction.jobs())
      all += (all.empty() ? "" : ", ") + std::to_string(id) + ' ' + std::string{name(type)};
    return all;
  }

  Units units{};
  Relations relations{};
  Ordering ordering{};
};

TEST_F(TransactionTest, AStartPullsInWhatIsRequiredAndWanted) {
  load(1, {.wants = {2}, .requires_ = {3}, .binds_to = {4}, .upholds = {5}});
  for (const UnitId id : {2U, 3U, 4U, 5U}) load(id, {});
  EXPECT_EQ(plan(1, JobType::Start), "1 start, 2 start, 3 start, 4 start, 5 start");
}

TEST_F(TransactionTest, WhatIsUpAlreadyIsLeftAloneAndWhatIsOnItsWayGetsAJobToWaitFor) {
  load(1, {.wants = {2, 3, 4}});
  load(2, {}, up);
  load(3, {}, ServiceState::AutoRestart);
  load(4, {}, ServiceState::Start);
  EXPECT_EQ(plan(1, JobType::Start), "1 start, 3 start, 4 start");
  load(5, {}, up);
  EXPECT_EQ(plan(5, JobType::Start), "5 start") << "asked for, it is answered";
}

TEST_F(TransactionTest, WhatIsBeingStoppedIsStartedForWhoRequiresItAndNotForWhoWantsIt) {
  load(1, {.wants = {3}});
  load(2, {.requires_ = {3}});
  load(3, {}, up);
  put_in_flight(3, JobType::Stop);
  EXPECT_EQ(plan(1, JobType::Start), "1 start");
  EXPECT_EQ(plan(2, JobType::Start), "2 start, 3 start");
}

TEST_F(TransactionTest, WhatIsOnlyWantedAndImpossibleIsLeftOutWithAllThatItNeeded) {
  load(1, {.wants = {2, 4}});
  load(2, {.wants = {3}, .requires_ = {5, 6}});
  load(3, {});
  load(4, {});
  load(5, {});
  load(6, {.cannot_start = true});
  EXPECT_EQ(plan(1, JobType::Start), "1 start, 4 start");
}

TEST_F(TransactionTest, WhatIsRequiredAndImpossibleMakesAllOfItImpossible) {
  load(1, {.requires_ = {2}});
  load(2, {.requires_ = {99}});
  EXPECT_EQ(plan(1, JobType::Start), "dependency") << "not loaded";
  load(3, {.cannot_start = true});
  EXPECT_EQ(plan(3, JobType::Start), "dependency");
  EXPECT_EQ(plan(3, JobType::Restart), "dependency");
  EXPECT_EQ(plan(3, JobType::Stop), "3 stop");
}

TEST_F(TransactionTest, RequisiteMustBeUpOrBeStartedByTheSameRequest) {
  load(1, {.requisite = {2}});
  load(2, {});
  EXPECT_EQ(plan(1, JobType::Start), "dependency");
  Transaction both = make();
  EXPECT_EQ(both.add(2, JobType::Start), std::nullopt);
  EXPECT_EQ(both.add(1, JobType::Start), std::nullopt);
  units[2].record.state = up;
  EXPECT_EQ(plan(1, JobType::Start), "1 start");
  put_in_flight(2, JobType::Stop);
  EXPECT_EQ(plan(1, JobType::Start), "dependency");
}

TEST_F(TransactionTest, AStartStopsWhatConflictsWhicheverOfThemSaysSo) {
  load(1, {.conflicts = {2, 4}});
  load(2, {}, up);
  load(3, {.conflicts = {1}}, up);
  load(4, {});
  load(5, {.requires_ = {2}}, up);
  EXPECT_EQ(plan(1, JobType::Start), "1 start, 2 stop, 3 stop, 5 stop");
}

TEST_F(TransactionTest, ARequestThatContradictsItselfIsRefusedAndNothingOfItIsDone) {
  load(1, {.requires_ = {2}, .conflicts = {2}});
  load(2, {}, up);
  EXPECT_EQ(plan(1, JobType::Start), "refused");
  load(3, {.wants = {4}, .requires_ = {2}});
  load(4, {.conflicts = {2}});
  EXPECT_EQ(plan(3, JobType::Start), "3 start") << "what is wanted gives way, and leaves nothing behind";
}

TEST_F(TransactionTest, TheSecondRequestOfOneThatContradictsTheFirstIsRefusedAlone) {
  load(1, {}, up);
  load(2, {.requires_ = {1}}, up);
  Transaction transaction = make();
  EXPECT_EQ(transaction.add(2, JobType::Restart), std::nullopt);
  EXPECT_EQ(transaction.add(1, JobType::Stop), JobResult::Refused);
  EXPECT_EQ(text(transaction), "2 restart");
}

TEST_F(TransactionTest, AStopTakesAlongWhoDependsOnItAndNobodyWhoOnlyWantsIt) {
  load(1, {}, up);
  load(2, {.requires_ = {1}}, up);
  load(3, {.binds_to = {2}}, up);
  load(4, {.part_of = {1}}, up);
  load(5, {.requisite = {1}}, up);
  load(6, {.wants = {1}, .upholds = {1}}, up);
  load(7, {.requires_ = {1}});
  EXPECT_EQ(plan(1, JobType::Stop), "1 stop, 2 stop, 3 stop, 4 stop, 5 stop") << "7 is down already";
  put_in_flight(7, JobType::Start);
  EXPECT_EQ(plan(1, JobType::Stop), "1 stop, 2 stop, 3 stop, 4 stop, 5 stop, 7 stop") << "but not any more";
}

TEST_F(TransactionTest, ARestartTakesAlongWhoIsUpAndStartsWhatItNeeds) {
  load(1, {.requires_ = {5}}, up);
  load(2, {.requires_ = {1}}, up);
  load(3, {.part_of = {1}});
  load(4, {.binds_to = {2}}, up);
  load(5, {});
  EXPECT_EQ(plan(1, JobType::Restart), "1 restart, 2 restart, 4 restart, 5 start");
  EXPECT_EQ(plan(1, JobType::TryRestart), "1 restart, 2 restart, 4 restart, 5 start");
}

TEST_F(TransactionTest, AReloadGoesOnToThoseThatAreUp) {
  load(1, {.reload_to = {2, 3, 9}}, up);
  load(2, {.reload_to = {4}}, up);
  load(3, {});
  load(4, {}, up);
  EXPECT_EQ(plan(1, JobType::Reload), "1 reload, 2 reload");
}

TEST_F(TransactionTest, AReloadAndAStartOfUnitsThatWantEachOtherComeToAnEnd) {
  load(1, {.wants = {2}}, up);
  load(2, {.wants = {1}}, up);
  put_in_flight(1, JobType::Stop);
  put_in_flight(2, JobType::Stop);
  Transaction transaction = make();
  EXPECT_EQ(transaction.add(1, JobType::Reload), std::nullopt);
  EXPECT_EQ(transaction.add(2, JobType::Start), std::nullopt);
  EXPECT_EQ(text(transaction), "1 reload, 2 start");
}

TEST_F(TransactionTest, WhoWouldWaitForEachOtherIsLeftOutWhereItIsWantedAndRefusedWhereItIsAskedFor) {
  load(1, {.after = {2}});
  load(2, {.after = {3}});
  load(3, {.wants = {1}, .after = {1}});
  load(4, {.wants = {1, 2, 3, 5}});
  load(5, {});
  load(6, {.requires_ = {1, 2, 3}});
  Transaction wanting = make();
  EXPECT_EQ(wanting.add(4, JobType::Start), std::nullopt);
  EXPECT_EQ(text(wanting), "4 start, 5 start");
  EXPECT_THAT(wanting.cycles(), ElementsAre(ElementsAre(1, 2, 3)));
  EXPECT_EQ(plan(6, JobType::Start), "dependency");
  EXPECT_EQ(plan(1, JobType::Start), "1 start") << "one alone waits for nobody";
  EXPECT_EQ(plan(2, JobType::Start), "2 start");
  put_in_flight(1, JobType::Start);
  put_in_flight(2, JobType::Start);
  EXPECT_EQ(plan(3, JobType::Start), "refused") << "with those that are in flight";
  EXPECT_EQ(plan(3, JobType::Stop), "3 stop");
}

TEST_F(TransactionTest, WhatAPersonStoppedStaysDownUnlessAPersonAsks) {
  load(1, {.wants = {2}});
  load(2, {});
  load(3, {.requires_ = {2}});
  units[2].record.is_held_down = true;
  EXPECT_EQ(plan(1, JobType::Start), "1 start, 2 start");
  EXPECT_EQ(plan(1, JobType::Start, Transaction::Cause::Automatic), "1 start");
  EXPECT_EQ(plan(3, JobType::Start), "2 start, 3 start");
  EXPECT_EQ(plan(3, JobType::Start, Transaction::Cause::Automatic), "dependency");
}

TEST_F(TransactionTest, LongChainsAndCrowdsArePlannedEachUnitOnce) {
  constexpr UnitId length = 2'000;
  for (UnitId id = 1; id <= length; ++id)
    load(id, {.requires_ = id < length ? std::vector<UnitId>{id + 1} : std::vector<UnitId>{}}, up);
  Transaction stop = make();
  EXPECT_EQ(stop.add(length, JobType::Stop), std::nullopt);
  EXPECT_EQ(stop.jobs().size(), length);
  for (auto& [id, unit] : units) unit.record.state = ServiceState::Dead;
  Transaction start = make();
  EXPECT_EQ(start.add(1, JobType::Start), std::nullopt);
  EXPECT_EQ(start.jobs().size(), length);
  EXPECT_THAT(start.cycles(), IsEmpty());
}

}  // namespace
}  // namespace perdure::core
