#include "core/ordering.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<UnitId> list(std::span<const UnitId> units) { return {units.begin(), units.end()}; }
void set(Ordering& ordering, UnitId unit, const std::vector<UnitId>& after) { ordering.set(unit, after); }
bool every(UnitId) { return true; }

TEST(Ordering, KnowsBothEndsOfAnEdgeWhicheverIsLoadedFirst) {
  Ordering ordering;
  set(ordering, 3, {1, 2});
  set(ordering, 2, {1});
  EXPECT_THAT(list(ordering.predecessors(3)), ElementsAre(1, 2));
  EXPECT_THAT(list(ordering.followers(1)), ElementsAre(3, 2));
  EXPECT_THAT(list(ordering.followers(3)), IsEmpty());
  EXPECT_THAT(list(ordering.predecessors(77)), IsEmpty());
  EXPECT_FALSE(ordering.has_circles());
}

TEST(Ordering, ForgetsWhatASecondLoadNoLongerSays) {
  Ordering ordering;
  set(ordering, 2, {1, 3});
  set(ordering, 2, {3});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(3));
  EXPECT_THAT(list(ordering.followers(1)), IsEmpty());
}

TEST(Ordering, NamesAUnitOnceHoweverOftenItIsSaidAndNeverItself) {
  Ordering ordering;
  set(ordering, 2, {1, 2, 1});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(1));
}

TEST(Ordering, BeforeIsAfterSeenFromTheOtherEndAndBelongsToWhoSaysIt) {
  Ordering ordering;
  ordering.set(1, {}, std::vector<UnitId>{2, 2, 1});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(1));
  EXPECT_THAT(list(ordering.followers(1)), ElementsAre(2));
  set(ordering, 2, {1, 3});
  set(ordering, 2, {3});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(3, 1)) << "2 takes back what 2 said";
  set(ordering, 1, {});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(3));
  EXPECT_THAT(list(ordering.followers(1)), IsEmpty());
}

TEST(Ordering, TellsACircleWithAllItsMembersInTheirOrder) {
  Ordering ordering;
  set(ordering, 1, {2});
  set(ordering, 2, {3});
  set(ordering, 3, {4, 1});
  set(ordering, 5, {1});
  EXPECT_TRUE(ordering.has_circles());
  EXPECT_TRUE(ordering.are_in_circle(1, 3));
  EXPECT_FALSE(ordering.are_in_circle(3, 4));
  EXPECT_FALSE(ordering.are_in_circle(5, 1));
  EXPECT_FALSE(ordering.are_in_circle(4, 5)) << "two that are in none";
  EXPECT_THAT(ordering.find_cycle(every, 1), ElementsAre(1, 2, 3));
  EXPECT_THAT(ordering.find_cycle(every, 5), ElementsAre(1, 2, 3)) << "behind it";
  EXPECT_THAT(ordering.find_cycle(every, 4), IsEmpty());
}

TEST(Ordering, ACircleIsNoneWhereOneOfItDoesNotCount) {
  Ordering ordering;
  set(ordering, 1, {2});
  set(ordering, 2, {3});
  set(ordering, 3, {1});
  EXPECT_THAT(ordering.find_cycle([](UnitId unit) { return unit != 2; }, 1), IsEmpty());
  EXPECT_THAT(ordering.find_cycle([](UnitId unit) { return unit != 1; }, 1), IsEmpty());
}

TEST(Ordering, TwoCirclesAreNotOne) {
  Ordering ordering;
  set(ordering, 1, {2});
  set(ordering, 2, {1});
  set(ordering, 3, {4, 1});
  set(ordering, 4, {3});
  EXPECT_TRUE(ordering.are_in_circle(3, 4));
  EXPECT_FALSE(ordering.are_in_circle(1, 3));
}

TEST(Ordering, ForgetsACircleThatIsGone) {
  Ordering ordering;
  set(ordering, 1, {2});
  set(ordering, 2, {1});
  EXPECT_TRUE(ordering.are_in_circle(1, 2));
  set(ordering, 1, {});
  EXPECT_FALSE(ordering.has_circles());
  EXPECT_FALSE(ordering.are_in_circle(1, 2));
}

TEST(Ordering, FollowsALongChainWithoutRecursion) {
  Ordering ordering;
  constexpr UnitId length = 20'000;
  for (UnitId unit = length; unit > 1; --unit) set(ordering, unit, {unit - 1});
  EXPECT_FALSE(ordering.has_circles());
  set(ordering, 1, {length});
  EXPECT_TRUE(ordering.are_in_circle(1, length / 2));
}

}  // namespace
}  // namespace perdure::core
