// Stopping: asked once, asked twice, three times, too late, and from exit(3).
#include <fcntl.h>
#include <perdure/resources.hpp>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "probe.hpp"

namespace probe {
namespace {

TEST_F(Daemon, TermAndIntEndItWithZeroAndNothingLeftBehind) {
  for (const int signal : {SIGTERM, SIGINT}) {
    Process daemon = foreground();
    ASSERT_TRUE(daemon.wait_for_output("serving")) << daemon.output();
    daemon.signal(signal);
    EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(0)) << daemon.output();
    EXPECT_FALSE(read_file(pid_file).has_value());
    EXPECT_NE(::access((dir / "probe.sock").c_str(), F_OK), 0);
  }
}

TEST_F(Daemon, StopHooksRunOnceInReverseOrder) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
  EXPECT_EQ(read_file(dir / "stop.order"), "second\nfirst\n");
}

TEST_F(Daemon, ABodyThatIgnoresTheStopIsEndedAtTheBudgetAndNamed) {
  options.env.emplace_back("PROBE_STOP_MS", "200");
  Process daemon = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(70));
  EXPECT_THAT(daemon.output(), HasSubstr("the body (thread "));
  EXPECT_THAT(daemon.output(), HasSubstr("did not end within 200 ms"));
  EXPECT_FALSE(perdure::PidFile::is_locked(pid_file));
  EXPECT_FALSE(read_file(pid_file).has_value());
}

TEST_F(Daemon, ASecondSignalSkipsToTheEnd) {
  Process daemon = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  daemon.signal(SIGTERM);
  ASSERT_TRUE(eventually([&] { return run({"health"}).output.find("stopping") != std::string::npos; }));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(128 + SIGTERM));
  EXPECT_THAT(daemon.output(), HasSubstr("a second time"));
}

TEST_F(Daemon, AThirdSignalKillsAtOnce) {
  Process daemon = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  // Signals of one kind merge while they are pending, so it takes as many as it takes.
  EXPECT_TRUE(eventually([&] {
    if (daemon.poll()) return true;
    daemon.signal(SIGTERM);
    return false;
  }));
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(128 + SIGTERM));
}

TEST_F(Daemon, ExitInTheBodyReleasesTheLockAndTheFiles) {
  Process daemon = foreground({"--do=exit-later"});
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(5));
  EXPECT_FALSE(read_file(pid_file).has_value());
  EXPECT_EQ(run({"status"}).status, perdure::ExitStatus::exited(3));
  const Finished early = run({"--daemon", "--do=exit-early"});
  EXPECT_NE(early.status.value(), 0) << "a start that never became ready is no success, whatever the code";
  EXPECT_THAT(early.output, HasSubstr("exited with 0 before it was ready"));
}

TEST_F(Daemon, AnExceptionIsLoggedAndEndsWithSeventy) {
  Process daemon = foreground({"--do=throw-later"});
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(70));
  const std::string output = daemon.output();
  EXPECT_THAT(output, HasSubstr("the body threw: later"));
  EXPECT_GT(output.find("stopped after the exception, with exit code 70"), output.find("the body threw: later")) << output;
  EXPECT_THAT(output, HasSubstr("stopped after the exception"));
}

TEST_F(Daemon, AStopTokenIsSetAndItsCallbacksRun) {
  Process daemon = foreground({"--do=token"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success()) << daemon.output();
}

TEST_F(Daemon, TheBodyMayAskForTheStopItself) {
  Process daemon = foreground({"--do=self-stop"});
  EXPECT_TRUE(daemon.wait().success()) << daemon.output();
}

TEST_F(Daemon, WaitUntilTakesEveryInstantThereIs) {
  Process daemon = foreground({"--do=wait-until"});
  ASSERT_TRUE(daemon.wait_for_output("back from the past", std::chrono::seconds{5})) << daemon.output();
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success()) << "the end of all times is waited for until the stop";
}

TEST_F(Daemon, AProcessOfManyThreadsStopsEveryTime) {
  for (int round = 0; round < 100; ++round) {
    Process daemon = foreground({"--do=threads"});
    ASSERT_TRUE(daemon.wait_for_output("serving"));
    daemon.signal(SIGTERM);
    ASSERT_TRUE(daemon.wait().success()) << round;
  }
}

TEST_F(Daemon, AThousandStartsAndStopsLeaveNothingBehind) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int rounds = 10;  // each takes a sanitizer ten times as long
#else
  constexpr int rounds = 100;
#endif
  constexpr int side_by_side = 10;
  const auto descriptors = perdure::open_fds();
  for (int round = 0; round < rounds; ++round) {
    std::vector<Process> all;
    for (int i = 0; i < side_by_side; ++i) all.push_back(foreground({"--instance=" + std::to_string(i)}));
    for (Process& daemon : all) {
      ASSERT_TRUE(daemon.wait_for_output("serving")) << daemon.output();
      daemon.signal(SIGTERM);
    }
    for (Process& daemon : all) ASSERT_TRUE(daemon.wait().success()) << round << daemon.output();
  }
  EXPECT_EQ(perdure::open_fds(), descriptors);
  std::set<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"probe.conf", "stop.order"})) << "the configuration, and what its hook wrote";
}

