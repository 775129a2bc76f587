// The daemon as the document has it: start, stop, its configuration, its environment, and scans that find something, or throw.
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
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::ContainsRegex;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

struct SecurityScanner : testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "config.yaml", log = dir / "log", root = dir / "root", pid_file = dir / "pid",
              socket = dir / "sock";

  SecurityScanner() {
    std::filesystem::create_directory(root);
    configure("scan_interval: 0.02\n");
  }
  void configure(const std::string& more) const {
    write_file(dir / "new.yaml", "root: " + root + "\n" + more);
    ASSERT_EQ(rename((dir / "new.yaml").c_str(), config.c_str()), 0);
  }
  std::string plant(const std::string& name, mode_t mode) const {
    const std::string path = root + "/" + name;
    write_file(path, "x");
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  std::vector<std::string> command(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM};
    words.insert(words.end(), more.begin(), more.end());
    for (const std::string& word :
         {"--scan-config=" + config, "--pid-file=" + pid_file, "--control=" + socket, "--log-file=" + log})
      words.push_back(word);
    return words;
  }
  Process start(std::vector<std::pair<std::string, std::string>> env = {}) const {
    return Process{command({"--foreground"}), {.env = std::move(env)}};
  }
  std::string logged() const { return read_file(log).value_or(""); }
};

TEST_F(SecurityScanner, StartsAndStopsAsAskedTo) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"start"}, {}}) {  // start is what it does by itself
    const auto started = perdure::testing::run(command(words));
    ASSERT_EQ(started.status.text(), "exited with 0") << started.output;
    const pid_t pid = trial::pid_in(pid_file);
    ASSERT_GT(pid, 0);
    EXPECT_TRUE(trial::file_says(log, "Daemon started (PID " + std::to_string(pid) + ")\n"));
    EXPECT_TRUE(trial::file_says(log, "Scan complete: 0 findings, 0 directories could not be read\n"));
    EXPECT_THAT(logged(), HasSubstr("Configuration loaded from " + config + "\n"));
    EXPECT_EQ(perdure::testing::run(command({"stop"})).status.text(), "exited with 0");
    EXPECT_TRUE(perdure::testing::has_ended(pid));
    EXPECT_FALSE(trial::exists(pid_file));
    EXPECT_THAT(logged(), EndsWith("Daemon stopped\n"));
  }
  EXPECT_THAT(logged(), ContainsRegex("^[0-9-]+ [0-9:]+,[0-9]+ - security_scanner - INFO - Daemon started"));
}

TEST_F(SecurityScanner, StoppingNobodyAndAnUnknownVerbFail) {
  const auto nobody = perdure::testing::run(command({"stop"}));
  EXPECT_EQ(nobody.status.text(), "exited with 7");
  EXPECT_THAT(nobody.output, HasSubstr("is not running"));
  const auto usage = perdure::testing::run(command({"strat"}));
  EXPECT_EQ(usage.status.text(), "exited with 64");
  EXPECT_THAT(usage.output, HasSubstr("start"));
  EXPECT_THAT(usage.output, HasSubstr("--help"));
}

TEST_F(SecurityScanner, TellsWhatIsNewAndWhatIsGoneOnce) {
  const std::string first = plant("open", 0666);
  auto daemon = start();
  EXPECT_TRUE(trial::file_says(log, " - WARN - found: world-writable file: " + first + "\n")) << logged();
  const std::string second = plant("root-for-all", 04755);
  EXPECT_TRUE(trial::file_says(log, "found: setuid file: " + second));
  std::filesystem::remove(first);
  EXPECT_TRUE(trial::file_says(log, "gone: world-writable file: " + first + "\n"));
  const std::string text = logged();
  EXPECT_EQ(text.find("found: world-writable"), text.rfind("found: world-writable"));
}

TEST_F(SecurityScanner, AScanThatThrowsIsLoggedAndTheLoopGoesOn) {
  std::filesystem::remove(root);
  auto daemon = start();
  EXPECT_TRUE(trial::file_says(log, "Scan failed: cannot look below " + root + ": No such file or directory (ENOENT)\n"))
      << logged();
  std::filesystem::create_directory(root);
  const std::string planted = plant("open", 0666);
  EXPECT_TRUE(trial::file_says(log, "found: world-writable file: " + planted + "\n"));
  EXPECT_FALSE(daemon.poll());
}

