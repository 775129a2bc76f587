// The daemon: its targets file, its own scan of the loopback, and commands of somebody else's.
#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "loopback.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::HasSubstr;
using testing::Not;

struct NetworkScanner : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log", targets = dir / "targets.txt", scanner = dir / "scanner";

  void scanner_is(const std::string& script) const {
    write_file(scanner, "#!/bin/sh\n" + script);
    ASSERT_EQ(chmod(scanner.c_str(), 0755), 0);
  }
  std::vector<std::string> command(const std::vector<std::string>& more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + dir.path() + "/pid", "--control=none",
                                   "--log-file=" + log, "--targets=" + targets};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Process start(std::vector<std::string> more) const {
    more.insert(more.begin(), "--foreground");
    return Process{command(more)};
  }
  std::string logged() const { return read_file(log).value_or(""); }
};

TEST_F(NetworkScanner, FindsOpenAndClosedPortsOfTheLoopback) {
  const TcpPort open{TcpPort::Listens::Yes}, closed{TcpPort::Listens::No};
  write_file(targets, "\n127.0.0.1\n\n\nlocalhost\n");
  const std::string o = std::to_string(open.number), c = std::to_string(closed.number);
  auto daemon = start({"--ports=" + o + "," + c, "--every=1h"});
  EXPECT_TRUE(trial::file_says(log, "Loaded 2 targets\n"));
  EXPECT_TRUE(trial::file_says(log, "127.0.0.1: " + o + " open, " + c + " closed\n")) << logged();
  EXPECT_TRUE(trial::file_says(log, "Scan complete for 127.0.0.1\n"));
  EXPECT_TRUE(trial::file_says(log, "Scan complete for localhost\n"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
}

TEST_F(NetworkScanner, AMissingTargetsFileIsLoggedAndWaitedFor) {
  auto daemon = start({"--every=10ms", "--ports=1"});
  EXPECT_TRUE(trial::file_says(log, "Failed to load targets: " + targets + " cannot be read\n"));
  write_file(dir / "new", "127.0.0.1\n");
  ASSERT_EQ(rename((dir / "new").c_str(), targets.c_str()), 0);
  EXPECT_TRUE(trial::file_says(log, "Loaded 1 targets\n"));
  EXPECT_TRUE(trial::file_says(log, "Scan complete for 127.0.0.1\n"));
}

TEST_F(NetworkScanner, ATargetThatLooksLikeAnOptionReachesNoCommand) {
  write_file(targets, "-oX\n127.0.0.1\n");
  auto daemon = start({"--every=1h", "--", "/bin/echo", "scanning", "{target}"});
  EXPECT_TRUE(trial::file_says(log, "Scan complete for 127.0.0.1\n"));
  EXPECT_THAT(logged(), HasSubstr(targets + ": line 1: \"-oX\" is no host name or address; it is left out\n"));
  EXPECT_THAT(logged(), HasSubstr("Loaded 1 targets\n"));
  EXPECT_THAT(logged(), HasSubstr("127.0.0.1: scanning 127.0.0.1\n"));
  EXPECT_THAT(logged(), Not(HasSubstr("scanning -oX")));
}

TEST_F(NetworkScanner, AFailingScanIsLoggedAndTheNextTargetIsScanned) {
  write_file(targets, "one\ntwo\n");
  scanner_is("[ $1 = two ] || { echo \"cannot reach $1\" >&2; exit 7; }");
  auto daemon = start({"--every=1h", "--", scanner, "{target}"});
  EXPECT_TRUE(trial::file_says(log, "Scan failed for one: it exited with 7: cannot reach one\n"));
  EXPECT_TRUE(trial::file_says(log, "Scan complete for two\n"));
}

TEST_F(NetworkScanner, AHungScannerIsKilledAtItsTimeWithAllItStarted) {
  write_file(targets, "one\ntwo\n");
  scanner_is("[ $1 = two ] && exit 0; sleep 1000 & echo $! > \"$(dirname \"$0\")/grandchild\"; wait");
  auto daemon = start({"--within=500ms", "--every=1h", "--", scanner, "{target}"});
  EXPECT_TRUE(trial::file_says(log, "Scan timeout for one\n"));
  EXPECT_TRUE(trial::file_says(log, "Scan complete for two\n"));
  const pid_t grandchild = trial::pid_in(dir / "grandchild");
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(eventually([&] { return perdure::testing::has_ended(grandchild); }));
}

TEST_F(NetworkScanner, AMissingScannerIsAnErrorOfItsTarget) {
  write_file(targets, "one\n");
  auto daemon = start({"--every=1h", "--", scanner, "{target}"});
  EXPECT_TRUE(trial::file_says(log, "Scan error for one: cannot start " + scanner)) << logged();
}

TEST_F(NetworkScanner, ANameThatNobodyKnowsFailsAndEndsNothing) {
  write_file(targets, "300.300.300.300.invalid\n127.0.0.1\n");
  auto daemon = start({"--every=1h", "--ports=1"});
  EXPECT_TRUE(trial::file_says(log, "Scan failed for 300.300.300.300.invalid: it exited with 1: cannot look up"))
      << logged();
  EXPECT_TRUE(trial::file_says(log, "Scan complete for 127.0.0.1\n"));
}

TEST_F(NetworkScanner, SigtermDuringAScanEndsBoth) {
  write_file(targets, "one\ntwo\n");
  scanner_is("echo $$ > \"$(dirname \"$0\")/pid.scanner\"; exec sleep 1000");
  auto daemon = start({"--", scanner, "{target}"});
  ASSERT_TRUE(eventually([&] { return trial::pid_in(dir / "pid.scanner") > 0; }));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_TRUE(perdure::testing::has_ended(trial::pid_in(dir / "pid.scanner")));
  EXPECT_THAT(logged(), Not(HasSubstr("two")));
}

TEST_F(NetworkScanner, HasTheDocumentsPortsAndTimeLimitByDefault) {
  const std::string printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"}).output;
  EXPECT_THAT(printed, HasSubstr("targets = /etc/scanner/targets.txt\n"));
  EXPECT_THAT(printed, HasSubstr("ports = 22,80,443,8080\n"));
  EXPECT_THAT(printed, HasSubstr("within = 5min\n"));
}

TEST_F(NetworkScanner, PortsThatAreNoneRefuseTheStart) {
  const auto refused = perdure::testing::run(command({"--ports=22,http"}));
  EXPECT_EQ(refused.status.text(), "exited with 78");
  EXPECT_THAT(refused.output, HasSubstr("up to 64 ports, with commas between them, are wanted"));
}

}  // namespace
