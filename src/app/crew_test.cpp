#include "app/crew.hpp"

#include <initializer_list>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::app {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr auto clean = policy::Ending::Clean;
constexpr auto failed = policy::Ending::Failed;

Member worker(std::string name, std::vector<WorkerId> after = {}, RestartPolicy restart = {}) {
  return {.name = std::move(name), .after = std::move(after), .restart = restart, .stop_within = 2s};
}
Member job(std::string name, Schedule every) { return {.name = std::move(name), .stop_within = 2s, .every = every}; }

/// A crew, the time, and what it ordered last.
struct Told {
  explicit Told(std::vector<Member> members) : crew(*check_plan(std::move(members))) {}
  std::vector<Order> operator()(const Fact& fact, double fraction = 0.5) {
    std::vector<Order> orders;
    crew.step(now, fact, fraction, orders);
    return orders;
  }
  /// Goes to the next deadline.
  std::vector<Order> next(double fraction = 0.5) {
    if (!crew.next_deadline()) return {};
    now = *crew.next_deadline();
    return (*this)(DeadlinePassed{}, fraction);
  }
  Crew crew;
  Instant now{};
};

TEST(Crew, StartsEverybodyWhoWaitsForNobody) {
  Told tell{{worker("a"), worker("b")}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(StartWorker{0, 1}, StartWorker{1, 1}));
  EXPECT_EQ(tell.crew.state(0), WorkerState::Starting);
}

TEST(Crew, StartsAWorkerOnceThoseItComesAfterAreReady) {
  Told tell{{worker("poll", {1, 2}), worker("db"), worker("cache")}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(StartWorker{1, 1}, StartWorker{2, 1}));
  EXPECT_THAT(tell(SaidReady{1, 1}), IsEmpty());
  EXPECT_THAT(tell(SaidReady{2, 1}), ElementsAre(StartWorker{0, 1}));
  EXPECT_THAT(tell(SaidReady{0, 1}), ElementsAre(CrewIsReady{}));
}

TEST(Crew, AWorkerThatHasDoneItsWorkLetsTheNextBegin) {
  Told tell{{worker("migrate"), worker("serve", {0})}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(StartWorker{0, 1}));
  EXPECT_THAT(tell(Ended{0, 1, clean}), ElementsAre(StartWorker{1, 1}));
  EXPECT_EQ(tell.crew.state(0), WorkerState::Done);
}

TEST(Crew, IsReadyOnceAndNotAgainAfterARestart) {
  Told tell{{worker("a", {}, {.delay = 1s})}};
  tell(Begun{});
  EXPECT_THAT(tell(SaidReady{0, 1}), ElementsAre(CrewIsReady{}));
  EXPECT_THAT(tell(Ended{0, 1, failed}), ElementsAre(TellOfRestart{0, 1s}));
  EXPECT_THAT(tell.next(), ElementsAre(StartWorker{0, 2}));
  EXPECT_THAT(tell(SaidReady{0, 2}), IsEmpty());
  EXPECT_EQ(tell.crew.restarts(0), 1);
}

TEST(Crew, IsReadyWithoutAnybody) {
  Told tell{{}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(CrewIsReady{})) << "an App of checks and commands runs until it is stopped";
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, PausesGrowAndAreVariedByChance) {
  Told tell{{worker("a", {}, {.delay = 1s, .delay_max = 4s, .jitter = 0.5})}};
  tell(Begun{});
  EXPECT_THAT(tell(Ended{0, 1, failed}, 0.5), ElementsAre(TellOfRestart{0, 1s}));
  EXPECT_THAT(tell.next(), ElementsAre(StartWorker{0, 2}));
  EXPECT_THAT(tell(Ended{0, 2, failed}, 0.0), ElementsAre(TellOfRestart{0, 1s})) << "2 s less a half";
}