TEST_F(SecurityScanner, SigtermEndsTheWaitForTheNextScan) {
  configure("scan_interval: 3600\n");
  auto daemon = start();
  ASSERT_TRUE(trial::file_says(log, "Scan complete"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(logged(), EndsWith("Daemon stopped\n"));
}

TEST_F(SecurityScanner, AReloadTakesTheNewRulesOrKeepsTheOld) {
  const std::string planted = plant("open", 0666);
  configure("scan_interval: 0.02\nchecks: [setuid]\n");
  auto daemon = start();
  ASSERT_TRUE(trial::file_says(log, "Scan complete: 0 findings"));
  write_file(config, "checks: [everything]\n");
  EXPECT_THAT(trial::ask(socket, "reload\n"), HasSubstr("error: reload refused: " + config + ":1:10: checks: "));
  EXPECT_FALSE(daemon.poll());
  configure("scan_interval: 0.02\n");
  EXPECT_EQ(trial::ask(socket, "reload\n"), "OK\n");
  EXPECT_TRUE(trial::file_says(log, "found: world-writable file: " + planted + "\n"));
}

TEST_F(SecurityScanner, AMissingConfigurationIsLoggedAndABadOneRefusesTheStart) {
  std::filesystem::remove(config);
  auto daemon = Process{command({"--foreground", "--scan-interval=1h"})};
  EXPECT_TRUE(
      trial::file_says(log, "Failed to load config: cannot open " + config + ": No such file or directory (ENOENT)"));
  daemon.signal(SIGTERM);  // in the middle of the default: a scan of everything
  EXPECT_EQ(daemon.wait().text(), "exited with 0");

  write_file(config, "scan_interval: often\n");
  const auto refused = perdure::testing::run(command({"start"}));
  EXPECT_EQ(refused.status.text(), "exited with 78");
  EXPECT_THAT(refused.output, HasSubstr(config + ":1:16: scan_interval: "));
  EXPECT_FALSE(trial::exists(pid_file));
}

// P22: defaults, then the files, then the environment, then the command line.
TEST_F(SecurityScanner, LaterSourcesOfTheIntervalWin) {
  const std::string settings = dir / "settings.conf";
  write_file(settings, "scan_interval = 20\n");
  const auto interval = [&](std::vector<std::string> words, std::vector<std::pair<std::string, std::string>> env) {
    words.insert(words.begin(), {EXAMPLE_PROGRAM, "--print-config"});
    const std::string text = perdure::testing::run(words, {.env = std::move(env), .unset_env = {"SCAN_INTERVAL"}}).output;
    const auto at = text.find("scan_interval = ");
    return at == std::string::npos ? "" : text.substr(at + 16, text.find('\n', at) - at - 16);
  };
  EXPECT_EQ(interval({}, {}), "") << "then the YAML file's, else 300 s";
  EXPECT_EQ(interval({"--config=" + settings}, {}), "20s");
  EXPECT_EQ(interval({"--config=" + settings}, {{"SCAN_INTERVAL", "30"}}), "30s");
  EXPECT_EQ(interval({"--config=" + settings, "--scan-interval=40"}, {{"SCAN_INTERVAL", "30"}}), "40s");
}

TEST_F(SecurityScanner, TheEnvironmentComesBeforeTheYamlFile) {
  configure("scan_interval: 3600\n");
  auto daemon = start({{"SCAN_INTERVAL", "0.02"}});
  EXPECT_TRUE(eventually([&] {
    const std::string text = logged();
    return text.find("Scan complete") != text.rfind("Scan complete");
  }));
}

TEST_F(SecurityScanner, TheLogLevelComesFromTheEnvironment) {
  for (const char* yes : {"true", "TRUE"}) {
    std::filesystem::remove(log);
    auto daemon = start({{"DAEMON_DEBUG", yes}});
    EXPECT_TRUE(trial::file_says(log, "Starting security scan\n")) << yes;
  }
  std::filesystem::remove(log);
  plant("open", 0666);
  auto daemon = start({{"DAEMON_DEBUG", "False"}, {"DAEMON_LOG_LEVEL", "WARNING"}});
  EXPECT_TRUE(trial::file_says(log, "found: "));
  EXPECT_THAT(logged(), Not(HasSubstr("INFO")));
}

TEST_F(SecurityScanner, WhatIsNoNumberOrLevelRefusesTheStart) {
  for (const auto& [name, value] :
       {std::pair{"SCAN_INTERVAL", "often"}, {"SCAN_INTERVAL", "-5"}, {"DAEMON_LOG_LEVEL", "LOUD"}}) {
    const auto refused = perdure::testing::run(command({"start"}), {.env = {{name, value}}});
    EXPECT_EQ(refused.status.text(), "exited with 78") << name;
    EXPECT_THAT(refused.output, HasSubstr(value));
  }
}

}  // namespace
