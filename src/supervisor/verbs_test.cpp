#include "supervisor/verbs.hpp"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "supervisor/verbs_testing.hpp"
#include "wire/control_frame.hpp"

namespace perdure::supervisor {
namespace {

using core::JobResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Json = nlohmann::json;

const UnitStatus web{.name = "web.service",
                     .description = "A \"web\" server",
                     .load_state = "loaded",
                     .type = "simple",
                     .active_state = "active",
                     .sub_state = "running",
                     .result = "success",
                     .main_pid = 812,
                     .exec_main_pid = 812};
const UnitStatus db{.name = "db.service",
                    .load_state = "loaded",
                    .active_state = "failed",
                    .sub_state = "failed",
                    .result = "signal",
                    .exec_main_pid = 700,
                    .last_exit = core::Exit{core::ExitKind::Killed, 9}};

class VerbsTest : public ::testing::Test {
 protected:
  VerbsTest() {
    instance.add(web);
    instance.add(db);
  }
  /// Asks in the frame of the control protocol, as the server does.
  void send(const std::string& line) {
    auto request = wire::parse_control_request(line);
    ASSERT_TRUE(request) << request.error().message();
    verbs.handle({.id = ++last, .verb = request->verb, .text = request->text, .json = request->json}, now, answers);
  }
  Reply ask(const std::string& line) {
    send(line);
    if (answers.empty()) return Reply::error("NO ANSWER");
    Reply reply = answers.back().reply;
    answers.clear();
    return reply;
  }
  Json data(const std::string& line) { return Json::parse(ask(line).json, nullptr, false); }
  std::string code_of(const std::string& line) {
    const Reply reply = ask(line);
    if (reply.ok) return "OK";
    return Json::parse(reply.json).at("error").at("code");
  }
  void finish(core::JobId job, JobResult result = JobResult::Done) {
    instance.end(job);
    verbs.job_finished(job, result, answers);
  }

