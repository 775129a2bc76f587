// Every system call of a daemon's life fails once: a start either fails with a reason or goes on, and leaves nothing behind.
#include <perdure/exit_status.hpp>
#include <perdure/pid_file.hpp>
#include <perdure/testing/process.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using perdure::testing::Finished;
using perdure::testing::read_file;
using perdure::testing::write_file;
using testing::ContainsRegex;
using testing::HasSubstr;

struct StartFaults : testing::Test {
  perdure::testing::TempDir dir;

  void SetUp() override { perdure::testing::adopt_orphans(); }

  /// In an empty directory, with every file that a daemon can have.
  Finished start(const std::string& mode, unsigned nth, int error) {
    for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) std::filesystem::remove_all(entry.path());
    write_file(dir / "c.conf", "health_file = " + dir / "health" + "\n");
    return again(mode, nth, error);
  }
  Finished again(const std::string& mode, unsigned nth, int error) {
    return perdure::testing::run(
        {START_PROBE, mode, "--config", dir / "c.conf", "--log-file", dir / "log", "--pid-file", dir / "pid"},
        {.env = {{"RUNTIME_DIRECTORY", dir.path()},
                 {"FAULT_NTH", std::to_string(nth)},
                 {"FAULT_ERRNO", std::to_string(error)}},
         .unset_env = {"NOTIFY_SOCKET", "JOURNAL_STREAM", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC", "WATCHDOG_PID"},
         .working_directory = dir.path()});
  }
  /// What is there besides the configuration and a log with something in it.
  std::vector<std::string> left_behind() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{dir.path()}) {
      const std::string name = entry.path().filename();
      if (name != "c.conf" && !(name == "log" && entry.file_size() > 0)) names.push_back(name);
    }
    return names;
  }
  static std::string failed_call(const std::string& output) {
    const auto at = output.rfind("fault: ");
    return at == std::string::npos ? "" : output.substr(at + 7, output.find(' ', at + 7) - at - 7);
  }
};

/// Calls that take things away again, or look whether they may: when these fail, what they were for stays.
bool clears_up(const std::string& call) {
  constexpr std::array clearing{"unlink", "lstat", "fstat", "flock"};
  return std::find(clearing.begin(), clearing.end(), call) != clearing.end();
}

TEST_F(StartFaults, EveryCallMayFailOnceInTheForeground) {
  const Finished well = start("--foreground", 0, 0);
  ASSERT_EQ(well.status, perdure::ExitStatus::exited(0)) << well.output;
  ASSERT_THAT(left_behind(), testing::IsEmpty());
  const auto calls = static_cast<unsigned>(std::stoul(well.output.substr(well.output.rfind(" of ") + 4)));
  ASSERT_GT(calls, 50u) << "the plan does not see the calls";

  unsigned refused = 0;
  for (const int error : {EIO, EMFILE}) {
    const std::string name = error == EIO ? "EIO" : "EMFILE";
    for (unsigned nth = 1; nth <= calls; ++nth) {
      const Finished finished = start("--foreground", nth, error);
      const std::string call = failed_call(finished.output);
      SCOPED_TRACE(name + " from call " + std::to_string(nth) + ", " + call + ": " + finished.output);
      ASSERT_EQ(finished.status.kind(), perdure::ExitStatus::Kind::Exited) << finished.status.text();
      if (!finished.status.success()) {
        ++refused;
        EXPECT_THAT(finished.output, ContainsRegex("start_probe: .*cannot .*\\(" + name + "\\).*nothing was started"));
      }
      if (!clears_up(call)) {
        EXPECT_THAT(left_behind(), testing::IsEmpty());
      }
      const Finished next = again("--foreground", 0, 0);
      EXPECT_TRUE(next.status.success()) << "what is left hinders the next start: " << next.output;
    }
  }
  EXPECT_GT(refused, 10u) << "nearly nothing failed: is the plan asked?";
}

TEST_F(StartFaults, EveryCallMayFailOnceOnTheWayIntoTheBackground) {
  // The first process, the intermediate one and the daemon count each for themselves, on from where they were forked.
  constexpr unsigned calls = 130;
  unsigned refused = 0;
  for (unsigned nth = 1; nth <= calls; ++nth) {
    const Finished finished = start("--daemon", nth, EIO);
    SCOPED_TRACE("EIO from call " + std::to_string(nth) + ": " + finished.output);
    ASSERT_EQ(finished.status.kind(), perdure::ExitStatus::Kind::Exited) << finished.status.text();
    if (!finished.status.success()) {
      ++refused;
      // Without a reason only where the daemon's last word was what failed.
      EXPECT_THAT(finished.output, ContainsRegex("start_probe: (.*\\(EIO\\)|the daemon exited with 0 before it was ready)"));
    }
    EXPECT_TRUE(perdure::testing::eventually([&] { return !perdure::PidFile::is_locked(dir / "pid"); }))
        << "somebody lives on";
    const Finished next = again("--foreground", 0, 0);
    EXPECT_TRUE(next.status.success()) << "what is left hinders the next start: " << next.output;
  }
  EXPECT_GT(refused, 10u);
}

}  // namespace
