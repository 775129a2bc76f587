#include "core/engine.hpp"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/print.hpp"

namespace perdure::core {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr UnitId web = 1;
constexpr UnitId many = 4000;

class EngineTest : public testing::Test {
 protected:
  /// What a step orders, one line each.
  std::vector<std::string> step(const Event& event) {
    ActionList actions;
    engine.step(now, event, actions);
    std::vector<std::string> lines;
    for (const Action& action : actions) lines.push_back(to_text(action));
    return lines;
  }
  void load(UnitId unit, ServiceSettings settings = {}) { step(UnitLoaded{unit, std::move(settings)}); }
  ServiceState state(UnitId unit) const { return engine.record(unit)->state; }

  Engine engine{};
  base::Instant now = base::Instant{} + 1000s;
};

TEST_F(EngineTest, RefusesAJobThatItCannotCarryOut) {
  load(web);
  step(RecoveryCompleted{});
  EXPECT_THAT(step(JobRequested{.job = 5, .type = JobType::Start, .unit = 77}), ElementsAre("FinishJob #77 job=5 refused"));
  EXPECT_THAT(step(JobRequested{.job = no_job, .type = JobType::Start, .unit = web}), IsEmpty());
  EXPECT_THAT(step(JobRequested{.job = unasked_job, .type = JobType::Start, .unit = web}), IsEmpty());
  EXPECT_EQ(state(web), ServiceState::Dead);
  EXPECT_EQ(engine.record(77), nullptr);
}

TEST_F(EngineTest, CarriesOutNoJobAndLetsNoDeadlinePassBeforeTheRecoveryIsCompleted) {
  load(web);
  step(UnitRestored{{.unit = web, .state = ServiceState::AutoRestart, .run = 1, .spawn = 1, .deadline = now - 1s}});
  EXPECT_THAT(step(DeadlinePassed{}), IsEmpty());
  EXPECT_EQ(engine.next_deadline(), std::nullopt);
  step(JobRequested{.job = 1, .type = JobType::Stop, .unit = web});
  EXPECT_EQ(state(web), ServiceState::AutoRestart);
  step(RecoveryCompleted{});
  EXPECT_EQ(state(web), ServiceState::Dead);
}

TEST_F(EngineTest, IgnoresARecordOfAUnitThatIsNotLoaded) {
  step(UnitRestored{{.unit = 9, .state = ServiceState::Running, .run = 1}});
  EXPECT_THAT(engine.snapshot(), IsEmpty());
  EXPECT_EQ(engine.ignored(), 1u);
}

TEST_F(EngineTest, TakesOverTheNewestRunThatTheKeeperHasWhereTheJournalIsLost) {
  load(web, {.restart = RestartWhen::Always, .restart_sec = 0s});
  EXPECT_THAT(step(ProcessExited{{web, 4, 1}, {ExitKind::Killed, 9}}), IsEmpty());
  step(ProcessStarted{{web, 6, 1}});
  step(RunEmptied{{web, 5}});
  EXPECT_THAT(step(RecoveryCompleted{}),
              ElementsAre("RecordUnit #1 running run=6/1 main=executed", "WatchRun #1/4", "WatchRun #1/5", "WatchRun #1/6",
                          "AnnounceState #1 dead -> running (success)"));
}

TEST_F(EngineTest, NeverGivesTheNumberOfARunTwice) {
  load(web);
  step(RunEmptied{{web, 41}});
  step(RecoveryCompleted{});
  step(JobRequested{.job = 1, .type = JobType::Start, .unit = web});
  EXPECT_EQ(engine.record(web)->run, 42u);
}

TEST_F(EngineTest, NewSettingsCountFromNowOnAndLeaveARunningDeadlineAlone) {
  load(web, {.timeout_stop = 5s});
  step(RecoveryCompleted{});
  step(JobRequested{.job = 1, .type = JobType::Start, .unit = web});
  step(ProcessStarted{{web, 1, 1}});
  step(JobRequested{.job = 2, .type = JobType::Stop, .unit = web});
  load(web, {.timeout_stop = 50s, .send_sigkill = false});
  EXPECT_EQ(engine.next_deadline(), now + 5s);
  now += 5s;
  step(DeadlinePassed{});
  EXPECT_EQ(state(web), ServiceState::StopSigterm) << "SendSIGKILL=no";
}

TEST_F(EngineTest, AnInfiniteTimeoutIsNoDeadlineAndAnAbsurdOneDoesNotWrapAround) {
  load(web, {.timeout_start = std::nullopt});
  load(2, {.timeout_start = base::Duration::max()});
  step(RecoveryCompleted{});
  step(JobsRequested{{{1, JobType::Start, web}, {2, JobType::Start, 2}}});
  EXPECT_EQ(engine.next_deadline(), std::nullopt);
}

TEST_F(EngineTest, WhoWouldWaitForEachOtherInACircleIsNotStartedAndTheCircleIsTold) {
  load(1, {.after = {2}});
  load(2, {.after = {3}});
  load(3, {.after = {1}});
  load(4, {.wants = {1, 2, 3}, .after = {1, 2, 3}});
  step(RecoveryCompleted{});
  EXPECT_THAT(step(JobsRequested{{{1, JobType::Start, 1}, {2, JobType::Start, 2}, {3, JobType::Start, 3}}}),
              Contains("AnnounceCycle #3 #1 #2"));
  EXPECT_EQ(state(3), ServiceState::Dead);
  step(JobRequested{.job = 4, .type = JobType::Start, .unit = 4});
  for (const UnitId unit : {1U, 2U}) {
    EXPECT_NE(state(unit), ServiceState::Running);
  }
}

TEST_F(EngineTest, ThoseThatAreInACircleAreStoppedAllTheSame) {
  load(1, {.after = {2}});
  load(2, {.after = {1}});
  step(RecoveryCompleted{});
  for (const UnitId unit : {1U, 2U}) {
    step(JobRequested{.job = unit, .type = JobType::Start, .unit = unit});
    step(ProcessStarted{{unit, 1, 1}});
    ASSERT_EQ(state(unit), ServiceState::Running) << "one after the other they start";
  }
  step(ShutdownRequested{});
  EXPECT_EQ(state(1), ServiceState::StopSigterm);
  EXPECT_EQ(state(2), ServiceState::StopSigterm);
}

TEST_F(EngineTest, StartsFourThousandUnitsInTheirOrderAndStopsThemInTheOther) {
  for (UnitId unit = 1; unit <= many; ++unit)
    load(unit, {.after = unit == 1 ? std::vector<UnitId>{} : std::vector<UnitId>{unit - 1}});
  step(RecoveryCompleted{});
  JobsRequested all;
  for (UnitId unit = many; unit >= 1; --unit) all.jobs.push_back({.job = unit, .type = JobType::Start, .unit = unit});
  step(all);
  for (UnitId unit = 1; unit <= many; ++unit) {
    ASSERT_EQ(state(unit), ServiceState::Start);
    // The answer to this one, and the start of the next: a step knows of its neighbours only.
    ASSERT_EQ(step(ProcessStarted{{unit, 1, 1}}).size(), unit == many ? 3u : 6u);
  }
  step(ShutdownRequested{});
  std::vector<std::string> lines;
  for (UnitId unit = many; unit >= 1; --unit) {
    ASSERT_EQ(state(unit), ServiceState::StopSigterm);
    step(RunEmptied{{unit, 1}});
    lines = step(ProcessExited{{unit, 1, 1}, {ExitKind::Exited, 0}});
    ASSERT_EQ(state(unit), ServiceState::Dead);
  }
  EXPECT_EQ(lines.back(), "AnnounceAllStopped");
}

TEST_F(EngineTest, AShutdownOfNothingIsOverAtOnceAndSaidOnce) {
  load(web);
  step(RecoveryCompleted{});
  EXPECT_THAT(step(ShutdownRequested{}), ElementsAre("AnnounceAllStopped"));
  EXPECT_THAT(step(ShutdownRequested{}), IsEmpty());
}

TEST_F(EngineTest, TheRestartPathIsTheRecordAndTheSpawnBeforeAnythingElse) {
  load(web, {.restart = RestartWhen::Always, .restart_sec = 0s});
  step(RecoveryCompleted{});
  step(JobRequested{.job = 1, .type = JobType::Start, .unit = web});
  step(ProcessStarted{{web, 1, 1}});
  step(ProcessExited{{web, 1, 1}, {ExitKind::Killed, 9}});
  EXPECT_THAT(step(RunEmptied{{web, 1}}),
              ElementsAre(testing::StartsWith("RecordUnit #1 start run=2/1"), "SpawnProcess #1/2/1", "ReleaseRun #1/1",
                          testing::StartsWith("AnnounceState"), testing::StartsWith("AnnounceState")));
}

TEST_F(EngineTest, AStopOfManyDependentUnitsIsWorkForEachOfThemOnce) {
  constexpr UnitId crowd = 1000;
  load(web);
  for (UnitId unit = 2; unit <= crowd; ++unit) load(unit, {.requires_ = {web}, .after = {web}});
  step(RecoveryCompleted{});
  JobsRequested all;
  for (UnitId unit = 1; unit <= crowd; ++unit) all.jobs.push_back({.job = unit, .type = JobType::Start, .unit = unit});
  step(all);
  for (UnitId unit = 1; unit <= crowd; ++unit) step(ProcessStarted{{unit, 1, 1}});
  // One record, one signal and one announcement each; of the one that all of them go before, the record alone.
  EXPECT_EQ(step(JobRequested{.job = 9999, .type = JobType::Stop, .unit = web}).size(), (crowd - 1) * 3 + 1);
  std::size_t actions = 0;
  for (UnitId unit = 2; unit <= crowd; ++unit) {
    step(RunEmptied{{unit, 1}});
    actions += step(ProcessExited{{unit, 1, 1}, {ExitKind::Exited, 0}}).size();
  }
  // Record, release and announcement; with the last one's end the stop of the first begins: record, signal, announcement.
  EXPECT_EQ(actions, (crowd - 1) * 3 + 3);
  EXPECT_EQ(state(web), ServiceState::StopSigterm);
}

TEST_F(EngineTest, ManyThatFailWithOneRequirementHearItInOneStepWithoutRecursion) {
  constexpr UnitId length = 20'000;
  load(1);
  for (UnitId unit = 2; unit <= length; ++unit) load(unit, {.requires_ = {unit - 1}, .after = {unit - 1}});
  step(RecoveryCompleted{});
  JobsRequested all;
  for (UnitId unit = 1; unit <= length; ++unit) all.jobs.push_back({.job = unit, .type = JobType::Start, .unit = unit});
  step(all);
  const std::vector<std::string> lines = step(SpawnFailed{{1, 1, 1}, SpawnProblem::Permanent});
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](const std::string& line) { return line.ends_with("dependency"); }),
            length - 1);
}

