// Collector and reporter as processes, over the real socket.
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using testing::HasSubstr;

struct MetricsCollector : testing::Test {
  perdure::testing::TempDir dir;
  std::string name = "perdure-metrics-" + std::to_string(getpid());
  std::string address = std::string(1, '\0') + name;

  Process start(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--socket=" + name, "--pid-file=" + dir.path() + "/pid",
                                   "--control=none"};
    words.insert(words.end(), more.begin(), more.end());
    return Process{words};
  }
  void wait_until_it_listens(Process& collector) const {
    ASSERT_TRUE(collector.wait_for_output("[collector] listening on abstract socket '" + name + "'\n"))
        << collector.output();
  }
};

TEST_F(MetricsCollector, AveragesTheReportersFiveAndEnds) {
  Process collector = start({"--demo"});
  EXPECT_EQ(collector.wait().text(), "exited with 0") << collector.output();
  const std::string output = collector.output();
  EXPECT_THAT(output, HasSubstr("[collector] listening on abstract socket '" + name + "'\n"));
  EXPECT_THAT(output, HasSubstr("\n cpu: avg=48.75 (n=2)\n mem: avg=70.00 (n=2)\n"));
  for (const char* reply : {"cpu: avg=42.50", "cpu: avg=48.75", "mem: avg=71.20", "mem: avg=70.00", "dumped"})
    EXPECT_THAT(output, HasSubstr("[reporter] " + std::string{reply} + "\n"));
}

TEST_F(MetricsCollector, AnswersEachConnectionOnceAndClosesIt) {
  Process collector = start({});
  wait_until_it_listens(collector);
  EXPECT_EQ(trial::ask(address, R"({"name":"cpu","value":-4.25e1})"), "cpu: avg=-42.50\n");
  EXPECT_EQ(trial::ask(address, R"({"name":"cpu","value":"high"})"), "");
  EXPECT_EQ(trial::ask(address, R"({"name":"cpu","val)"), "") << "cut off by its sender";
  EXPECT_EQ(trial::ask(address, std::string(600, 'x')), "");
  EXPECT_EQ(trial::ask(address, R"({"name":"dump"})"), "dumped");
  EXPECT_TRUE(collector.wait_for_output(" cpu: avg=-42.50 (n=1)\n"));
}

TEST_F(MetricsCollector, ARequestMayArriveInPiecesWhileOthersAreSilent) {
  Process collector = start({});
  wait_until_it_listens(collector);
  const auto silent = trial::connect_to(address);
  const auto slow = trial::connect_to(address);
  trial::say(slow, R"({"name":"mem",)");
  EXPECT_EQ(trial::ask(address, R"({"name":"cpu","value":1})"), "cpu: avg=1.00\n");
  trial::say(slow, R"("value":71.2})");
  EXPECT_EQ(trial::hear(slow), "mem: avg=71.20\n");
  EXPECT_EQ(trial::hear(silent), "") << "closed after its time";
}

TEST_F(MetricsCollector, LeavesNothingBehindWhenItIsKilled) {
  {
    Process collector = start({});
    wait_until_it_listens(collector);
    collector.signal(SIGKILL);
    collector.wait();
  }
  Process next = start({"--count=1"});
  wait_until_it_listens(next);
  EXPECT_EQ(trial::ask(address, R"({"name":"cpu","value":2})"), "cpu: avg=2.00\n");
  EXPECT_EQ(next.wait().text(), "exited with 0") << "one connection was asked for";
}

TEST_F(MetricsCollector, ATakenNameIsSaidOnTheTerminalOfADetachedStart) {
  Process first = start({});
  wait_until_it_listens(first);
  const auto second =
      perdure::testing::run({EXAMPLE_PROGRAM, "--daemon", "--socket=" + name, "--pid-file=" + dir.path() + "/other",
                             "--control=none", "--log-file=" + dir.path() + "/log"});
  EXPECT_FALSE(second.status.success());
  EXPECT_THAT(second.output, HasSubstr("cannot listen on abstract socket " + name));
  EXPECT_THAT(second.output, HasSubstr("(EADDRINUSE)"));
}

TEST_F(MetricsCollector, RefusesOtherUsers) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  Process collector = start({});
  wait_until_it_listens(collector);
  // Root is served; what another uid gets is shown by a client that gives its rights up first.
  const auto refused =
      perdure::testing::run({"setpriv", "--reuid=65534", "--clear-groups", EXAMPLE_PROGRAM, "--report", name});
  if (refused.status.value() == 127) GTEST_SKIP() << "setpriv is not installed";
  EXPECT_THAT(refused.output, testing::Not(HasSubstr("avg=")));
}

}  // namespace