  FakeInstance instance;
  Verbs verbs{instance};
  Verbs::Answers answers;
  base::Instant now{};
  std::uint64_t last = 0;
};

TEST_F(VerbsTest, AStateIsToldInWordsAndAsData) {
  const Reply reply = ask(R"({"verb":"is-active","units":["web.service","db.service","no.service"]})");
  EXPECT_TRUE(reply.ok);
  EXPECT_EQ(reply.message, "active\nfailed\ninactive");
  const Json units = Json::parse(reply.json).at("units");
  ASSERT_THAT(units, SizeIs(3));
  EXPECT_EQ(units[0], Json::parse(R"({"Id":"web.service","LoadState":"loaded","ActiveState":"active"})"));
  EXPECT_EQ(units[2].at("LoadState"), "not-found");
}

TEST_F(VerbsTest, ASignalGoesToWhomItIsMeantForAndToNobodyWhereAUnitIsMissing) {
  EXPECT_TRUE(ask(R"({"verb":"kill","units":["web.service","db.service"],"signal":"SIGHUP","whom":"main"})").ok);
  ASSERT_THAT(instance.signals(), SizeIs(2));
  EXPECT_EQ(instance.signals()[1].unit, "db.service");
  EXPECT_EQ(instance.signals()[1].signal, 1);
  EXPECT_EQ(instance.signals()[1].whom, KillWhom::Main);
  EXPECT_EQ(code_of(R"({"verb":"kill","units":["web.service","no.service"]})"), "no-such-unit");
  EXPECT_THAT(instance.signals(), SizeIs(2)) << "nobody was signalled";
  EXPECT_EQ(code_of(R"({"verb":"kill","units":["web.service"],"signal":"SIGNOTHING"})"), "bad-request");
  EXPECT_EQ(code_of(R"({"verb":"kill","units":["web.service"],"signal":9})"), "bad-request");
  EXPECT_EQ(code_of(R"({"verb":"kill","units":["web.service"],"whom":"init"})"), "bad-request");
  EXPECT_EQ(code_of(R"({"verb":"kill"})"), "bad-request");
}

TEST_F(VerbsTest, ReloadOrRestartIsAReloadOnlyOfWhatIsUpAndCanBeReloaded) {
  const auto type_of_last = [this] { return instance.jobs().back().type; };
  send(R"({"verb":"reload-or-restart","units":["web.service"],"wait":false})");
  EXPECT_EQ(type_of_last(), core::JobType::Restart) << "it has no ExecReload=";
  instance.at("web.service").can_reload = true;
  send(R"({"verb":"reload-or-restart","units":["web.service"],"wait":false})");
  EXPECT_EQ(type_of_last(), core::JobType::Reload);
  instance.at("db.service").can_reload = true;
  send(R"({"verb":"reload-or-restart","units":["db.service"],"wait":false})");
  EXPECT_EQ(type_of_last(), core::JobType::Restart) << "it is down";
  send(R"({"verb":"try-restart","units":["db.service"],"wait":false})");
  EXPECT_EQ(type_of_last(), core::JobType::TryRestart);
}

TEST_F(VerbsTest, FilesAreShownAndAUnitWithoutOneIsAnErrorBesideThem) {
  instance.add_text("web.service", {"/u/web.service", "[Service]\n"});
  instance.add_text("web.service", {"/u/web.service.d/a.conf", "[Unit]\n"});
  EXPECT_EQ(data(R"({"verb":"cat","units":["web.service"]})"),
            Json::parse(R"({"files":[{"path":"/u/web.service","text":"[Service]\n"},
                                    {"path":"/u/web.service.d/a.conf","text":"[Unit]\n"}]})"));
  const Json both = data(R"({"verb":"cat","units":["no.service","web.service"]})");
  EXPECT_THAT(both.at("files"), SizeIs(2));
  EXPECT_EQ(both.at("error").at("unit"), "no.service");
}

TEST_F(VerbsTest, DependenciesAreATreeThatNeverEndsInACircle) {
  instance.add({.name = "all.target", .active_state = "active"});
  instance.add_dependency("all.target", "web.service");
  instance.add_dependency("web.service", "db.service");
  instance.add_dependency("db.service", "web.service");
  const Json shallow = data(R"({"verb":"list-dependencies","units":["all.target"]})").at("units")[0];
  EXPECT_EQ(shallow.at("unit"), "all.target");
  EXPECT_THAT(shallow.at("children"), SizeIs(1));
  EXPECT_THAT(shallow.at("children")[0].at("children"), SizeIs(0)) << "below the first level, targets only";
  const Json deep = data(R"({"verb":"list-dependencies","units":["all.target"],"all":true})").at("units")[0];
  const Json& again = deep.at("children")[0].at("children")[0].at("children")[0];
  EXPECT_EQ(again.at("unit"), "web.service");
  EXPECT_THAT(again.at("children"), SizeIs(0));
  const Json who = data(R"({"verb":"list-dependencies","units":["db.service"],"reverse":true})").at("units")[0];
  EXPECT_EQ(who.at("children")[0].at("unit"), "web.service");
  EXPECT_EQ(code_of(R"({"verb":"list-dependencies","units":["no.service"]})"), "no-such-unit");
}

TEST_F(VerbsTest, JobsAreListedAndCanceledByTheirNumbers) {
  instance.at("web.service").job = 7;
  instance.at("web.service").job_type = core::JobType::Reload;
  instance.put_in_flight(7);
  EXPECT_EQ(data(R"({"verb":"list-jobs"})"),
            Json::parse(R"({"jobs":[{"id":7,"unit":"web.service","type":"reload","state":"waiting"}]})"));
  EXPECT_EQ(code_of(R"({"verb":"cancel","jobs":[8]})"), "no-such-job");
  EXPECT_TRUE(ask(R"({"verb":"cancel","jobs":[7]})").ok);
  EXPECT_FALSE(instance.is_in_flight(7));
}

TEST_F(VerbsTest, TheInstanceAsAWholeIsAskedAndTold) {
  EXPECT_EQ(ask(R"({"verb":"is-system-running"})").message, data(R"({"verb":"is-system-running"})").at("state"));
  EXPECT_EQ(data(R"({"verb":"show-environment"})").at("environment")[0], "LANG=C.UTF-8");
  EXPECT_TRUE(ask(R"({"verb":"daemon-reload"})").ok);
  EXPECT_EQ(instance.reloads(), 1);
  instance.add_finding({"/u/web.service", 3, Finding::Severity::Error, "odd"});
  EXPECT_EQ(data(R"({"verb":"verify","units":["/u/web.service"]})").at("findings")[0],
            Json::parse(R"({"path":"/u/web.service","line":3,"severity":"error","message":"odd"})"));
  EXPECT_EQ(code_of(R"({"verb":"exit","code":256})"), "bad-request");
  EXPECT_FALSE(instance.is_shut_down());
  EXPECT_TRUE(ask(R"({"verb":"exit","code":3})").ok);
  EXPECT_TRUE(instance.is_shut_down());
  EXPECT_EQ(instance.exit_code(), 3);
}

TEST_F(VerbsTest, AnExitWithoutACodeLeavesTheOneThatIsKnown) {
  EXPECT_TRUE(ask(R"({"verb":"exit"})").ok);
  EXPECT_TRUE(instance.is_shut_down());
  EXPECT_EQ(instance.exit_code(), std::nullopt);
}

TEST_F(VerbsTest, AStartThatAConditionLeftOutIsNoFailure) {
  send(R"({"verb":"start","units":["web.service"]})");
  finish(instance.jobs().back().id, JobResult::Skipped);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_TRUE(answers[0].reply.ok);
}

TEST_F(VerbsTest, APlainLineNamesUnitsAsWords) {
  EXPECT_EQ(ask("is-active web.service db.service").message, "active\nfailed");
  EXPECT_EQ(ask("ping").message, "pong");
}

TEST_F(VerbsTest, ShowGivesThePropertiesAskedForAndNothingElse) {
  const Json units =
      data(R"({"verb":"show","units":["db.service"],"properties":["MainPID","ExecMainCode","Bogus","ExecMainStatus"]})");
  EXPECT_EQ(units.at("units"), Json::parse(R"([{"MainPID":0,"ExecMainCode":2,"ExecMainStatus":9}])"));
}

TEST_F(VerbsTest, TextFromUnitFilesCannotLeaveItsString) {
  EXPECT_EQ(data(R"({"verb":"show","units":["web.service"]})").at("units")[0].at("Description"), "A \"web\" server");
  instance.at("web.service").description = "a\nb\x1b\xff";
  EXPECT_EQ(data(R"({"verb":"show","units":["web.service"]})").at("units")[0].at("Description"), "a\nb\x1b\xEF\xBF\xBD");
}

TEST_F(VerbsTest, AnEndThatNobodySawIsNotMadeUp) {
  instance.at("db.service").last_exit = core::Exit{core::ExitKind::Unknown, 0};
  const Json unit = data(R"({"verb":"show","units":["db.service"]})").at("units")[0];
  EXPECT_EQ(unit.at("ExecMainCode"), 0);
  EXPECT_EQ(unit.at("ExecMainExitKnown"), false);
}

TEST_F(VerbsTest, StatusOfAUnitThatIsNotThereIsAnErrorAndShowOfItIsNot) {
  EXPECT_EQ(code_of(R"({"verb":"status","units":["web.service","no.service"]})"), "no-such-unit");
  EXPECT_EQ(ask(R"({"verb":"status","units":["no.service"]})").message, "Unit no.service could not be found.");
  EXPECT_EQ(data(R"({"verb":"show","units":["no.service"]})").at("units")[0].at("LoadState"), "not-found");
}

TEST_F(VerbsTest, WithoutAUnitTheInstanceTellsOfItself) {
  const std::string expected = R"({"instance":{"Version":"0.1.0","KeeperPID":11,"ManagerPID":12}})";
  for (const char* verb : {"show", "status", "instance"}) {
    const Json told = data(fmt::format(R"({{"verb":"{}","properties":["Version","KeeperPID","ManagerPID"]}})", verb));
    EXPECT_EQ(told, Json::parse(expected)) << verb;
  }
  instance.known().remarks = {"as it can be here"};
  EXPECT_EQ(ask("status").message, "running") << "a remark is no fault";
  EXPECT_EQ(data(R"({"verb":"show","properties":["Remarks"]})").at("instance"),
            Json::parse(R"({"Remarks":["as it can be here"]})"));
  instance.known().degraded = {"the log directory takes nothing: No space left on device (ENOSPC)"};
  EXPECT_EQ(ask("status").message, "degraded");
}

TEST_F(VerbsTest, WhatTheKeeperCountsAndCouldNotDoIsAProperty) {
  const auto told = [this] {
    return data(R"({"verb":"show","properties":["OrphansReaped","KeeperLocked","KeeperSpared"]})").at("instance");
  };
  EXPECT_EQ(told(), Json::parse(R"({"OrphansReaped":0,"KeeperLocked":true,"KeeperSpared":true})"));
  instance.known().orphans_reaped = 20'000;
  instance.known().keeper_is_locked = instance.known().keeper_is_spared = false;
  EXPECT_EQ(told(), Json::parse(R"({"OrphansReaped":20000,"KeeperLocked":false,"KeeperSpared":false})"));
}

TEST_F(VerbsTest, WhoMayNotAskIsToldWhatAndTheInstanceIsNotAsked) {
  const auto deny = [this](const std::string& line) {
    const auto request = wire::parse_control_request(line);
    return Verbs::deny({.id = 7,
                        .verb = request->verb,
                        .text = request->text,
                        .json = request->json,
                        .peer = {.pid = 812, .uid = 65534, .gid = 65534},
                        .is_permitted = false},
                       answers);
  };
  EXPECT_EQ(deny("stop web.service"), "stop web.service");
  EXPECT_EQ(deny(R"({"verb":"restart","units":["web.service","db.service","c.service"]})"),
            "restart web.service and 2 more");
  EXPECT_EQ(deny("shutdown"), "shutdown");
  EXPECT_EQ(deny("stop ../../x y"), "stop") << "nothing that is no name";
  EXPECT_EQ(deny("nonsense web.service"), "nonsense");
  EXPECT_EQ(deny("ping web.service"), "ping") << "it takes none";
  EXPECT_EQ(deny(R"({"verb":"stop","units":["web.service x.service"]})"), "stop")
      << "one name, and none that a unit can have";
  EXPECT_EQ(deny(R"({"verb":"stop","units":["web.service",1,"../../x"]})"), "stop web.service and 2 more")
      << "nobody looks at the others";
  EXPECT_EQ(deny("stop web.service " + std::string(60'000, 'x')), "stop") << "nor at any of so much";
  EXPECT_EQ(answers.back().reply.message, "permission denied: uid 65534 may not stop");
  ASSERT_THAT(answers, SizeIs(9));
  const Reply& first = answers.front().reply;
  EXPECT_FALSE(first.ok);
  EXPECT_EQ(answers.front().request, 7U);
  EXPECT_EQ(first.message, "permission denied: uid 65534 may not stop web.service");
  const Json error = Json::parse(first.json).at("error");
  EXPECT_EQ(error.at("code"), "permission-denied");
  EXPECT_EQ(error.at("unit"), "web.service");
  EXPECT_THAT(instance.jobs(), IsEmpty());
  EXPECT_FALSE(instance.is_shut_down());
}

TEST_F(VerbsTest, AJobIsAnsweredWhenItEnds) {
  send(R"({"verb":"start","units":["web.service","db.service"]})");
  EXPECT_THAT(answers, IsEmpty());
  EXPECT_EQ(verbs.waiting(), 1U);
  finish(1);
  EXPECT_THAT(answers, IsEmpty()) << "one of its jobs is still under way";
  finish(2, JobResult::Failed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].request, last);
  EXPECT_FALSE(answers[0].reply.ok);
  const Json told = Json::parse(answers[0].reply.json);
  EXPECT_EQ(told.at("jobs")[0], Json::parse(R"({"unit":"web.service","job":1,"result":"done"})"));
  EXPECT_EQ(told.at("jobs")[1].at("result"), "failed");
  EXPECT_EQ(told.at("error").at("code"), "job-failed");
  EXPECT_EQ(verbs.waiting(), 0U);
}

TEST_F(VerbsTest, WhoDoesNotWaitGetsTheNumberAndMayWaitLater) {
  const Json told = data(R"({"verb":"restart","units":["web.service"],"wait":false})");
  EXPECT_EQ(told.at("jobs"), Json::parse(R"([{"unit":"web.service","job":1}])"));
  finish(1);
  EXPECT_EQ(data(R"({"verb":"wait","jobs":[1]})").at("jobs"), Json::parse(R"([{"job":1,"result":"done"}])"));
}

TEST_F(VerbsTest, AJobOfAnEarlierManagerCanBeWaitedFor) {
  instance.put_in_flight(77);
  send(R"({"verb":"wait","jobs":[77]})");
  EXPECT_THAT(answers, IsEmpty());
  finish(77, JobResult::Canceled);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(Json::parse(answers[0].reply.json).at("jobs")[0].at("result"), "canceled");
}

TEST_F(VerbsTest, AJobThatNobodyRemembersIsSaidToBeUnknown) {
  EXPECT_EQ(code_of(R"({"verb":"wait","jobs":[4711]})"), "no-such-job");
}

TEST_F(VerbsTest, ARefusedUnitDoesNotStopTheOthers) {
  send(R"({"verb":"stop","units":["no.service","web.service"]})");
  EXPECT_THAT(answers, IsEmpty());
  finish(1);
  ASSERT_THAT(answers, SizeIs(1));
  const Json told = Json::parse(answers[0].reply.json);
  EXPECT_EQ(told.at("jobs")[0].at("error").at("code"), "no-such-unit");
  EXPECT_EQ(told.at("jobs")[1].at("result"), "done");
  EXPECT_EQ(told.at("error").at("unit"), "no.service");
  EXPECT_EQ(answers[0].reply.message,
            "cannot stop no.service: Unit no.service not found; nothing was changed; see \"perdure list-units --all\"");
}

TEST_F(VerbsTest, AWaitEndsInTimeWithWhatIsKnownByThen) {
  send(R"({"verb":"start","units":["web.service"]})");
  ASSERT_EQ(verbs.next_deadline(), now + wait_within);
  verbs.expire(now + wait_within - std::chrono::nanoseconds{1}, answers);
  EXPECT_THAT(answers, IsEmpty());
  verbs.expire(now + wait_within, answers);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(Json::parse(answers[0].reply.json).at("jobs"), Json::parse(R"([{"unit":"web.service","job":1}])"));
  EXPECT_EQ(verbs.next_deadline(), std::nullopt);
}

TEST_F(VerbsTest, ManyWhoWaitLeaveRoomForOthers) {
  for (std::size_t i = 0; i < waiting_max; ++i) send(R"({"verb":"start","units":["web.service"]})");
  EXPECT_THAT(answers, IsEmpty());
  send(R"({"verb":"start","units":["web.service"]})");
  ASSERT_THAT(answers, SizeIs(1)) << "one more is told its number at once";
  EXPECT_FALSE(Json::parse(answers[0].reply.json).at("jobs")[0].contains("result"));
}

TEST_F(VerbsTest, TheMemoryOfEndedJobsIsBounded) {
  for (core::JobId job = 1; job <= finished_jobs_max + 1; ++job) finish(job);
  EXPECT_EQ(code_of(R"({"verb":"wait","jobs":[1]})"), "no-such-job");
  EXPECT_EQ(code_of(R"({"verb":"wait","jobs":[2]})"), "OK");
}

TEST_F(VerbsTest, FailuresAreForgottenOnRequest) {
  EXPECT_TRUE(ask(R"({"verb":"reset-failed"})").ok);
  EXPECT_THAT(instance.reset(), ElementsAre("db.service")) << "without a unit: of all that have failed";
  EXPECT_EQ(code_of(R"({"verb":"reset-failed","units":["web.service","no.service"]})"), "no-such-unit");
  EXPECT_THAT(instance.reset(), SizeIs(1)) << "refused as a whole";
}

TEST_F(VerbsTest, AListComesInPages) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < page_max + 10; ++i) names.push_back(fmt::format("many{:05}.service", i));
  for (const std::string& name : names) instance.add({.name = name, .active_state = "inactive"});
  const Json first = data(R"({"verb":"list-units"})");
  ASSERT_THAT(first.at("units"), SizeIs(page_max));
  EXPECT_EQ(first.at("units")[0].at("Id"), "db.service");
  const Json second = data(fmt::format(R"({{"verb":"list-units","after":{}}})", first.at("next").dump()));
  EXPECT_THAT(second.at("units"), SizeIs(12));
  EXPECT_EQ(second.at("units").back().at("Id"), "web.service");
  EXPECT_FALSE(second.contains("next"));
}

TEST_F(VerbsTest, AnAnswerThatWouldBeTooLongIsRefused) {
  const std::string description(8'000, 'x');
  instance.at("web.service").description = description;
  Json request{{"verb", "show"}, {"units", Json::array()}};
  for (int i = 0; i < 200; ++i) request["units"].push_back("web.service");
  EXPECT_EQ(code_of(request.dump()), "too-long");
}

TEST_F(VerbsTest, ShutdownIsAnsweredBeforeItBegins) {
  EXPECT_TRUE(ask(R"({"verb":"shutdown"})").ok);
  EXPECT_TRUE(instance.is_shut_down());
  instance.refuse_all({Refusal::Code::ShuttingDown, ""});
  EXPECT_EQ(ask(R"({"verb":"start","units":["web.service"]})").message,
            "cannot start web.service: the instance is stopping; nothing was changed");
}

TEST_F(VerbsTest, RequestsThatMakeNoSenseAreRefusedBeforeAnythingHappens) {
  const std::vector<std::pair<std::string, std::string>> refused{
      {"bogus", "unknown command"},
      {"is-active", "is-active needs at least one unit"},
      {R"({"verb":"wait"})", "wait needs at least one job"},
      {R"({"verb":"ping","units":["web.service"]})", "ping does not take \"units\"; it takes nothing else"},
      {R"({"verb":"start","units":["web.service"],"wiat":true})", "start does not take \"wiat\"; it takes units, wait"},
      {R"({"verb":"start","units":"web.service"})", "\"units\" must be an array of at most 1024 strings"},
      {R"({"verb":"start","units":[1]})", "\"units\" must be an array of at most 1024 strings"},
      {R"({"verb":"start","units":["web.service"],"wait":1})", "\"wait\" must be true or false"},
      {R"({"verb":"wait","jobs":[-1]})", "\"jobs\" must be an array of at most 1024 job numbers"},
      {R"({"verb":"wait","jobs":[0]})", "\"jobs\" must be an array of at most 1024 job numbers"},
      {"wait x", "\"x\" is no job number"},
      {"list-units x", "list-units takes no words"},
  };
  for (const auto& [line, message] : refused) EXPECT_EQ(ask(line).message, message) << line;
  EXPECT_EQ(code_of("bogus"), "unknown-verb");
  EXPECT_EQ(code_of("is-active"), "bad-request");
  EXPECT_THAT(instance.jobs(), IsEmpty());
}

TEST_F(VerbsTest, NamesThatNoUnitCanHaveAreRefusedByTheOneValidator) {
  for (const std::string name : {"web", "../x.service", "a/b.service", ".service", "", "a b.service", "x.unknown"}) {
    const Json request{{"verb", "start"}, {"units", {name}}};
    EXPECT_EQ(code_of(request.dump()), "bad-unit-name") << name;
  }
  const Json too_long{{"verb", "start"}, {"units", {std::string(300, 'x') + ".service"}}};
  EXPECT_EQ(code_of(too_long.dump()), "bad-unit-name");
  EXPECT_THAT(instance.jobs(), IsEmpty());
}

TEST_F(VerbsTest, MoreUnitsThanARequestMayNameAreRefused) {
  Json request{{"verb", "stop"}, {"units", Json::array()}};
  for (std::size_t i = 0; i <= units_max; ++i) request["units"].push_back("web.service");
  EXPECT_EQ(code_of(request.dump()), "bad-request");
  request["units"].erase(0);
  send(request.dump());
  EXPECT_THAT(instance.jobs(), SizeIs(units_max));
}

TEST_F(VerbsTest, EveryAnswerIsWhatTheProtocolPromises) {
  instance.at("web.service").remarks = {"MemoryMax= is not applied: no memory controller here", "a\"b"};
  for (const std::string line :
       {"ping", "status", "status web.service", "show no.service", "list-units", "bogus", "wait 9"}) {
    const Reply reply = ask(line);
    const auto bytes = wire::control_answer(wire::Dialect::Json, {reply.ok, reply.message, reply.json, false});
    const auto answer = wire::parse_control_answer(bytes);
    ASSERT_TRUE(answer) << line;
    EXPECT_EQ(answer->ok, reply.ok) << answer->text;
    EXPECT_THAT(answer->text, ::testing::Not(HasSubstr("cannot be sent"))) << line;
  }
}

}  // namespace
}  // namespace perdure::supervisor