TEST_F(Daemon, AStopThatArrivesBeforeTheBodyIsHonoured) {
  for (int round = 0; round < 20; ++round) {
    Process daemon = foreground();
    // Somewhere in the start sequence: the handler stands from run()'s first line on, and before it the default action applies.
    while (perdure::testing::proc_status(daemon.pid(), "SigCgt").find("4a03") == std::string::npos && !daemon.poll()) {
    }
    daemon.signal(SIGTERM);
    EXPECT_TRUE(daemon.wait().success()) << daemon.output();
  }
}

TEST_F(Daemon, TenThousandSignalsNeitherGrowNorLoseIt) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  const auto fds = run({"metrics"}).output;
  for (int i = 0; i < 10'000; ++i) daemon.signal(i % 2 == 0 ? SIGUSR1 : SIGUSR2);
  EXPECT_TRUE(run({"health"}).status.success());
  const auto count = [](const std::string& metrics) { return metrics.substr(metrics.find("\nprocess_open_fds ")); };
  // The connection of the question before may not be closed yet.
  EXPECT_TRUE(perdure::testing::eventually([&] { return count(run({"metrics"}).output) == count(fds); }))
      << count(run({"metrics"}).output) << " instead of " << count(fds);
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, LoadLeavesNoThreadBehind) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  EXPECT_EQ(run({"number"}).output, "1\n");  // the first command brings the thread for callbacks
  const std::string before = perdure::testing::proc_status(daemon.pid(), "Threads");
  for (int i = 0; i < 50; ++i) {
    write_file(config, "number = " + std::to_string(i) + "\n");
    EXPECT_EQ(run({"reload"}).output, "OK\n");
    EXPECT_EQ(run({"number"}).output, std::to_string(i) + "\n");
    daemon.signal(SIGUSR2);
  }
  EXPECT_EQ(perdure::testing::proc_status(daemon.pid(), "Threads"), before);
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, AStormOfSignalsDisturbsNoAllocation) {
  Process daemon = foreground({"--do=allocate"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  constexpr int storm[] = {SIGUSR1, SIGUSR2, SIGHUP};
  for (int i = 0; i < 30'000; ++i) daemon.signal(storm[i % 3]);
  EXPECT_TRUE(run({"health"}).status.success());
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success()) << daemon.output();
}

TEST_F(Daemon, EachUserSignalHasItsEffect) {
  Process daemon = foreground({"--log-file", log});
  ASSERT_TRUE(log_has("serving"));
  daemon.signal(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return read_file(log + ".1").value_or("").find("serving") != std::string::npos; }));
  EXPECT_FALSE(read_file(dir / "user.signal").has_value());
  daemon.signal(SIGUSR2);
  EXPECT_TRUE(eventually([&] { return read_file(dir / "user.signal") == "heard\n"; }));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, AtLevelDebugEachStepOfItsLifeIsALine) {
  Process daemon = foreground({"--log-level=debug"});
  ASSERT_TRUE(daemon.wait_for_output("BodyReady -> ready")) << daemon.output();
  daemon.signal(SIGHUP);
  ASSERT_TRUE(daemon.wait_for_output("ReloadRequested -> ready")) << daemon.output();
  ASSERT_TRUE(daemon.wait_for_output("ReloadFinished -> ready")) << daemon.output();
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
  EXPECT_THAT(daemon.output(), HasSubstr("StopRequested -> stopping"));
  EXPECT_THAT(daemon.output(), HasSubstr("BodyReturned -> "));
}

TEST_F(Daemon, ExitInAStopHookReleasesTheFilesToo) {
  options.env.emplace_back("PROBE_EXIT_IN_HOOK", "1");
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(6));
  EXPECT_FALSE(read_file(pid_file).has_value());
}

TEST_F(Daemon, AForkedChildThatExitsLeavesTheDaemonAlone) {
  Process daemon = foreground({"--do=fork-exit"});
  ASSERT_TRUE(daemon.wait_for_output("child ended with 0")) << daemon.output();
  EXPECT_TRUE(run({"health"}).status.success());
  EXPECT_TRUE(read_file(pid_file).has_value());
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, ASecondRunIsRefusedAndTheFirstStillHearsSignals) {
  Process daemon = foreground({"--do=run-twice"});
  ASSERT_TRUE(daemon.wait_for_output("second run gave 70")) << daemon.output();
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, AStderrThatNobodyReadsDoesNotHoldUpTheStop) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  options.pass_fds = {{ends[1], 9}};
  Process daemon{
      {"/bin/sh", "-c", std::string{"exec "} + PROBE + " --foreground --do=flood --config " + config + " 2>&9 9>&-"},
      options};
  options.pass_fds = {};
  ASSERT_TRUE(eventually([&] { return run({"health"}).status.success(); }));
  daemon.signal(SIGTERM);
  EXPECT_TRUE(daemon.wait().success());
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(Daemon, AFirstSignalAfterAStopByCommandIsNotASecondOne) {
  options.env.emplace_back("PROBE_STOP_MS", "300");
  Process daemon = foreground({"--do=ignore-stop"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  Process asked{command({"stop"}), options};
  ASSERT_TRUE(
      eventually([&] { return run({"health"}).output.find("stopping") != std::string::npos || daemon.poll().has_value(); }));
  if (!daemon.poll()) daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait(), perdure::ExitStatus::exited(70)) << "the budget ended it, not the first signal";
}

}  // namespace
}  // namespace probe
