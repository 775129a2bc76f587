#include "core/relations.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::core {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Relations, ShowEachKindOfDependencyFromItsOtherEnd) {
  Relations relations;
  relations.replace(
      1, {},
      {.requires_ = {2}, .requisite = {3}, .binds_to = {4}, .part_of = {5}, .upholds = {6}, .conflicts = {7}, .after = {8}});
  EXPECT_THAT(relations.of(2).required_by, ElementsAre(1));
  EXPECT_THAT(relations.of(3).requisite_of, ElementsAre(1));
  EXPECT_THAT(relations.of(4).bound_by, ElementsAre(1));
  EXPECT_THAT(relations.of(5).consists_of, ElementsAre(1));
  EXPECT_THAT(relations.of(6).upheld_by, ElementsAre(1));
  EXPECT_THAT(relations.of(7).conflicted_by, ElementsAre(1));
  EXPECT_THAT(relations.of(2).bound_by, IsEmpty());
  EXPECT_THAT(relations.of(99).required_by, IsEmpty());
}

TEST(Relations, ForgetWhatASecondLoadNoLongerSaysAndKeepWhatOthersSay) {
  Relations relations;
  relations.replace(1, {}, {.requires_ = {9}});
  relations.replace(2, {}, {.requires_ = {9}});
  relations.replace(1, {.requires_ = {9}}, {.binds_to = {9}});
  EXPECT_THAT(relations.of(9).required_by, ElementsAre(2));
  EXPECT_THAT(relations.of(9).bound_by, ElementsAre(1));
}

TEST(Relations, CountEachOnceAndNobodyWithItself) {
  Relations relations;
  relations.replace(1, {}, {.requires_ = {2, 2, 1}});
  relations.replace(1, {.requires_ = {2, 2, 1}}, {.requires_ = {2, 2, 1}});
  EXPECT_THAT(relations.of(2).required_by, ElementsAre(1));
  EXPECT_THAT(relations.of(1).required_by, IsEmpty());
}

}  // namespace
}  // namespace perdure::core