TEST(Crew, AWorkerThatFailsTooOftenStopsTheCrew) {
  Told tell{{worker("a", {}, {.give_up_after = 2, .within = 1min}), worker("b")}};
  tell(Begun{});
  tell(Ended{0, 1, failed});
  tell.next();
  EXPECT_THAT(tell(Ended{0, 2, failed}), ElementsAre(TellOfGivingUp{0, true}, RequestStop{}));
  EXPECT_TRUE(tell.crew.has_failed());
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(TellToStop{1}));
  EXPECT_THAT(tell(Ended{1, 1, clean}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, NobodyElseIsStartedForACrewThatHasFailed) {
  Told tell{{worker("a", {}, {.when = Restart::Never}), worker("db"), worker("poll", {1})}};
  tell(Begun{});
  tell(Ended{0, 1, failed});
  EXPECT_THAT(tell(SaidReady{1, 1}), IsEmpty());
  EXPECT_EQ(tell.crew.state(2), WorkerState::Waiting);
}

TEST(Crew, AFailureThatIsNotRestartedStopsTheCrewToo) {
  Told tell{{worker("a", {}, {.when = Restart::Never})}};
  tell(Begun{});
  EXPECT_THAT(tell(Ended{0, 1, failed}), ElementsAre(TellOfGivingUp{0, false}, RequestStop{}));
  EXPECT_EQ(tell.crew.state(0), WorkerState::Failed);
}

TEST(Crew, IsDoneWhenAllItsWorkersAre) {
  Told tell{{worker("a"), worker("b"), job("tick", {.period = 1s})}};
  tell(Begun{});
  EXPECT_THAT(tell(Ended{0, 1, clean}), IsEmpty());
  EXPECT_THAT(tell(Ended{1, 1, clean}), ElementsAre(CrewIsReady{}, RequestStop{})) << "a job alone keeps nobody alive";
  EXPECT_FALSE(tell.crew.has_failed());
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, JobsAloneRunUntilTheStop) {
  Told tell{{job("tick", {.period = 1s, .run_now = true})}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(StartWorker{0, 1}, CrewIsReady{}));
  EXPECT_THAT(tell(Ended{0, 1, clean}), IsEmpty());
}

TEST(Crew, AlwaysRestartsAWorkerThatReturned) {
  Told tell{{worker("a", {}, {.when = Restart::Always, .delay = 1s})}};
  tell(Begun{});
  EXPECT_THAT(tell(Ended{0, 1, clean}), ElementsAre(TellOfRestart{0, 1s}));
}

TEST(Crew, StopsInReverseOrderOfDependencies) {
  Told tell{{worker("db"), worker("cache", {0}), worker("poll", {0, 1}), worker("web", {1})}};
  tell(Begun{});
  for (const WorkerId id : {0U, 1U, 2U, 3U}) tell(SaidReady{id, 1});
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(TellToStop{2}, TellToStop{3}));
  EXPECT_THAT(tell(Ended{2, 1, clean}), IsEmpty());
  EXPECT_THAT(tell(Ended{3, 1, failed}), ElementsAre(TellToStop{1})) << "how it ends after it was told makes no difference";
  EXPECT_THAT(tell(Ended{1, 1, clean}), ElementsAre(TellToStop{0}));
  EXPECT_THAT(tell(Ended{0, 1, clean}), ElementsAre(CrewIsOver{}));
  EXPECT_FALSE(tell.crew.has_failed());
}

