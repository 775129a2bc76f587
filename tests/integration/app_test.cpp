// An App as a process: workers that fail, hang and end, checks, reloads of many hooks, and stops at every moment.
#include <perdure/control.hpp>
#include <perdure/unique_fd.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "probe.hpp"

namespace probe {
namespace {

using ::testing::ContainsRegex;
using ::testing::EndsWith;

struct AppDaemon : Daemon {
  std::string config_file = dir / "app.conf";

  void SetUp() override {
    Daemon::SetUp();
    write_file(config_file, "number = 1\n");
  }
  Process foreground(std::vector<std::string> words) {
    words.insert(words.begin(), {APP_PROBE, "--foreground", "--config", config_file});
    return Process{std::move(words), options};
  }
  Finished ask(std::vector<std::string> words) {
    words.insert(words.begin(), APP_PROBE);
    return perdure::testing::run(std::move(words), options);
  }
  /// Where `text` stands in what it said; the test fails where it does not.
  static std::size_t at(Process& app, const std::string& text) {
    const std::size_t place = app.output().find(text);
    EXPECT_NE(place, std::string::npos) << text << " is missing in\n" << app.output();
    return place;
  }
  /// In this order.
  static void expect_order(Process& app, const std::vector<std::string>& texts) {
    for (std::size_t i = 1; i < texts.size(); ++i) EXPECT_LT(at(app, texts[i - 1]), at(app, texts[i])) << app.output();
  }
};

TEST_F(AppDaemon, StartsInOrderAndStopsInReverseOrder) {
  Process app = foreground({"--do=serve"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  expect_order(app, {"db up", "cache up", "poll up", "poll down", "cache down", "db down", "stop hook"});
  expect_order(app, {"event: worker ready poll", "event: ready", "event: stop begun", "event: worker ended poll",
                     "event: worker ended cache", "event: worker ended db", "stop hook"});
  EXPECT_FALSE(read_file(dir / "app-probe.pid").has_value());
}

TEST_F(AppDaemon, AWorkerFindsTheSocketThatTheAppListensOn) {
  Process app = foreground({"--do=listen"});
  ASSERT_TRUE(app.wait_for_output("listens on port ")) << app.output();
  EXPECT_THAT(app.output(), testing::ContainsRegex("listens on port [1-9]"));
}

TEST_F(AppDaemon, AWorkerThatThrowsIsStartedAgain) {
  Process app = foreground({"--do=throw-once"});
  ASSERT_TRUE(app.wait_for_output("sensor works")) << app.output();
  expect_order(app, {"worker \"sensor\" failed: run 1 broke", "is started again in", "sensor works"});
  const std::string status = ask({"status"}).output;
  EXPECT_THAT(status, HasSubstr("worker sensor: ready, 1 restart, last failure: run 1 broke\n"));
  EXPECT_THAT(ask({"metrics"}).output, HasSubstr("perdure_worker_restarts_total{worker=\"sensor\"} 1"));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, AWorkerWhoseBudgetIsSpentEndsTheProcessWithSeventyAndIsNamed) {
  Process app = foreground({"--do=throw-always"});
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(70)) << app.output();
  EXPECT_THAT(app.output(), HasSubstr("worker \"sensor\" was started 3 times within 60000 ms and is given up: run 3 broke"));
  EXPECT_THAT(app.output(), HasSubstr("event: worker gave up sensor"));
  EXPECT_THAT(app.output(), HasSubstr("db down")) << "the others are stopped in order";
  EXPECT_FALSE(perdure::PidFile::is_locked(dir / "app-probe.pid"));
}

TEST_F(AppDaemon, WhatFailsTheStartReachesWhoeverWaitsForIt) {
  const Finished started = ask({"--daemon", "--config", config_file, "--do=throw-at-start"});
  EXPECT_EQ(started.status, perdure::ExitStatus::exited(70));
  EXPECT_THAT(started.output, HasSubstr("worker \"sensor\" failed for good: no such sensor"));
}

TEST_F(AppDaemon, ACodeOfAWorkerIsAFailure) {
  Process app = foreground({"--do=return-3"});
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(70)) << app.output();
  EXPECT_THAT(app.output(), HasSubstr("worker \"sensor\" failed: returned 3"));
}

TEST_F(AppDaemon, EndsWithZeroWhenAllItsWorkersAreDone) {
  Process app = foreground({"--do=finish"});
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  EXPECT_THAT(app.output(), HasSubstr("event: ready"));
  EXPECT_THAT(app.output(), HasSubstr("stop hook"));
}

TEST_F(AppDaemon, ATermDuringAPauseBetweenRestartsIsHonouredAtOnce) {
  Process app = foreground({"--do=throw-slowly"});
  ASSERT_TRUE(app.wait_for_output("is started again in 3600000 ms")) << app.output();
  EXPECT_THAT(ask({"status"}).output, HasSubstr("worker sensor: pausing"));
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
}

TEST_F(AppDaemon, ATermDuringTheStartIsHonoured) {
  Process app = foreground({"--do=never-ready"});
  ASSERT_TRUE(app.wait_for_output("slow up")) << app.output();
  EXPECT_THAT(ask({"status"}).output, HasSubstr("worker slow: starting"));
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
  EXPECT_THAT(app.output(), Not(HasSubstr("event: ready")));
}

TEST_F(AppDaemon, AStartThatTakesTooLongSaysWhoIsMissing) {
  Process app = foreground({"--do=never-ready", "--start-within=300ms"});
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(70)) << app.output();
  EXPECT_THAT(app.output(), HasSubstr("not ready within 300 ms: worker \"slow\" is starting"));
}

TEST_F(AppDaemon, ATermDuringAReloadIsHonoured) {
  write_file(dir / "hang", "");
  Process app = foreground({"--do=reload"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  write_file(config_file, "slow_hook = yes\n");
  app.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return ask({"health"}).status.success(); }));
  app.signal(SIGTERM);
  ASSERT_TRUE(app.wait_for_output("db down")) << app.output();
  ::unlink((dir / "hang").c_str());
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << app.output();
}

