// The probe in a directory of its own: every test of the whole daemon starts from here.
#pragma once

#include <perdure/exit_status.hpp>
#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace probe {

using perdure::testing::eventually;
using perdure::testing::Finished;
using perdure::testing::Process;
using perdure::testing::read_file;
using perdure::testing::write_file;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

struct Daemon : ::testing::Test {
  perdure::testing::TempDir dir;
  std::string config = dir / "probe.conf";
  std::string log = dir / "probe.log";
  std::string pid_file = dir / "probe.pid";
  perdure::testing::ProcessOptions options{
      .env = {{"RUNTIME_DIRECTORY", dir.path()}, {"PROBE_DIRECTORY", dir.path()}, {"NO_COLOR", "1"}},
      .unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"},
      .working_directory = dir.path()};

  void SetUp() override {
    perdure::testing::adopt_orphans();
    write_file(config, "number = 1\n");
  }

  [[nodiscard]] std::vector<std::string> command(std::vector<std::string> words) const {
    words.insert(words.begin(), PROBE);
    words.insert(words.end(), {"--config", config, "--log-file", log});
    return words;
  }
  /// Runs it to its end: client verbs, refusals, the first process of a detached start.
  Finished run(std::vector<std::string> words) { return perdure::testing::run(command(std::move(words)), options); }
  /// In the foreground, as a child of the test; its log goes to the terminal's place.
  Process foreground(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {PROBE, "--foreground", "--config", config});
    return Process{std::move(words), options};
  }
  /// Detached; gives the daemon's pid once the first process has said that it is ready.
  pid_t detached(std::vector<std::string> words = {}) {
    words.insert(words.begin(), "--daemon");
    const Finished started = run(std::move(words));
    EXPECT_TRUE(started.status.success()) << started.status.text() << "\n" << started.output;
    const auto pid = perdure::PidFile::holder(pid_file);
    EXPECT_TRUE(pid.has_value());
    return pid.value_or(0);
  }
  std::string log_text() { return read_file(log).value_or(""); }
  bool log_has(std::string_view text) {
    return eventually([&] { return log_text().find(text) != std::string::npos; });
  }
};

}  // namespace probe
