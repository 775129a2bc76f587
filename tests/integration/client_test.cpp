// The binary as its own client, and the command line's manners.
#include <ctime>

#include "probe.hpp"

namespace probe {
namespace {

TEST_F(Daemon, StatusHasTheExitCodesOfLsb) {
  EXPECT_EQ(run({"status"}).status, perdure::ExitStatus::exited(3));
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  const Finished running = run({"status"});
  EXPECT_EQ(running.status, perdure::ExitStatus::exited(0));
  EXPECT_THAT(running.output, HasSubstr("probe 0.0.1: running, pid " + std::to_string(daemon.pid())));
  daemon.signal(SIGTERM);
  daemon.wait();
  EXPECT_EQ(run({"status"}).status, perdure::ExitStatus::exited(3));
  EXPECT_EQ(run({"stop"}).status, perdure::ExitStatus::exited(7));
  EXPECT_EQ(run({"reload"}).status, perdure::ExitStatus::exited(7));
}

TEST_F(Daemon, VerbsReachOneWithoutAControlSocketByItsLock) {
  detached({"--control=none"});
  EXPECT_EQ(run({"status", "--control=none"}).status, perdure::ExitStatus::exited(0));
  write_file(config, "number = 5\n");
  EXPECT_TRUE(run({"reload", "--control=none"}).status.success());
  EXPECT_TRUE(log_has("configuration reloaded")) << log_text();
  EXPECT_TRUE(run({"stop", "--control=none"}).status.success());
  EXPECT_EQ(run({"status", "--control=none"}).status, perdure::ExitStatus::exited(3));
}

TEST_F(Daemon, VerbsLookWhereTheSettingsSay) {
  const std::string here = dir / "here.health", there = dir / "there.health", elsewhere = dir / "elsewhere.health";
  const std::string now = std::to_string(::time(nullptr)) + "\n";
  write_file(here, now);
  const auto ask = [&](std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"health", "--max-age", "1000"});
    return run(std::move(more));
  };
  EXPECT_THAT(ask().output, HasSubstr("keeps no health file"));
  EXPECT_EQ(ask().status, perdure::ExitStatus::exited(64));
  write_file(config, "health_file = " + here + "\n");
  EXPECT_EQ(ask().status, perdure::ExitStatus::exited(0)) << ask().output;
  options.env.emplace_back("PROBE_HEALTH_FILE", there);
  EXPECT_THAT(ask().output, HasSubstr(there)) << "the environment beats the file";
  EXPECT_THAT(ask({"--health-file", elsewhere}).output, HasSubstr(elsewhere)) << "the command line beats both";
  EXPECT_EQ(ask({"--health-file", elsewhere}).status, perdure::ExitStatus::exited(2));
  EXPECT_EQ(ask({"--health-file", "here.health"}).status, perdure::ExitStatus::exited(0));

