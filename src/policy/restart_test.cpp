#include "policy/restart.hpp"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::policy {
namespace {

using namespace std::chrono_literals;
using base::Duration;
using base::Instant;
using testing::ElementsAre;

constexpr Restart all_restarts[] = {Restart::Never, Restart::OnFailure, Restart::Always};
constexpr Ending all_endings[] = {Ending::Clean, Ending::Failed, Ending::Killed, Ending::StopRequested};
constexpr double middle = 0.5;  // the fraction that varies nothing

std::vector<Duration> pauses(const RestartPolicy& policy, int n, Duration run_time = 0s) {
  Backoff backoff{policy};
  std::vector<Duration> all;
  for (int i = 0; i < n; ++i) all.push_back(backoff.next(run_time, middle));
  return all;
}

TEST(WantsRestart, IsTrueForTheseAndNoOthers) {
  for (const Restart when : all_restarts)
    for (const Ending ending : all_endings) {
      const bool is_failure = ending == Ending::Failed || ending == Ending::Killed;
      const bool expected =
          ending != Ending::StopRequested && (when == Restart::Always || (when == Restart::OnFailure && is_failure));
      EXPECT_EQ(wants_restart(when, ending), expected) << int(when) << ' ' << int(ending);
    }
}

TEST(Backoff, DoublesUpToItsLimit) {
  EXPECT_THAT(pauses({.delay = 100ms, .delay_max = 500ms}, 5), ElementsAre(100ms, 200ms, 400ms, 500ms, 500ms));
}

TEST(Backoff, WithoutALimitKeepsItsDelay) {
  EXPECT_THAT(pauses({.delay = 100ms}, 3), ElementsAre(100ms, 100ms, 100ms));
  EXPECT_THAT(pauses({}, 3), ElementsAre(0ms, 0ms, 0ms));
  EXPECT_THAT(pauses({.delay = 2s, .delay_max = 1s}, 2), ElementsAre(2s, 2s));
}

TEST(Backoff, FromNothingDoublesAfterAFirstRestartAtOnce) {
  EXPECT_THAT(pauses({.delay = 0ms, .delay_max = 300ms}, 4), ElementsAre(0ms, 100ms, 200ms, 300ms));
}

TEST(Backoff, StartsOverAfterAHealthyRun) {
  Backoff backoff{{.delay = 1s, .delay_max = 60s, .healthy_after = 10s}};
  EXPECT_EQ(backoff.next(0s, middle), 1s);
  EXPECT_EQ(backoff.next(9'999ms, middle), 2s);
  EXPECT_EQ(backoff.next(10s, middle), 1s);
  EXPECT_EQ(backoff.next(0s, middle), 2s);
  EXPECT_THAT(pauses({.delay = 1s, .delay_max = 60s, .healthy_after = 0s}, 3), ElementsAre(1s, 1s, 1s));
}

TEST(Backoff, HoldsTheLargestDurations) {
  for (const Duration pause : pauses({.delay = std::chrono::milliseconds::max(),
                              .delay_max = std::chrono::milliseconds::max(),
                              .jitter = 1.0,
                              .healthy_after = std::chrono::milliseconds::max()},
                                     3))
    EXPECT_EQ(pause, pause_max);
}

TEST(BackoffDeathTest, RefusesWhatNoPolicyMayHave) {
  EXPECT_DEATH((Backoff{{.delay = -1ms}}), "not negative");
  EXPECT_DEATH((Backoff{{.jitter = 1.5}}), "from 0 to 1");
  EXPECT_DEATH((void)(Backoff{{}}.next(0s, 1.0)), "random fraction");
}

RC_GTEST_PROP(Backoff, IsNeverNegativeNorFurtherThanItsJitterFromThePause, ()) {
  const RestartPolicy policy{.delay = std::chrono::milliseconds{*rc::gen::inRange(0, 100'000)},
                             .delay_max = std::chrono::milliseconds{*rc::gen::inRange(0, 1'000'000)},
                             .jitter = *rc::gen::inRange(0, 101) / 100.0,
                             .healthy_after = std::chrono::milliseconds{*rc::gen::inRange(1, 100'000)}};
  Backoff backoff{policy}, steady{policy};
  for (int i = 0; i < 20; ++i) {
    const Duration run_time = std::chrono::milliseconds{*rc::gen::inRange(0, 200'000)};
    const Duration pause = backoff.next(run_time, *rc::gen::inRange(0, 1000) / 1000.0);
    const Duration plain = steady.next(run_time, middle);
    const auto spread = static_cast<double>(plain.count()) * policy.jitter + 2;
    RC_ASSERT(pause >= Duration::zero());
    RC_ASSERT(static_cast<double>((pause > plain ? pause - plain : plain - pause).count()) <= spread);
    RC_ASSERT(plain >= policy.delay || plain == Duration::zero());
    RC_ASSERT(plain <= std::max(policy.delay, policy.delay_max));
  }
}

TEST(StartBudget, IsSpentByThatManyStartsInTheWindow) {
  StartBudget budget{{.give_up_after = 2, .within = 10s}};
  const Instant t{};
  EXPECT_TRUE(budget.allows(t));
  budget.started(t);
  EXPECT_TRUE(budget.allows(t));
  budget.started(t + 4s);
  EXPECT_FALSE(budget.allows(t + 9s));
  EXPECT_TRUE(budget.allows(t + 10s)) << "the first start has left the window";
  budget.started(t + 10s);
  EXPECT_FALSE(budget.allows(t + 13s));
  EXPECT_TRUE(budget.allows(t + 14s));
}

TEST(StartBudget, WithoutAWindowCountsAllStarts) {
  StartBudget budget{{.give_up_after = 1}};
  budget.started(Instant{});
  EXPECT_FALSE(budget.allows(Instant{} + 1'000'000h));
}

TEST(StartBudget, OfZeroIsNeverSpent) {
  StartBudget budget{{.give_up_after = 0}};
  for (int i = 0; i < 100; ++i) budget.started(Instant{});
  EXPECT_TRUE(budget.allows(Instant{}));
}

RC_GTEST_PROP(StartBudget, NeverAllowsMoreStartsInAnyWindow, ()) {
  const auto limit = *rc::gen::inRange<unsigned>(1, 6);
  const std::chrono::milliseconds window{*rc::gen::inRange(1, 50)};
  StartBudget budget{{.give_up_after = limit, .within = window}};
  std::vector<Instant> starts;
  Instant now{};
  for (int i = 0; i < 60; ++i) {
    now += std::chrono::milliseconds{*rc::gen::inRange(0, 20)};
    const auto recent = std::count_if(starts.begin(), starts.end(), [&](Instant start) { return now - start < window; });
    const bool is_allowed = recent < static_cast<std::ptrdiff_t>(limit);
    RC_ASSERT(budget.allows(now) == is_allowed);
    RC_ASSERT(budget.try_start(now) == is_allowed);
    if (is_allowed) starts.push_back(now);
  }
}

TEST(Restarts, JoinTheTableTheBudgetAndThePauses) {
  Restarts restarts{{.when = Restart::OnFailure, .delay = 1s, .delay_max = 8s, .give_up_after = 3, .within = 60s}};
  Instant now{};
  EXPECT_EQ(restarts.count(), 0u);
  restarts.started(now);
  EXPECT_EQ(restarts.ended(Ending::Failed, now, middle), (RestartDecision{Verdict::Restart, 1s}));
  restarts.started(now += 1s);
  EXPECT_EQ(restarts.ended(Ending::Killed, now, middle), (RestartDecision{Verdict::Restart, 2s}));
  restarts.started(now += 2s);
  EXPECT_EQ(restarts.count(), 2u);
  EXPECT_EQ(restarts.ended(Ending::Failed, now, middle), (RestartDecision{Verdict::GiveUp, 0s}));
  EXPECT_EQ(restarts.ended(Ending::Clean, now, middle), (RestartDecision{Verdict::Finish, 0s}));
}

TEST(Restarts, CountTheBudgetAtTheMomentOfTheRestart) {
  Restarts restarts{{.when = Restart::Always, .delay = 10s, .give_up_after = 1, .within = 10s}};
  restarts.started(Instant{});
  EXPECT_EQ(restarts.ended(Ending::Failed, Instant{}, middle).verdict, Verdict::Restart);
}

TEST(Restarts, AfterARequestedStopNeverRestartWhateverThePolicy) {
  for (const Restart when : all_restarts) {
    Restarts restarts{{.when = when}};
    restarts.started(Instant{});
    EXPECT_EQ(restarts.ended(Ending::StopRequested, Instant{} + 1h, middle).verdict, Verdict::Finish);
  }
}

}  // namespace
}  // namespace perdure::policy
