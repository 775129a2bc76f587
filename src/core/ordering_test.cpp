#include "core/ordering.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<UnitId> list(std::span<const UnitId> units) { return {units.begin(), units.end()}; }
std::vector<UnitId> set(Ordering& ordering, UnitId unit, std::vector<UnitId> after) {
  return ordering.set_predecessors(unit, after);
}

TEST(Ordering, KnowsBothEndsOfAnEdgeWhicheverIsLoadedFirst) {
  Ordering ordering;
  EXPECT_THAT(set(ordering, 3, {1, 2}), IsEmpty());
  EXPECT_THAT(set(ordering, 2, {1}), IsEmpty());
  EXPECT_THAT(list(ordering.predecessors(3)), ElementsAre(1, 2));
  EXPECT_THAT(list(ordering.followers(1)), ElementsAre(3, 2));
  EXPECT_THAT(list(ordering.followers(3)), IsEmpty());
  EXPECT_THAT(list(ordering.predecessors(77)), IsEmpty());
}

TEST(Ordering, ForgetsWhatASecondLoadNoLongerSays) {
  Ordering ordering;
  set(ordering, 2, {1, 3});
  set(ordering, 2, {3});
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(3));
  EXPECT_THAT(list(ordering.followers(1)), IsEmpty());
}

TEST(Ordering, NamesAUnitOnceHoweverOftenItIsSaid) {
  Ordering ordering;
  EXPECT_THAT(set(ordering, 2, {1, 1}), IsEmpty());
  EXPECT_THAT(list(ordering.predecessors(2)), ElementsAre(1));
}

TEST(Ordering, LeavesOutTheEdgeThatWouldCloseACircle) {
  Ordering ordering;
  EXPECT_THAT(set(ordering, 1, {1}), ElementsAre(1)) << "itself";
  set(ordering, 1, {2});
  set(ordering, 2, {3});
  EXPECT_THAT(set(ordering, 3, {4, 1}), ElementsAre(1));
  EXPECT_THAT(list(ordering.predecessors(3)), ElementsAre(4));
  EXPECT_THAT(list(ordering.predecessors(1)), ElementsAre(2)) << "the others keep theirs";
}

TEST(Ordering, TakesAnEdgeAgainOnceTheCircleIsGone) {
  Ordering ordering;
  set(ordering, 1, {2});
  EXPECT_THAT(set(ordering, 2, {1}), ElementsAre(1));
  set(ordering, 1, {});
  EXPECT_THAT(set(ordering, 2, {1}), IsEmpty());
}

TEST(Ordering, FollowsALongChainWithoutRecursion) {
  Ordering ordering;
  constexpr UnitId length = 20'000;
  for (UnitId unit = length; unit > 1; --unit) set(ordering, unit, {unit - 1});
  EXPECT_THAT(set(ordering, 1, {length}), ElementsAre(length));
}

}  // namespace
}  // namespace perdure::core