TEST(Crew, AWorkerPastItsBudgetIsNamedAndTheNextAreToldAllTheSame) {
  Told tell{{worker("db"), worker("poll", {0})}};
  tell(Begun{});
  tell(SaidReady{0, 1});
  tell(SaidReady{1, 1});
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(TellToStop{1}));
  EXPECT_THAT(tell.next(), ElementsAre(NameLate{1}, TellToStop{0}));
  EXPECT_EQ(tell.now, Instant{} + 2s);
  EXPECT_THAT(tell(Ended{0, 1, clean}), IsEmpty()) << "the late one still runs";
  EXPECT_THAT(tell(Ended{1, 1, clean}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, AStopDuringTheStartStartsNobodyElse) {
  Told tell{{worker("db"), worker("poll", {0})}};
  tell(Begun{});
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(TellToStop{0}));
  EXPECT_EQ(tell.crew.state(1), WorkerState::Done) << "it never ran";
  EXPECT_THAT(tell(SaidReady{0, 1}), IsEmpty()) << "ready too late";
  EXPECT_THAT(tell(Ended{0, 1, clean}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, AStopDuringAPauseEndsAtOnce) {
  Told tell{{worker("a", {}, {.delay = 1h})}};
  tell(Begun{});
  tell(Ended{0, 1, failed});
  EXPECT_EQ(tell.crew.state(0), WorkerState::Pausing);
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(CrewIsOver{}));
  EXPECT_FALSE(tell.crew.next_deadline().has_value());
}

TEST(Crew, NobodyIsStartedAgainOnceAStopHasBegun) {
  Told tell{{worker("db", {}, {.delay = 1s}), worker("poll", {0}), worker("web", {0})}};
  tell(Begun{});
  for (const WorkerId id : {0U, 1U, 2U}) tell(SaidReady{id, 1});
  tell(StopRequested{});
  EXPECT_THAT(tell(Ended{0, 1, failed}), IsEmpty()) << "although poll and web still need it";
  EXPECT_EQ(tell.crew.state(0), WorkerState::Done);
  tell(Ended{1, 1, clean});
  EXPECT_THAT(tell(Ended{2, 1, clean}), ElementsAre(CrewIsOver{}));
}

TEST(Crew, FactsAboutARunThatIsOverAreDropped) {
  Told tell{{worker("a", {}, {.delay = 1s})}};
  tell(Begun{});
  tell(Ended{0, 1, failed});
  tell.next();
  EXPECT_THAT(tell(SaidReady{0, 1}), IsEmpty());
  EXPECT_THAT(tell(Ended{0, 1, failed}), IsEmpty());
  EXPECT_EQ(tell.crew.state(0), WorkerState::Starting);
}

TEST(Crew, AJobKeepsItsPeriodWithoutDrift) {
  Told tell{{job("tick", {.period = 10s})}};
  tell(Begun{});
  for (int k = 1; k <= 100; ++k) {
    EXPECT_THAT(tell.next(), ElementsAre(StartWorker{0, static_cast<RunId>(k)}));
    ASSERT_EQ(tell.now, Instant{} + k * 10s);
    tell.now += 3s + k * 10ms;  // however long it takes
    tell(Ended{0, static_cast<RunId>(k), k % 2 == 0 ? clean : failed});
  }
}

TEST(Crew, AJobThatOverrunsLeavesOutWhatItMissed) {
  Told tell{{job("tick", {.period = 10s, .run_now = true})}};
  tell(Begun{});
  tell.now += 25s;
  EXPECT_THAT(tell(Ended{0, 1, clean}), IsEmpty());
  EXPECT_EQ(tell.crew.next_deadline(), Instant{} + 30s);
  tell.next();
  tell.now += 10s;
  tell(Ended{0, 2, clean});
  EXPECT_EQ(tell.crew.next_deadline(), Instant{} + 50s) << "what ends on the grid waits for the next place";
}

TEST(Crew, JitterMovesAJobWithinItsFractionAndNeverTheGrid) {
  Told tell{{job("tick", {.period = 100s, .jitter = 0.1})}};
  tell(Begun{}, 0.0);
  EXPECT_EQ(tell.crew.next_deadline(), Instant{} + 90s);
  tell.next();
  tell(Ended{0, 1, clean}, 0.75);
  EXPECT_EQ(tell.crew.next_deadline(), Instant{} + 205s);
}

TEST(Crew, NowIsNowWithJitterToo) {
  Told tell{{job("tick", {.period = 100s, .jitter = 0.5, .run_now = true})}};
  EXPECT_THAT(tell(Begun{}, 0.99), ElementsAre(StartWorker{0, 1}, CrewIsReady{}));
}

TEST(Crew, JobsThatBeginTogetherDoNotRunTogether) {
  Told tell{{job("a", {.period = 100s, .jitter = 0.5}), job("b", {.period = 100s, .jitter = 0.5})}};
  tell(Begun{});
  EXPECT_THAT(tell.next(), ElementsAre(StartWorker{1, 1}));
  EXPECT_EQ(tell.crew.state(0), WorkerState::Pausing);
}

TEST(Crew, AJobComesAfterAWorkerToo) {
  Member tick = job("tick", {.period = 1s, .run_now = true});
  tick.after = {1};
  Told tell{{tick, worker("db")}};
  EXPECT_THAT(tell(Begun{}), ElementsAre(StartWorker{1, 1}));
  EXPECT_THAT(tell(SaidReady{1, 1}), ElementsAre(StartWorker{0, 1}, CrewIsReady{}));
  EXPECT_THAT(tell(StopRequested{}), ElementsAre(TellToStop{0})) << "a run that is under way is waited for";
}

TEST(Crew, RefusesPlansThatCannotBeCarriedOut) {
  const auto refusal = [](std::vector<Member> members) { return check_plan(std::move(members)).error().message(); };
  EXPECT_THAT(refusal({worker("a", {1}), worker("b", {2}), worker("c", {1})}), HasSubstr("b after c after b"));
  EXPECT_THAT(refusal({worker("a", {0})}), HasSubstr("a after a"));
  EXPECT_THAT(refusal({worker("a"), worker("a")}), HasSubstr("called \"a\""));
  EXPECT_THAT(refusal({worker("Bad name")}), HasSubstr("lower-case"));
  EXPECT_THAT(refusal({job("a", {.period = 0s})}), HasSubstr("period"));
  EXPECT_THAT(refusal({job("a", {.period = 1s, .jitter = 1.5})}), HasSubstr("jitter"));
  EXPECT_THAT(refusal({worker("a", {}, {.delay = -1s})}), HasSubstr("negative"));
}

/// Whatever arrives in whatever order: nobody runs twice at once, and a stop always ends.
TEST(Crew, EveryOrderOfFactsComesToItsEnd) {
  std::uint64_t random = 88172645463325252;
  const auto below = [&random](std::uint64_t limit) {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random % limit;
  };
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Member> members;
    const std::size_t count = 1 + below(6);
    for (std::size_t i = 0; i < count; ++i) {
      Member member = worker("w" + std::to_string(i), {}, {.when = static_cast<Restart>(below(3)), .delay = 10ms});
      if (below(4) == 0) member.every = Schedule{.period = 50ms, .jitter = 0.2, .run_now = below(2) == 0};
      for (std::size_t k = 0; k < i; ++k)
        if (below(3) == 0) member.after.push_back(k);
      members.push_back(member);
    }
    Told tell{members};
    std::vector<RunId> running(count, 0);
    std::vector<char> told(count, 0);
    bool over = false;
    const auto carry_out = [&](const std::vector<Order>& orders) {
      for (const Order& order : orders) {
        ASSERT_FALSE(over) << "nothing is ordered of a crew that is over";
        if (const auto* start = std::get_if<StartWorker>(&order)) {
          ASSERT_FALSE(tell.crew.is_stopping());
          ASSERT_EQ(running[start->worker], 0) << "it runs already";
          running[start->worker] = start->run;
        }
        if (const auto* stop = std::get_if<TellToStop>(&order)) {
          for (std::size_t later = 0; later < count; ++later)
            for (const WorkerId needed : members[later].after)
              ASSERT_TRUE(needed != stop->worker || running[later] == 0 || tell.crew.state(later) == WorkerState::Late);
          told[stop->worker] = 1;
        }
        over = std::holds_alternative<CrewIsOver>(order);
      }
    };
    carry_out(tell(Begun{}));
    for (int i = 0; i < 60; ++i) {
      const WorkerId who = below(count);
      const double fraction = static_cast<double>(below(1000)) / 1000.0;
      switch (below(3)) {
        case 0: carry_out(tell(SaidReady{who, running[who]}, fraction)); break;
        case 1:
          if (const RunId run = std::exchange(running[who], 0); run != 0)
            carry_out(tell(Ended{who, run, below(2) == 0 ? clean : failed}, fraction));
          break;
        default: carry_out(tell.next(fraction));
      }
    }
    carry_out(tell(StopRequested{}));
    for (int i = 0; i < 100 && !over; ++i) {
      for (WorkerId who = 0; who < count; ++who)
        if (told[who] != 0 && running[who] != 0 && below(2) == 0)
          carry_out(tell(Ended{who, std::exchange(running[who], 0), clean}));
      if (below(4) == 0) carry_out(tell.next());
    }
    ASSERT_TRUE(over) << round;
  }
}

}  // namespace
}  // namespace perdure::app