TEST_F(AppDaemon, SixtyFourWorkersStopEveryTime) {
  for (int round = 0; round < 20; ++round) {
    Process app = foreground({"--do=many"});
    ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
    app.signal(SIGTERM);
    ASSERT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << round << app.output();
  }
}

TEST_F(AppDaemon, ALateWorkerIsNamedAndTheNextIsToldToStopAllTheSame) {
  Process app = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  app.signal(SIGTERM);
  ASSERT_TRUE(app.wait_for_output("db down")) << app.output();
  EXPECT_THAT(app.output(), ContainsRegex("worker \"stubborn\" \\(thread [0-9]+.*\\) has not stopped within 100 ms"));
  EXPECT_TRUE(app.wait_for_output("event: worker late to stop stubborn")) << app.output();
  write_file(dir / "finish", "");
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(0)) << "late, but within the whole budget\n" << app.output();
}

TEST_F(AppDaemon, TheWholeBudgetForcesTheEndAndNamesTheLateOnes) {
  Process app = foreground({"--do=ignore-stop", "--stop-within=400ms"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(70)) << app.output();
  EXPECT_THAT(app.output(),
              ContainsRegex("worker \"stubborn\" \\(thread [0-9]+.*\\) did not end within 400 ms: ended by force"));
  EXPECT_FALSE(perdure::PidFile::is_locked(dir / "app-probe.pid"));
}

TEST_F(AppDaemon, ASecondSignalEndsItAtOnceAndNamesWhoStillRuns) {
  Process app = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  app.signal(SIGTERM);
  ASSERT_TRUE(app.wait_for_output("event: stop begun")) << app.output();
  app.signal(SIGTERM);
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(128 + SIGTERM)) << app.output();
  EXPECT_THAT(app.output(), ContainsRegex("a second time: ended while .*worker \"stubborn\" \\(thread"));
}

