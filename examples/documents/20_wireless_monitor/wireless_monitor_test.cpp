// The monitor with scanners that are shell scripts: one that finds something, one that fails, one that hangs.
#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::eventually;
using perdure::testing::Process;
using perdure::testing::read_file;
using testing::HasSubstr;
using testing::Not;

struct WirelessMonitor : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log", scanner = dir / "scanner";

  void scanner_is(const std::string& script) const {
    perdure::testing::write_file(scanner, "#!/bin/sh\n" + script);
    ASSERT_EQ(chmod(scanner.c_str(), 0755), 0);
  }
  std::vector<std::string> command(std::vector<std::string> more, const std::vector<std::string>& scan) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + dir.path() + "/pid", "--control=none",
                                   "--log-file=" + log};
    words.insert(words.end(), more.begin(), more.end());
    words.emplace_back("--");
    words.insert(words.end(), scan.begin(), scan.end());
    return words;
  }
  Process start(std::vector<std::string> more = {}) const {
    more.emplace_back("--foreground");
    return Process{command(more, {scanner, "wlan7"})};
  }
};

TEST_F(WirelessMonitor, KeepsNamesFrequenciesAndSignalsAndScansAgain) {
  scanner_is(R"(echo "$1     Scan completed :
          Cell 01 - Address: 00:11:22:33:44:55
                    Channel:6
                    Frequency:2.437 GHz (Channel 6)
                    Quality=54/70  Signal level=-56 dBm
                    ESSID:\"upstairs on $1\"
                    Mode:Master"
  echo scanned >> "$(dirname "$0")/scans")");
  auto monitor = start({"--every=10ms", "--log-level=debug"});
  EXPECT_TRUE(eventually([&] { return read_file(dir / "scans").value_or("").starts_with("scanned\nscanned\n"); }));
  ASSERT_TRUE(trial::file_says(log, "Scan complete\n"));
  monitor.signal(SIGTERM);
  EXPECT_EQ(monitor.wait().text(), "exited with 0");
  const std::string text = *read_file(log);
  EXPECT_THAT(text, HasSubstr("Wireless monitor started\n"));
  for (const char* kept :
       {" Frequency:2.437 GHz (Channel 6)\n", " Quality=54/70  Signal level=-56 dBm\n", " ESSID:\"upstairs on wlan7\"\n"})
    EXPECT_THAT(text, HasSubstr(kept));
  for (const char* dropped : {"Address", "Mode", "Scan completed"}) EXPECT_THAT(text, Not(HasSubstr(dropped)));
  EXPECT_THAT(text, HasSubstr("Wireless monitor stopped\n"));
}

TEST_F(WirelessMonitor, AScannerThatFailsIsLoggedWithItsReasonAndTheLoopGoesOn) {
  scanner_is("echo 'wlan7     Interface does not support scanning' >&2; exit 3");
  auto monitor = start({"--every=10ms"});
  const std::string line = "Scan failed: " + scanner + " exited with 3: wlan7     Interface does not support scanning\n";
  EXPECT_TRUE(eventually([&] {
    const std::string text = read_file(log).value_or("");
    const auto first = text.find(line);
    return first != std::string::npos && text.find(line, first + 1) != std::string::npos;
  })) << read_file(log).value_or("");
}

TEST_F(WirelessMonitor, AScannerThatFindsNothingHasNotFailed) {
  scanner_is("echo 'wlan7     No scan results'");
  auto monitor = start({"--every=10ms", "--log-level=debug"});
  EXPECT_TRUE(trial::file_says(log, "Scan complete\n"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("Scan failed")));
}

TEST_F(WirelessMonitor, AMissingScannerIsNamedAndStartsNothingElse) {
  auto monitor = start({"--every=10ms"});
  EXPECT_TRUE(trial::file_says(log, "Scan failed: cannot start " + scanner));
  EXPECT_TRUE(trial::file_says(log, "(ENOENT)\n"));
  EXPECT_FALSE(monitor.poll());
}

TEST_F(WirelessMonitor, AScannerThatHangsIsKilledWithAllItStarted) {
  scanner_is("sleep 1000 & echo $! > \"$(dirname \"$0\")/grandchild\"; sleep 1000");
  auto monitor = start({"--within=500ms", "--every=1h"});
  EXPECT_TRUE(trial::file_says(log, "Scan failed: it took longer than 500 ms and was killed\n"));
  const pid_t grandchild = trial::pid_in(dir / "grandchild");
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(eventually([&] { return perdure::testing::has_ended(grandchild); }));
  EXPECT_FALSE(monitor.poll());
}

TEST_F(WirelessMonitor, SigtermDuringAScanEndsBoth) {
  scanner_is("echo $$ > \"$(dirname \"$0\")/pid.scanner\"; exec sleep 1000");
  auto monitor = start();
  ASSERT_TRUE(eventually([&] { return trial::pid_in(dir / "pid.scanner") > 0; }));
  monitor.signal(SIGTERM);
  // Within the stop budget of 5 s: whoever is later ends with 70.
  EXPECT_EQ(monitor.wait().text(), "exited with 0");
  EXPECT_TRUE(perdure::testing::has_ended(trial::pid_in(dir / "pid.scanner")));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("Scan failed")));
}

TEST_F(WirelessMonitor, WordsAreNotReadByAShell) {
  auto monitor = Process{command({"--foreground", "--every=1h"}, {"/bin/echo", "SSID; touch", dir / "made", "$(id)"})};
  EXPECT_TRUE(trial::file_says(log, "SSID; touch " + dir.path() + "/made $(id)\n"));
  EXPECT_FALSE(trial::exists(dir / "made"));
}

TEST_F(WirelessMonitor, ADetachedStartDoesNotWaitForTheFirstScan) {
  scanner_is("exec sleep 1000");
  const auto started = perdure::testing::run(command({"--daemon"}, {scanner}));
  EXPECT_EQ(started.status.text(), "exited with 0") << started.output;
  EXPECT_EQ(perdure::testing::kill_adopted(trial::pid_in(dir / "pid"), SIGTERM).text(), "exited with 0");
}

TEST_F(WirelessMonitor, HasTheDocumentsPeriodByDefault) {
  EXPECT_THAT(perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"}).output, HasSubstr("every = 1min"));
}

}  // namespace