  write_file(here, std::to_string(::time(nullptr) + 100'000) + "\n");
  EXPECT_EQ(ask({"--health-file", here}).status, perdure::ExitStatus::exited(2))
      << "a time far in the future is no sign of life";
}

TEST_F(Daemon, AConfigurationThatIsBrokenHindersNobodyFromStoppingIt) {
  Process daemon = foreground({"--health-file", dir / "h"});
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  write_file(config, "number = bad\n");
  const Finished health = run({"health", "--max-age", "1000", "--health-file", dir / "h"});
  EXPECT_EQ(health.status, perdure::ExitStatus::exited(0)) << "the command line still counts: " << health.output;
  EXPECT_THAT(health.output, Not(HasSubstr("probe.conf"))) << "nothing was wrong with what was asked";
  const Finished lost = run({"health", "--max-age", "1000", "--health-file", dir / "no"});
  EXPECT_EQ(lost.status, perdure::ExitStatus::exited(2));
  EXPECT_THAT(lost.output, HasSubstr("left out of this, for it was refused: " + config + ":1:"));
  EXPECT_TRUE(run({"status"}).status.success());
  EXPECT_THAT(run({"--print-unit"}).output, HasSubstr("Type=notify"));
  EXPECT_TRUE(run({"stop"}).status.success());
  EXPECT_TRUE(daemon.wait().success());
}

TEST_F(Daemon, RestartGivesANewProcess) {
  const pid_t first = detached();
  const Finished restarted = run({"restart"});
  ASSERT_TRUE(restarted.status.success()) << restarted.output;
  const auto second = perdure::PidFile::holder(pid_file);
  ASSERT_TRUE(second);
  EXPECT_NE(*second, first);
  write_file(config, "number = bad\n");
  EXPECT_EQ(run({"restart"}).status, perdure::ExitStatus::exited(78));
  EXPECT_EQ(perdure::PidFile::holder(pid_file), second) << "nothing is stopped for a configuration that would not start";
  write_file(config, "number = 1\n");
  EXPECT_TRUE(run({"stop"}).status.success());
}

TEST_F(Daemon, CommandsAnswerThrowAndTimeOut) {
  Process daemon = foreground();
  ASSERT_TRUE(daemon.wait_for_output("serving"));
  EXPECT_EQ(run({"number"}).output, "1\n");
  EXPECT_THAT(run({"boom"}).output, HasSubstr("boom"));
  EXPECT_THAT(run({"slow"}).output, HasSubstr("timed out"));
  EXPECT_EQ(run({"log-level"}).output, "INFO\n");
  EXPECT_EQ(run({"log-level", "debug"}).output, "DEBUG\n");
  EXPECT_EQ(run({"log-level", "loud"}).status.value(), 1);
  EXPECT_THAT(run({"metrics"}).output, HasSubstr("perdure_up 1"));
}

TEST_F(Daemon, TheCommandLineSaysWhatIsWrongWithIt) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--foregruond"}, "did you mean --foreground"},
      {{"statsu"}, "did you mean status"},
      {{"--log-level=loud"}, "none of debug, info"},
      {{"--foreground", "--daemon"}, "--daemon"},
      {{"--within=soon"}, "within"},
      {{"--instance=a/b"}, "--instance"},
  };
  for (const auto& [words, expected] : cases) {
    const Finished refused = run(words);
    EXPECT_TRUE(refused.status.value() == 64 || refused.status.value() == 78) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(expected));
    EXPECT_THAT(refused.output, HasSubstr("probe: "));
  }
  EXPECT_FALSE(read_file(pid_file).has_value());
}

TEST_F(Daemon, InstancesLiveSideBySide) {
  ASSERT_TRUE(run({"start", "--instance=a"}).status.success());
  ASSERT_TRUE(run({"start", "--instance=b"}).status.success());
  EXPECT_EQ(run({"start", "--instance=a"}).status, perdure::ExitStatus::exited(75));
  EXPECT_THAT(run({"status", "--instance=a"}).output, HasSubstr("probe@a"));
  EXPECT_TRUE(run({"stop", "--instance=a"}).status.success());
  EXPECT_TRUE(run({"status", "--instance=b"}).status.success());
  EXPECT_TRUE(run({"stop", "--instance=b"}).status.success());
}

TEST_F(Daemon, HelpVersionAndTheUnitFileArePrinted) {
  const Finished help = run({"--help"});
  EXPECT_TRUE(help.status.success());
  for (const char* word : {"--pid-file", "--within", "Verbs", "number", "status"}) EXPECT_THAT(help.output, HasSubstr(word));
  EXPECT_THAT(run({"--version"}).output, HasSubstr("probe 0.0.1"));
  const Finished unit = run({"--print-unit"});
  for (const char* line : {"Type=notify", "ExecReload=", "NoNewPrivileges=yes", "WantedBy=multi-user.target"})
    EXPECT_THAT(unit.output, HasSubstr(line));
  EXPECT_THAT(run({"--print-config"}).output, HasSubstr("secret = ***"));
  EXPECT_TRUE(run({"--check-config"}).status.success());
}

TEST_F(Daemon, ThePrintedUnitIsOneThatSystemdTakes) {
  const std::string unit = dir / "probe.service";
  const auto verify = [&](const std::string& text) {
    write_file(unit, text);
    return perdure::testing::run({"/usr/bin/systemd-analyze", "verify", "--man=no", unit}, options);
  };
  const std::string good = "[Service]\nExecStart=/bin/true\n";
  if (!verify(good).status.success()) GTEST_SKIP() << "systemd-analyze is not installed, or cannot verify here";
  ASSERT_THAT(verify(good + "Typo=yes\n").output, HasSubstr("Typo")) << "it says nothing about anything";

  for (std::vector<std::string> words :
       {std::vector<std::string>{}, {"--pid-file", dir / "with blank.pid"}, {"--health-file", dir / "100%$x"}}) {
    words.insert(words.begin(), "--print-unit");
    const Finished printed = run(words);
    const Finished verified = verify(printed.output);
    EXPECT_TRUE(verified.status.success()) << verified.output;
    EXPECT_THAT(verified.output, Not(HasSubstr("probe.service"))) << printed.output;
  }
}

}  // namespace
}  // namespace probe
