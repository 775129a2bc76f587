// After SIGTERM: in order, in time, and nothing left; also on a busy machine, and where a step does not end.
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using perdure::testing::read_file;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

struct SigtermDaemon : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log", pid_file = dir / "pid", data = dir / "data";
  std::string segment = "/perdure_test_" + std::to_string(getpid());

  ~SigtermDaemon() override { shm_unlink(segment.c_str()); }
  /// Once it has done a few rounds.
  Process start(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM,  "--pid-file=" + pid_file, "--log-file=" + log,
                                   "--control=none", "--data-file=" + data,    "--shared-memory=" + segment,
                                   "--period=5ms"};
    words.insert(words.end(), more.begin(), more.end());
    Process daemon{words};
    EXPECT_TRUE(trial::file_says(log, "Daemon started\n")) << daemon.output();
    EXPECT_TRUE(perdure::testing::eventually(
        [&] { return std::stoul("0" + perdure::testing::proc_status(daemon.pid(), "voluntary_ctxt_switches")) > 10; }));
    return daemon;
  }
  [[nodiscard]] bool has_shared_memory() const { return trial::exists("/dev/shm" + segment); }
};

TEST_F(SigtermDaemon, GivesBackEverythingInReverseOrder) {
  Process daemon = start();
  EXPECT_EQ(read_file(data), "") << "still in the buffer";
  EXPECT_TRUE(has_shared_memory());
  EXPECT_EQ(trial::pid_in(pid_file), daemon.pid());
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");

  EXPECT_THAT(*read_file(log), MatchesRegex("[^\n]*Daemon started\n"
                                            "[^\n]*Received SIGTERM, cleaning up\\.\\.\\.\n"
                                            "[^\n]*write buffers flushed\n"
                                            "[^\n]*shared memory released\n"
                                            "[^\n]*Daemon exited cleanly\n"));
  EXPECT_THAT(*read_file(data), MatchesRegex("round 1\n(round [0-9]+\n)+")) << "flushed";
  EXPECT_FALSE(has_shared_memory());
  EXPECT_FALSE(trial::exists(pid_file));
  EXPECT_TRUE(start().pid() > 0) << "the lock is free";
}

TEST_F(SigtermDaemon, IsInTimeOnABusyMachine) {
  std::vector<Process> busy;
  const unsigned loops = 2 * std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < loops; ++i) busy.emplace_back(std::vector<std::string>{"/bin/sh", "-c", "while :; do :; done"});
  Process daemon = start();
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0") << "after five seconds it would have been ended by force, with 70";
  EXPECT_THAT(*read_file(log), HasSubstr("Daemon exited cleanly\n"));
}

TEST_F(SigtermDaemon, AStepOverItsBudgetIsNamedAndTheOthersGetTheirTurn) {
  Process daemon = start({"--slow-flush=1h", "--step-within=100ms"});
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 70");
  EXPECT_THAT(*read_file(log), ContainsRegex("ERROR *abandoned, it did not end within 100 ms: write buffers flushed\n"
                                             "[^\n]*shared memory released\n"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("exited cleanly")));
  EXPECT_FALSE(has_shared_memory());
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SigtermDaemon, WhatCannotBeFlushedOrMadeIsSaidWithTheReason) {
  data = "/dev/full";
  Process daemon = start();
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 70");
  EXPECT_THAT(*read_file(log), HasSubstr("cannot write /dev/full: No space left on device (ENOSPC)\n"));
  EXPECT_FALSE(has_shared_memory()) << "the next step had its turn";

  data = dir / "missing/data";
  const auto refused = perdure::testing::run(
      {EXAMPLE_PROGRAM, "--pid-file=" + pid_file, "--control=none", "--data-file=" + data, "--shared-memory=" + segment});
  EXPECT_EQ(refused.status.text(), "exited with 70");
  EXPECT_THAT(refused.output, HasSubstr("cannot open " + data + ": No such file or directory (ENOENT)"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SigtermDaemon, AStopOverTheWholeBudgetIsEndedByForceAndLeavesNoLock) {
  Process daemon = start({"--slow-flush=1h", "--step-within=1h"});
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 70");
  EXPECT_THAT(*read_file(log), HasSubstr("did not end within 5000 ms: ended by force"));
  EXPECT_FALSE(trial::exists(pid_file));
}

TEST_F(SigtermDaemon, WhatACrashLeavesHindersNoStart) {
  Process crashed = start();
  crashed.signal(SIGKILL);
  crashed.wait();
  ASSERT_TRUE(trial::exists(pid_file) && has_shared_memory());
  Process next = start();
  EXPECT_EQ(trial::pid_in(pid_file), next.pid());
  next.signal(SIGTERM);
  EXPECT_EQ(next.wait().text(), "exited with 0");
  EXPECT_FALSE(has_shared_memory());
}

}  // namespace
