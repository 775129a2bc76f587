// The life of mydaemon as the document tells it, and its control socket.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::EndsWith;
using testing::HasSubstr;

struct MyDaemon : testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "mydaemon.conf", pid_file = dir / "mydaemon.pid", log = dir / "mydaemon.log",
              socket = dir / "mydaemon.sock";

  MyDaemon() { write_file(config, "period = 10s\n"); }
  std::vector<std::string> command(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM};
    words.insert(words.end(), more.begin(), more.end());
    for (const std::string& word :
         {"--config=" + config, "--pid-file=" + pid_file, "--log-file=" + log, "--control=" + socket})
      words.push_back(word);
    return words;
  }
  perdure::testing::Finished start(std::vector<std::string> more = {}) const { return perdure::testing::run(command(more)); }
};

TEST_F(MyDaemon, DetachesWorksAndCleansUpAfterSigterm) {
  const auto started = start();
  ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
  const pid_t pid = trial::pid_in(pid_file);
  ASSERT_GT(pid, 0);
  EXPECT_NE(perdure::testing::proc_status(pid, "SigCgt"), "");
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd"), "/");
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/0"), "/dev/null");
  EXPECT_NE(getsid(pid), getsid(0));
  EXPECT_NE(getsid(pid), pid) << "not a session leader: it cannot get a terminal";
  EXPECT_TRUE(trial::file_says(log, "mydaemon started (PID " + std::to_string(pid) + ")"));

  EXPECT_EQ(perdure::testing::kill_adopted(pid, SIGTERM).text(), "exited with 0");
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_FALSE(trial::exists(socket));
  EXPECT_THAT(*read_file(log), EndsWith("mydaemon shutting down\n"));
}

TEST_F(MyDaemon, WithoutItsConfigurationItSaysSoOnTheTerminalAndStartsNothing) {
  config = dir / "missing.conf";
  const auto started = start();
  EXPECT_EQ(started.status.text(), "exited with 1");
  EXPECT_THAT(started.output, HasSubstr("Config file not found: " + config));
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_FALSE(trial::exists(log));
}

TEST_F(MyDaemon, WithABadConfigurationItNamesTheLine) {
  write_file(config, "# ours\nperiod = soon\n");
  const auto started = start();
  EXPECT_EQ(started.status.text(), "exited with 1");
  EXPECT_THAT(started.output, HasSubstr(config + ":2:"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(MyDaemon, ASecondStartIsRefusedAndNamesTheFirst) {
  ASSERT_TRUE(start().status.success());
  const auto second = start();
  EXPECT_EQ(second.status.text(), "exited with 1");
  EXPECT_THAT(second.output, HasSubstr(std::to_string(trial::pid_in(pid_file))));
}

TEST_F(MyDaemon, WorksOncePerPeriodAndSaysSoAtLevelDebug) {
  write_file(config, "period = 10ms\n");
  ASSERT_TRUE(start({"--log-level=debug"}).status.success());
  EXPECT_TRUE(eventually([&] {
    const auto text = read_file(log).value_or("");
    const auto first = text.find("Daemon working...");
    return first != std::string::npos && text.find("Daemon working...", first + 1) != std::string::npos;
  }));
}

TEST_F(MyDaemon, AnswersReloadWithOkOnceTheNewConfigurationIsInForce) {
  write_file(config, "period = 10ms\n");
  ASSERT_TRUE(start({"--log-level=debug"}).status.success());
  for (const std::string request : {"reload", "reload\n", "reload\r\n"}) {
    write_file(config, "period = 10ms\nmessage = now with " + std::to_string(request.size()) + "\n");
    EXPECT_EQ(trial::ask(socket, request), "OK\n");
  }
  EXPECT_TRUE(trial::file_says(log, "now with 8"));
  struct stat status {};
  ASSERT_EQ(stat(socket.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(MyDaemon, ABadConfigurationIsRefusedAndTheOldOneStaysInForce) {
  write_file(config, "period = 10ms\nmessage = the old one\n");
  ASSERT_TRUE(start({"--log-level=debug"}).status.success());
  write_file(config, "period = 10ms\nmesage = the new one\n");
  EXPECT_THAT(trial::ask(socket, "reload"), HasSubstr("error: reload refused: " + config + ":2:"));
  const auto before = read_file(log)->size();
  EXPECT_TRUE(eventually([&] { return read_file(log)->find("the old one", before) != std::string::npos; }));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("the new one\n")));
}

TEST_F(MyDaemon, ARequestMayArriveInPiecesWhileOthersAreSilentOrTalkGarbage) {
  ASSERT_TRUE(start().status.success());
  const auto silent = trial::connect_to(socket);
  const auto garbage = trial::connect_to(socket);
  trial::say(garbage, std::string(10'000, '\xff'));
  const auto slow = trial::connect_to(socket);
  trial::say(slow, "rel");
  EXPECT_EQ(trial::ask(socket, "reload\n"), "OK\n") << "nobody waits for the others";
  trial::say(slow, "oad\n");
  EXPECT_EQ(trial::hear(slow), "OK\n");
}

TEST_F(MyDaemon, SurvivesAHangupOfTheTerminal) {
  perdure::testing::Process daemon{command({"--foreground"})};
  ASSERT_TRUE(eventually([&] { return trial::exists(socket) && trial::pid_in(pid_file) == daemon.pid(); }));
  daemon.signal(SIGHUP);
  EXPECT_EQ(trial::ask(socket, "reload\n"), "OK\n");
  daemon.signal(SIGINT);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
}

}  // namespace
