#include "app/checks.hpp"

#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::app {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::Instant start{};

Check readiness(std::string name, CheckOptions options = {}) { return {std::move(name), false, options}; }
Check liveness(std::string name, CheckOptions options = {}) { return {std::move(name), true, options}; }

TEST(Checks, AreAskedAtOnceAndThenAsOftenAsTheySay) {
  Checks checks{{readiness("sensor", {.every = 5s})}, start};
  EXPECT_THAT(checks.take_due(start), ElementsAre(0));
  EXPECT_THAT(checks.take_due(start + 1h), IsEmpty()) << "not again before it has answered";
  checks.begun(0, start);
  ASSERT_TRUE(checks.answered(0, start + 10ms, Health::good()).has_value());
  EXPECT_EQ(checks.next_deadline(), start + 10ms + 5s);
  EXPECT_TRUE(checks.are_ready());
}

TEST(Checks, AreAskedMoreOftenUntilAllHavePassed) {
  Checks checks{{readiness("sensor", {.every = 5s}), liveness("disk", {.every = 5s})}, start};
  EXPECT_THAT(checks.take_due(start), ElementsAre(0, 1));
  (void)checks.answered(0, start, Health::bad("cold"));
  (void)checks.answered(1, start, Health::good());
  EXPECT_FALSE(checks.are_ready());
  EXPECT_TRUE(checks.is_missing(0));
  EXPECT_THAT(checks.take_due(start + unready_interval), ElementsAre(0));
}

TEST(Checks, OneThatHasPassedOnceKeepsNobodyWaiting) {
  Checks checks{{readiness("sensor")}, start};
  (void)checks.answered(0, start, Health::good());
  const auto change = checks.answered(0, start + 1s, Health::bad("gone"));
  ASSERT_TRUE(change.has_value());
  EXPECT_EQ(change->why, "gone");
  EXPECT_FALSE(checks.passes(0));
  EXPECT_TRUE(checks.are_ready()) << "ready is said once";
}

TEST(Checks, TellOfAResultOnlyWhenItIsNew) {
  Checks checks{{liveness("disk")}, start};
  EXPECT_TRUE(checks.answered(0, start, Health::good()).has_value()) << "the first one";
  EXPECT_FALSE(checks.answered(0, start, Health::good()).has_value());
  EXPECT_TRUE(checks.answered(0, start, Health::bad("full")).has_value());
  EXPECT_FALSE(checks.answered(0, start, Health::bad("fuller")).has_value());
  EXPECT_EQ(checks.why(0), "fuller");
}

TEST(Checks, RefusesWhatCannotBeAsked) {
  using ::testing::HasSubstr;
  EXPECT_THAT(check_checks({readiness("a"), liveness("a")}).error().message(), HasSubstr("two checks"));
  EXPECT_THAT(check_checks({readiness("A check")}).error().message(), HasSubstr("lower-case"));
  EXPECT_THAT(check_checks({readiness("a", {.every = 0s})}).error().message(), HasSubstr("not positive"));
  EXPECT_TRUE(check_checks({readiness("a"), liveness("b")}).has_value());
}

TEST(Checks, OneThatTakesTooLongHasFailedUntilItAnswers) {
  Checks checks{{liveness("disk", {.within = 100ms}), liveness("net", {.within = 1s})}, start};
  EXPECT_TRUE(checks.passes(0)) << "not asked yet";
  (void)checks.take_due(start);
  checks.begun(0, start);
  EXPECT_EQ(checks.next_deadline(), start + 100ms);
  const auto overdue = checks.take_overdue(start + 100ms);
  ASSERT_EQ(overdue.size(), 1);
  EXPECT_EQ(overdue[0].check, 0);
  EXPECT_EQ(overdue[0].why, "no answer within 100 ms");
  EXPECT_TRUE(checks.passes(1)) << "who waits for its turn is not to blame";
  EXPECT_FALSE(checks.next_deadline().has_value());
  const auto back = checks.answered(0, start + 5s, Health::good());
  ASSERT_TRUE(back.has_value());
  EXPECT_TRUE(back->passed);
}

}  // namespace
}  // namespace perdure::app