TEST_F(AppDaemon, AServiceWithoutAReloadOfItsOwnSaysSo) {
  Process app = foreground({"--do=service"});
  ASSERT_TRUE(app.wait_for_output("plain up")) << app.output();
  ASSERT_TRUE(eventually([&] { return ask({"health"}).status.success(); }));
  EXPECT_EQ(ask({"reload"}).output, "OK\n");
  EXPECT_TRUE(app.wait_for_output("nothing to reload")) << app.output();
  write_file(config_file, "number = none\n");
  EXPECT_FALSE(ask({"reload"}).status.success());
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, ATokenBodyIsReadyAtEntryAndHearsOfTheStop) {
  Process app = foreground({"--do=token"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, AJobThatFailsRunsAgain) {
  Process app = foreground({"--do=job"});
  EXPECT_TRUE(eventually([&] { return std::atoi(ask({"runs"}).output.c_str()) >= 6; })) << app.output();
  EXPECT_THAT(app.output(), HasSubstr("job \"tick\" failed: an even run"));
  EXPECT_THAT(app.output(), Not(HasSubstr("started again")));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, WorkersThatWaitForEachOtherAreRefused) {
  Process app = foreground({"--do=circle"});
  EXPECT_EQ(app.wait(), perdure::ExitStatus::exited(70));
  EXPECT_EQ(app.output(), "app-probe: workers wait for each other: a after b after a; nothing was started\n");
}

TEST_F(AppDaemon, IsNotReadyBeforeItsReadinessCheckHasPassed) {
  Process app = foreground({"--do=readiness"});
  ASSERT_TRUE(app.wait_for_output("check \"sensor\" fails: the sensor is cold")) << app.output();
  ASSERT_TRUE(app.wait_for_output("db up")) << app.output();
  EXPECT_EQ(ask({"health"}).output, "not ready: starting\n");
  EXPECT_THAT(ask({"status"}).output, HasSubstr("check sensor: failed: the sensor is cold\n"));
  EXPECT_THAT(app.output(), Not(HasSubstr("event: ready")));
  write_file(dir / "sensor", "");
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  EXPECT_TRUE(ask({"health"}).status.success());
  ::unlink((dir / "sensor").c_str());
  ASSERT_TRUE(eventually([&] { return ask({"status"}).output.find("check sensor: failed") != std::string::npos; }));
  EXPECT_TRUE(ask({"health"}).status.success()) << "what others do is no matter of our own progress";
  EXPECT_THAT(ask({"metrics"}).output, HasSubstr("perdure_up 0"));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, ALivenessCheckThatFailsMakesItUnhealthy) {
  Process app = foreground({"--do=liveness"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  EXPECT_TRUE(ask({"health"}).status.success());
  write_file(dir / "full", "");
  ASSERT_TRUE(app.wait_for_output("event: check failed disk")) << app.output();
  const Finished health = ask({"health"});
  EXPECT_EQ(health.status, perdure::ExitStatus::exited(2));
  EXPECT_THAT(health.output, HasSubstr("check \"disk\" fails: the disk is full"));
  ::unlink((dir / "full").c_str());
  EXPECT_TRUE(eventually([&] { return ask({"health"}).status.success(); }));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, ACheckOverItsDeadlineHasFailedAndIsNamed) {
  Process app = foreground({"--do=slow-check"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  write_file(dir / "hang", "");
  ASSERT_TRUE(app.wait_for_output("check \"disk\" fails: no answer within 50 ms")) << app.output();
  EXPECT_THAT(ask({"health"}).output, HasSubstr("check \"disk\" fails: no answer within 50 ms"));
  EXPECT_THAT(ask({"status"}).output, HasSubstr("check quick: passed")) << "who waits for its turn is not to blame";
  ::unlink((dir / "hang").c_str());
  EXPECT_TRUE(eventually([&] { return ask({"health"}).status.success(); })) << app.output();
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, AReloadThatOneOfTwentyHooksRefusesChangesNothing) {
  Process app = foreground({"--do=reload"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  write_file(config_file, "number = 2\nrefusing_hook = 19\n");
  const Finished refused = ask({"reload"});
  EXPECT_EQ(refused.status, perdure::ExitStatus::exited(1));
  EXPECT_THAT(refused.output, HasSubstr("hook 19 will not have it"));
  EXPECT_EQ(ask({"number"}).output, "1\n");
  EXPECT_EQ(ask({"commits"}).output, "0\n");
  EXPECT_EQ(ask({"generation"}).output, "1\n");
  EXPECT_TRUE(app.wait_for_output("event: reload refused: hook 19 will not have it"));
  write_file(config_file, "number = 3\n");
  EXPECT_TRUE(ask({"reload"}).status.success());
  EXPECT_EQ(ask({"number"}).output, "3\n");
  EXPECT_EQ(ask({"commits"}).output, "20\n");
  EXPECT_TRUE(app.wait_for_output("event: reload committed"));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, ReloadsDuringAReloadAreOneMore) {
  write_file(dir / "hang", "");
  Process app = foreground({"--do=reload"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  write_file(config_file, "slow_hook = yes\n");
  app.signal(SIGHUP);
  ASSERT_TRUE(eventually([&] { return ask({"health"}).status.success(); }));
  for (int i = 0; i < 10; ++i) {
    app.signal(SIGHUP);
    ASSERT_TRUE(ask({"health"}).status.success()) << "it has been taken when an answer comes back";
  }
  ::unlink((dir / "hang").c_str());
  EXPECT_TRUE(eventually([&] { return ask({"status"}).output.find("reloads: 2 done, 0 refused") != std::string::npos; }))
      << ask({"status"}).output;
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppDaemon, AThousandReloadsUnderSixtyFourReadersNeverMixTwoFiles) {
  Process app = foreground({"--do=readers"});
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  for (int i = 2; i < 1'002; ++i) {
    write_file(config_file, "number = " + std::to_string(i) + "\ndouble_of_it = " + std::to_string(2 * i) + "\n");
    auto client = perdure::ControlClient::connect(dir / "app-probe.sock");
    ASSERT_TRUE(client.has_value()) << client.error().message();
    const auto reply = client->request("reload", "", perdure::testing::hang_limit);
    ASSERT_TRUE(reply.has_value() && reply->ok) << i;
    if (i % 100 == 0) (void)app.output();  // takes it out of the pipe, which the probe's own lines would fill
  }
  EXPECT_EQ(ask({"number"}).output, "1001\n");
  EXPECT_EQ(ask({"generation"}).output, "1001\n");
  EXPECT_EQ(ask({"commits"}).output, "20000\n");
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
  EXPECT_THAT(app.output(), Not(HasSubstr("two files at once")));
}

/// Under an init of the test's own.
class AppInit : public AppDaemon {
 protected:
  void SetUp() override {
    AppDaemon::SetUp();
    socket_.reset(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = dir / "notify";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    options.unset_env.clear();
    options.env.emplace_back("NOTIFY_SOCKET", path);
  }
  /// The next datagram, or "" when none comes within the time.
  std::string next(int within_ms = 30'000) const {
    pollfd fd{socket_.get(), POLLIN, 0};
    if (::poll(&fd, 1, within_ms) <= 0) return "";
    char buffer[4096];
    const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    return {buffer, static_cast<std::size_t>(size < 0 ? 0 : size)};
  }
  perdure::UniqueFd socket_;
};

TEST_F(AppInit, HearsReadyOnlyOnceTheCheckHasPassedAndStoppingBeforeAnybodyStops) {
  Process app = foreground({"--do=readiness"});
  ASSERT_TRUE(app.wait_for_output("db up")) << app.output();
  EXPECT_EQ(next(300), "") << "the sensor is cold";
  write_file(dir / "sensor", "");
  EXPECT_THAT(next(), HasSubstr("READY=1"));
  app.signal(SIGTERM);
  EXPECT_THAT(next(), HasSubstr("STOPPING=1"));
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppInit, HearsNoPingsWhileAWorkerIsStuckAndItAloneIsNamed) {
  options.env.emplace_back("WATCHDOG_USEC", "100000");
  Process app = foreground({"--do=stuck"});
  while (next().find("READY=1") == std::string::npos) continue;
  ASSERT_TRUE(app.wait_for_output("counts as stuck")) << app.output();
  while (!next(0).empty()) continue;
  EXPECT_EQ(next(300), "") << "no ping after its deadline";
  EXPECT_THAT(app.output(), ContainsRegex("worker \"busy\" \\(thread [0-9]+.*\\) has neither waited nor beaten for"));
  EXPECT_THAT(app.output(), Not(HasSubstr("worker \"fine\" (thread")));
  EXPECT_THAT(app.output(), HasSubstr("event: worker stuck busy"));
  const Finished health = ask({"health"});
  EXPECT_EQ(health.status, perdure::ExitStatus::exited(2));
  EXPECT_THAT(health.output, EndsWith("stuck: worker \"busy\" has not made progress in time\n"));
  write_file(dir / "rest", "");
  ASSERT_TRUE(app.wait_for_output("worker \"busy\" makes progress again")) << app.output();
  EXPECT_THAT(next(), HasSubstr("WATCHDOG=1"));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

TEST_F(AppInit, HearsNoPingsWhileALivenessCheckFails) {
  options.env.emplace_back("WATCHDOG_USEC", "100000");
  write_file(dir / "full", "");
  Process app = foreground({"--do=liveness"});
  ASSERT_TRUE(app.wait_for_output("event: check failed disk")) << app.output();
  ASSERT_TRUE(app.wait_for_output("event: ready\n")) << app.output();
  while (next().find("READY=1") == std::string::npos) continue;
  while (!next(0).empty()) continue;
  EXPECT_EQ(next(300), "");
  ::unlink((dir / "full").c_str());
  EXPECT_THAT(next(), HasSubstr("WATCHDOG=1"));
  app.signal(SIGTERM);
  EXPECT_TRUE(app.wait().success()) << app.output();
}

}  // namespace
}  // namespace probe
