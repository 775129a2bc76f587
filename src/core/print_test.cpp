#include "core/print.hpp"

#include <csignal>
#include <set>

#include <gtest/gtest.h>

namespace perdure::core {
namespace {

using namespace std::chrono_literals;

const UnitNames names{{1, "web"}, {2, "db.service"}};

TEST(Print, EventsReadBackWhatTheyPrint) {
  const Event events[] = {
      JobRequested{.job = 7, .type = JobType::Restart, .unit = 1},
      JobsRequested{{{.job = 1, .type = JobType::Start, .unit = 2}, {.job = 2, .type = JobType::Stop, .unit = 1}}},
      ProcessStarted{{1, 2, 3}},
      SpawnFailed{{1, 2, 3}, SpawnProblem::Resource},
      SpawnFailed{{1, 2, 3}, SpawnProblem::Permanent},
      ProgramExecuted{{2, 1, 1}},
      ProcessExited{{1, 2, 1}, {ExitKind::Exited, 0}},
      ProcessExited{{1, 2, 1}, {ExitKind::Exited, 203}, true},
      ProcessExited{{1, 2, 1}, {ExitKind::Killed, SIGKILL}},
      ProcessExited{{1, 2, 1}, {ExitKind::Dumped, SIGSEGV}},
      ProcessExited{{1, 2, 1}, {}},
      RunEmptied{{2, 18446744073709551615U}},
      RunEmptied{{2, 7}, 3},
      JobCanceled{7},
      ConditionsChecked{1, ConditionVerdict::Met},
      ConditionsChecked{1, ConditionVerdict::Unmet},
      ConditionsChecked{2, ConditionVerdict::AssertFailed},
      MainFound{{1, 2}},
      MainMissing{{1, 2}},
      Notified{.run = {1, 2}, .is_ready = true},
      Notified{.run = {1, 2}, .is_reloading = true, .is_stopping = true, .is_alive = true, .asks_to_be_ended = true},
      Notified{.run = {1, 2}, .watchdog = 1500ms, .extend_timeout = 2s},
      DeadlinePassed{},
      ShutdownRequested{},
      ShutdownRequested{.began = base::Instant{} + 1500ms},
      FailureReset{1},
      RecoveryCompleted{},
      RecoveryCompleted{.stop_within = 10s},
  };
  std::set<std::string> texts;
  for (const Event& event : events) {
    const std::string text = to_text(event, names);
    EXPECT_TRUE(texts.insert(text).second) << text;
    const auto again = parse_event(text, names);
    ASSERT_TRUE(again) << text;
    EXPECT_EQ(again->index(), event.index()) << text;
    EXPECT_EQ(to_text(*again, names), text);
  }
}

TEST(Print, RefusesWhatIsNoEvent) {
  for (const char* text : {"",
                           "  ",
                           "Nothing",
                           "DeadlinePassed now",
                           "ProcessStarted",
                           "ProcessStarted web",
                           "ProcessStarted web/1",
                           "ProcessStarted web/1/1/1",
                           "ProcessStarted nginx/1/1",
                           "ProcessStarted web/-1/1",
                           "ProcessStarted web/1/1 x",
                           "ProcessExited web/1/1",
                           "ProcessExited web/1/1 exited",
                           "ProcessExited web/1/1 exited x",
                           "ProcessExited web/1/1 killed SIGNOTHING",
                           "ProcessExited web/1/1 in set-up",
                           "ProcessExited web/1/1 unknown 1",
                           "SpawnFailed web/1/1",
                           "SpawnFailed web/1/1 perhaps",
                           "RunEmptied web/1/1/1",
                           "FailureReset",
                           "FailureReset nginx",
                           "JobRequested start web",
                           "JobRequested begin web job=1",
                           "JobRequested start web job=x",
                           "JobsRequested",
                           "JobsRequested start web job=1,",
                           "DeadlinePassedX",
                           "JobCanceled 7",
                           "JobCanceled job=x",
                           "ConditionsChecked web",
                           "ConditionsChecked web perhaps",
                           "MainFound web/1/1",
                           "MainMissing web/1 now",
                           "Notified web/1 happy",
                           "Notified web/1 extend-ms=soon",
                           "ProcessStarted web/99999999999999999999/1"})
    EXPECT_FALSE(parse_event(text, names)) << text;
}

TEST(Print, ActionsNameWhatTheyAreAbout) {
  EXPECT_EQ(to_text(Action{SpawnProcess{{1, 3, 1}}}, names), "SpawnProcess web/3/1");
  EXPECT_EQ(to_text(Action{SendSignal{{1, 3, 1}, SignalTarget::All, SIGTERM}}, names), "SendSignal web/3/1 all SIGTERM");
  EXPECT_EQ(to_text(Action{KillRun{{9, 3}}}, names), "KillRun #9/3");
  EXPECT_EQ(to_text(Action{FinishJob{4, 2, JobResult::Canceled}}, names), "FinishJob db.service job=4 canceled");
  EXPECT_EQ(
      to_text(Action{AnnounceState{1, ServiceState::Running, ServiceState::AutoRestart, ServiceResult::CoreDump}}, names),
      "AnnounceState web running -> auto-restart (core-dump)");
  EXPECT_EQ(to_text(Action{AnnounceIgnored{1, "an old run"}}, names), "AnnounceIgnored web: an old run");
  EXPECT_EQ(to_text(Action{SpawnProcess{{1, 3, 2}, CommandPhase::StartPre, 1, false}}, names),
            "SpawnProcess web/3/2 start-pre command=1");
  EXPECT_EQ(to_text(Action{SpawnProcess{{1, 3, 2}, CommandPhase::Start, 0, false}}, names), "SpawnProcess web/3/2 start");
  EXPECT_EQ(to_text(Action{AnnounceCycle{{1, 2}}}, names), "AnnounceCycle web db.service");
  EXPECT_EQ(to_text(Action{AnnounceCutShort{{2, 1}}}, names), "AnnounceCutShort db.service web");
  EXPECT_EQ(to_text(Action{EndInstance{1, EndCause::Essential, {ExitKind::Exited, 3}}}, names),
            "EndInstance web essential exited 3");
  EXPECT_EQ(to_text(Action{EndInstance{1, EndCause::StartLimitAction, {ExitKind::Exited, 3}, true}}, names),
            "EndInstance web start-limit-action exited 3 at once");
}

TEST(Print, ARecordShowsWhatDiffersFromAUnitThatWasNeverStarted) {
  EXPECT_EQ(to_text(UnitRecord{.unit = 1}, names), "web dead");
  EXPECT_EQ(to_text(UnitRecord{.unit = 1,
                               .state = ServiceState::AutoRestart,
                               .result = ServiceResult::Signal,
                               .run = 3,
                               .spawn = 1,
                               .last_exit = {ExitKind::Killed, SIGKILL},
                               .restarts = 2,
                               .deadline = base::Instant{} + 1500ms,
                               .main_ended = true},
                    names),
            "web auto-restart result=signal run=3/1 main=ended exit=\"killed SIGKILL\" restarts=2 deadline=1.5s");
}

TEST(Print, StatesHaveTheWordsOfSystemd) {
  const auto words = [](ServiceState state) {
    const StateWords both = state_words(UnitRecord{.state = state});
    return std::string{both.active} + "/" + std::string{both.sub};
  };
  EXPECT_EQ(words(ServiceState::Dead), "inactive/dead");
  EXPECT_EQ(words(ServiceState::Start), "activating/start");
  EXPECT_EQ(words(ServiceState::Running), "active/running");
  EXPECT_EQ(words(ServiceState::StopSigterm), "deactivating/stop-sigterm");
  EXPECT_EQ(words(ServiceState::StopSigkill), "deactivating/stop-sigkill");
  EXPECT_EQ(words(ServiceState::FinalSigterm), "deactivating/final-sigterm");
  EXPECT_EQ(words(ServiceState::FinalSigkill), "deactivating/final-sigkill");
  EXPECT_EQ(words(ServiceState::AutoRestart), "activating/auto-restart");
  EXPECT_EQ(words(ServiceState::Failed), "failed/failed");
}

TEST(Print, ResultsHaveTheWordsOfSystemd) {
  EXPECT_EQ(name(ServiceResult::Success), "success");
  EXPECT_EQ(name(ServiceResult::Resources), "resources");
  EXPECT_EQ(name(ServiceResult::ExitCode), "exit-code");
  EXPECT_EQ(name(ServiceResult::Signal), "signal");
  EXPECT_EQ(name(ServiceResult::CoreDump), "core-dump");
  EXPECT_EQ(name(ServiceResult::Timeout), "timeout");
  EXPECT_EQ(name(ServiceResult::StartLimitHit), "start-limit-hit");
  EXPECT_EQ(name(ServiceResult::Protocol), "protocol");
  EXPECT_EQ(name(ServiceResult::Watchdog), "watchdog");
  EXPECT_EQ(name(ServiceResult::ExecCondition), "exec-condition");
  EXPECT_EQ(name(ServiceResult::OomKill), "oom-kill");
}

}  // namespace
}  // namespace perdure::core