TEST_F(EngineTest, ACanceledStopDoesNotKeepAShutdownFromStopping) {
  load(web);
  load(2, {.after = {web}});
  step(RecoveryCompleted{});
  step(JobsRequested{{{1, JobType::Start, web}, {2, JobType::Start, 2}}});
  step(ProcessStarted{{web, 1, 1}});
  step(ProcessStarted{{2, 1, 1}});
  step(JobRequested{.job = 3, .type = JobType::Stop, .unit = web});
  step(ShutdownRequested{});
  EXPECT_THAT(step(JobCanceled{3}), Contains("FinishJob #1 job=3 canceled"));
  step(RunEmptied{{2, 1}});
  step(ProcessExited{{2, 1, 1}, {ExitKind::Exited, 0}});
  step(RunEmptied{{web, 1}});
  EXPECT_THAT(step(ProcessExited{{web, 1, 1}, {ExitKind::Exited, 0}}), Contains("AnnounceAllStopped"));
}

TEST_F(EngineTest, TheEmptinessOfARunThatSomethingWasStartedInSinceIsNoNews) {
  ServiceSettings settings{.kill_mode = KillMode::Process};
  settings.commands[static_cast<std::size_t>(CommandPhase::Stop)] = {.count = 1};
  load(web, settings);
  step(RecoveryCompleted{});
  step(JobRequested{.job = 1, .type = JobType::Start, .unit = web});
  step(ProcessStarted{{web, 1, 1}});
  step(JobRequested{.job = 2, .type = JobType::Restart, .unit = web});
  EXPECT_THAT(step(RunEmptied{{web, 1}, 1}), ElementsAre("AnnounceIgnored #1: another process was started in it since"));
  step(ProcessStarted{{web, 1, 2}});
  step(ProcessExited{{web, 1, 1}, {ExitKind::Exited, 0}});
  step(ProcessExited{{web, 1, 2}, {ExitKind::Exited, 0}});
  ASSERT_EQ(engine.record(web)->run, 2u) << "what run 1 left behind lives on";
  EXPECT_THAT(step(RunEmptied{{web, 1}, 1}), ElementsAre("AnnounceIgnored #1: an old run"));
  EXPECT_THAT(step(RunEmptied{{web, 1}, 2}), Contains("ReleaseRun #1/1"));
}

