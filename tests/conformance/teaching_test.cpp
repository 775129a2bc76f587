// What the documents teach in a few lines each, shown with lines of our own, so in any clone: fork and session, a daemon that is set
// from its environment, one lock of many.
#include <csignal>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::TempDir;
using perdure::testing::write_file;
using testing::HasSubstr;

TEST(Fork, TellsBothSidesWhoTheyAreAndTheParentWaits) {
  Process demo{{TEACHING, "fork"}};
  EXPECT_EQ(demo.wait().text(), "exited with 0") << "the child was reaped, with its code";
  const std::string said = demo.output(), child_says = "I'm child, my PID is ";
  const std::size_t at = said.find(child_says);
  ASSERT_NE(at, std::string::npos) << said;
  const std::string child = said.substr(at + child_says.size(), said.find('\n', at) - at - child_says.size());
  EXPECT_NE(child, std::to_string(demo.pid()));
  EXPECT_THAT(said, HasSubstr("I'm parent, child PID is " + child + "\n"));
}

struct Who {
  long pid = 0, session = 0, group = 0, terminal = -1;
};

TEST(Session, OnlyItsLeaderGetsATerminalAndADaemonIsNone) {
  const Finished demo = perdure::testing::run({TEACHING, "session"});
  if (demo.status.value() == 77) GTEST_SKIP() << "no pseudo-terminal can be had here: " << demo.output;
  ASSERT_EQ(demo.status.text(), "exited with 0") << demo.output;
  std::map<std::string, Who> all;
  std::istringstream lines{demo.output};
  std::string name;
  for (Who who; lines >> name >> who.pid >> who.session >> who.group >> who.terminal;) all[name] = who;
  ASSERT_EQ(all.size(), 3u) << demo.output;

  const Who leader = all["leader"];
  EXPECT_EQ(leader.session, leader.pid);
  EXPECT_EQ(leader.group, leader.pid);
  EXPECT_EQ(leader.terminal, 0) << "a new session has none";
  EXPECT_NE(all["leader-with-terminal-open"].terminal, 0) << "an open(2) is enough";
  const Who daemon = all["daemon-with-terminal-open"];
  EXPECT_NE(daemon.session, daemon.pid) << "that is what the second fork is for";
  EXPECT_EQ(daemon.session, leader.session);
  EXPECT_EQ(daemon.terminal, 0);
}

TEST(PidFileLock, IsExclusiveTakesOverAStaleFileAndGoesWithItsOwner) {
  const TempDir dir;
  const std::string path = dir / "lock.pid";
  write_file(path, "999999999\n");
  Process first{{TEACHING, "lock", path}};
  ASSERT_TRUE(first.wait_for_output("has it\n")) << first.output();
  EXPECT_EQ(perdure::testing::read_file(path), std::to_string(first.pid()) + "\n");
  Process second{{TEACHING, "lock", path}};
  EXPECT_TRUE(second.wait_for_output("refused\n")) << second.output();
  second.close_input();
  EXPECT_EQ(second.wait().text(), "exited with 0");
  EXPECT_EQ(perdure::testing::read_file(path), std::to_string(first.pid()) + "\n") << "who was refused touches nothing";
  first.close_input();
  EXPECT_EQ(first.wait().text(), "exited with 0");
  EXPECT_FALSE(perdure::testing::read_file(path).has_value());
}

TEST(PidFileLock, OfTwentyThatFindAStaleOrAnEmptyFileExactlyOneHasIt) {
  for (const char* content : {"999999999\n", ""}) {
    const TempDir dir;
    write_file(dir / "lock.pid", content);
    std::vector<Process> starts;
    for (int i = 0; i < 20; ++i) starts.emplace_back(std::vector<std::string>{TEACHING, "lock", dir / "lock.pid"});
    int holders = 0;
    for (Process& start : starts) {
      ASSERT_TRUE(start.wait_for_output("\n"));
      holders += start.output() == "has it\n" ? 1 : 0;
    }
    EXPECT_EQ(holders, 1);
  }
}

struct FromEnvironment : testing::Test {
  TempDir dir;
  std::string config = dir / "daemon.conf";

  Finished settings(std::vector<std::pair<std::string, std::string>> env, std::vector<std::string> words = {}) const {
    words.insert(words.begin(), {TEACHING, "--config=" + config, "--print-config"});
    return perdure::testing::run(
        words, {.env = std::move(env), .unset_env = {"DAEMON_DEBUG", "DAEMON_LOG_LEVEL", "SCAN_INTERVAL"}});
  }
};

TEST_F(FromEnvironment, EachSourceBeatsTheOneBefore) {
  write_file(config, "");
  EXPECT_THAT(settings({}).output, HasSubstr("\nscan_interval = 5min\n")) << "the default";
  EXPECT_THAT(settings({}).output, HasSubstr("\nlog_level = INFO\n"));
  EXPECT_THAT(settings({}).output, HasSubstr("debug = no\n"));
  write_file(config, "scan_interval = 200\nlog_level = ERROR\ndebug = yes\n");
  EXPECT_THAT(settings({}).output, HasSubstr("\nscan_interval = 3min 20s\n")) << "the file";
  const std::vector<std::pair<std::string, std::string>> env{
      {"SCAN_INTERVAL", "100"}, {"DAEMON_LOG_LEVEL", "DEBUG"}, {"DAEMON_DEBUG", "FALSE"}};
  EXPECT_THAT(settings(env).output, HasSubstr("\nscan_interval = 1min 40s\n")) << "the environment";
  EXPECT_THAT(settings(env).output, HasSubstr("\nlog_level = DEBUG\n"));
  EXPECT_THAT(settings(env).output, HasSubstr("debug = no\n"));
  const Finished all = settings(env, {"--scan-interval=50", "--debug"});
  EXPECT_THAT(all.output, HasSubstr("\nscan_interval = 50s\n")) << "the command line";
  EXPECT_THAT(all.output, HasSubstr("debug = yes\n"));
}

TEST_F(FromEnvironment, JunkIsRefusedByNameAndNothingIsStarted) {
  write_file(config, "");
  for (const auto& [name, value] :
       {std::pair{"SCAN_INTERVAL", "often"}, {"DAEMON_DEBUG", "perhaps"}, {"DAEMON_LOG_LEVEL", "LOUD"}}) {
    const Finished refused = settings({{name, value}});
    EXPECT_EQ(refused.status.value(), 78) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(name));
    EXPECT_THAT(refused.output, HasSubstr(value));
  }
  EXPECT_EQ(settings({{"DAEMON_DEBUG", "TRUE"}}).status.value(), 0);
}

TEST_F(FromEnvironment, TheDaemonDoesWhatItsEnvironmentSays) {
  write_file(config, "");
  Process daemon{{TEACHING, "--config=" + config, "--pid-file=" + (dir / "pid"), "--control=none"},
                 {.env = {{"DAEMON_LOG_LEVEL", "DEBUG"}, {"SCAN_INTERVAL", "7"}}}};
  EXPECT_TRUE(daemon.wait_for_output("scanning every 7 s")) << daemon.output();
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
}

}  // namespace