TEST_F(EngineTest, TakesTheFirstProcessThatLivesForTheMainOneWhereTheJournalIsLost) {
  load(web);
  step(ProcessExited{{web, 4, 1}, {ExitKind::Exited, 0}});
  step(ProcessStarted{{web, 4, 3}});
  step(ProcessStarted{{web, 4, 2}});
  step(RecoveryCompleted{});
  EXPECT_EQ(engine.record(web)->spawn, 2u);
  EXPECT_EQ(engine.record(web)->last_spawn, 3u);
  EXPECT_EQ(state(web), ServiceState::Running);
}

TEST_F(EngineTest, TwoThatAreBoundToEachOtherAreRestartedOnce) {
  load(1, {.restart = RestartWhen::Always, .restart_sec = 1s, .binds_to = {2}});
  load(2, {.binds_to = {1}});
  step(RecoveryCompleted{});
  step(JobsRequested{{{1, JobType::Start, 1}, {2, JobType::Start, 2}}});
  step(ProcessStarted{{1, 1, 1}});
  step(ProcessStarted{{2, 1, 1}});
  step(RunEmptied{{1, 1}});
  step(ProcessExited{{1, 1, 1}, {ExitKind::Killed, 11}});
  EXPECT_EQ(state(1), ServiceState::AutoRestart);
  EXPECT_EQ(state(2), ServiceState::StopSigterm);
  now += 1s;
  step(DeadlinePassed{});
  step(ProcessStarted{{1, 2, 1}});
  step(RunEmptied{{2, 1}});
  step(ProcessExited{{2, 1, 1}, {ExitKind::Killed, 15}});
  step(ProcessStarted{{2, 2, 1}});
  EXPECT_EQ(state(1), ServiceState::Running);
  EXPECT_EQ(state(2), ServiceState::Running);
  EXPECT_EQ(engine.record(1)->run, 2u);
}

TEST_F(EngineTest, TheSameEventsGiveTheSameActions) {
  const auto tell = [] {
    std::string told;
    Engine one;
    base::Instant at = base::Instant{} + 1s;
    ActionList actions;
    for (UnitId unit = 1; unit <= 50; ++unit)
      one.step(at, UnitLoaded{unit, {.wants = {unit % 50 + 1}, .after = {unit / 2 + 1}}}, actions);
    one.step(at, RecoveryCompleted{}, actions);
    for (UnitId i = 0; i < 500; ++i) {
      at += 10ms;
      one.step(at, JobRequested{i + 1, static_cast<JobType>(i % 3), (i * 7) % 50 + 1}, actions);
      one.step(at, ProcessStarted{{(i * 3) % 50 + 1, 1, 1}}, actions);
      one.step(at, DeadlinePassed{}, actions);
    }
    for (const Action& action : actions) told += to_text(action) + '\n';
    return told;
  };
  EXPECT_EQ(tell(), tell());
}

}  // namespace
}  // namespace perdure::core
