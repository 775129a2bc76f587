#include "perdure/testing/process.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/unique_fd.hpp"

namespace perdure::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::string> shell(std::string script) { return {"sh", "-c", std::move(script)}; }

// The first line of the output, as a process id.
pid_t announced_pid(Process& process) {
  EXPECT_TRUE(process.wait_for_output("\n")) << process.output();
  return static_cast<pid_t>(std::stol("0" + process.output()));
}

constexpr const char* detach_and_announce = "setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $!";

TEST(Process, OutputOfBothStreamsAndTheExitCodeAreSeen) {
  const Finished finished = run(shell("echo one; echo two >&2; exit 3"));
  EXPECT_EQ(finished.status.text(), "exited with 3");
  EXPECT_EQ(finished.output, "one\ntwo\n");
}

TEST(Process, ACrashIsReportedWithItsSignal) {
  const Finished finished = run(shell("ulimit -c 0; kill -s SEGV $$"));
  EXPECT_EQ(finished.status, ExitStatus::killed(SIGSEGV));
}

TEST(Process, ASignalReachesTheProcess) {
  Process process{shell("trap 'echo caught; exit 5' TERM; echo ready; while :; do read -r line; done")};
  ASSERT_TRUE(process.wait_for_output("ready"));
  process.signal(SIGTERM);
  EXPECT_TRUE(process.wait_for_output("caught"));
  EXPECT_EQ(process.wait(), ExitStatus::exited(5));
  EXPECT_THROW(process.signal(SIGTERM), std::logic_error) << "its pid may be somebody else's by now";
}

TEST(Process, AProgramThatCannotBeExecutedEndsWith127AndSaysSo) {
  const Finished finished = run({"/nowhere/thermod"});
  EXPECT_EQ(finished.status, ExitStatus::exited(127));
  EXPECT_EQ(finished.output, "cannot execute /nowhere/thermod: No such file or directory (ENOENT)\n");
}

TEST(Process, AMissingWorkingDirectoryIsNamed) {
  const Finished finished = run({"true"}, {.working_directory = "/nowhere"});
  EXPECT_EQ(finished.status, ExitStatus::exited(127));
  EXPECT_EQ(finished.output, "cannot enter /nowhere: No such file or directory (ENOENT)\n");
}

TEST(Process, RelativeProgramsStartFromTheWorkingDirectory) {
  const TempDir dir;
  write_file(dir / "greet", "#!/bin/sh\necho hello from $PWD\n");
  ASSERT_EQ(::chmod((dir / "greet").c_str(), 0755), 0);
  EXPECT_THAT(run({"./greet"}, {.working_directory = dir.path()}).output, HasSubstr("hello from "));
}

TEST(Process, TheSecondStartOfALockedProgramIsRefusedWhileTheFirstRuns) {
  const TempDir dir;
  const std::vector<std::string> locked{"flock", "--nonblock", "--conflict-exit-code",      "75", dir / "lock",
                                        "sh",    "-c",         "echo running; read -r line"};
  Process first{locked};
  ASSERT_TRUE(first.wait_for_output("running"));
  EXPECT_EQ(run(locked).status, ExitStatus::exited(75));
  EXPECT_FALSE(first.poll());
  first.write("done\n");
  EXPECT_EQ(first.wait(), ExitStatus::exited(0));
}

TEST(Process, AChattyProgramNeverBlocksItsWait) {
  Process process{{"head", "-c", "4000000", "/dev/zero"}};
  EXPECT_EQ(process.wait(), ExitStatus::exited(0));
  EXPECT_EQ(process.output().size(), 4'000'000U);
}

TEST(Process, OutputIsBounded) {
  const Finished finished = run({"head", "-c", "20000000", "/dev/zero"});
  EXPECT_EQ(finished.status, ExitStatus::exited(0));
  EXPECT_EQ(finished.output.size(), std::size_t{16} << 20);
}

TEST(Process, MoreInputThanAPipeHoldsPassesThrough) {
  Process process{{"cat"}};
  const std::string text(1'000'000, 'x');
  process.write(text);
  process.close_input();
  EXPECT_EQ(process.wait(), ExitStatus::exited(0));
  EXPECT_EQ(process.output(), text);
}

TEST(Process, InputForAnEndedProcessIsDropped) {
  Process process{{"true"}};
  ASSERT_EQ(process.wait(), ExitStatus::exited(0));
  process.write("nobody reads this");
}

TEST(Process, AHangIsKilledAndNotedAndReportedAsUnknown) {
  Process process{{"sleep", "infinity"}};
  EXPECT_EQ(process.wait(std::chrono::milliseconds{20}), ExitStatus{});
  EXPECT_THAT(process.output(), HasSubstr("killed, because it still ran after 20 ms"));
  EXPECT_TRUE(has_ended(process.pid()));
}

TEST(Process, WaitingForOutputEndsWithTheProcess) {
  Process process{shell("echo something else")};
  EXPECT_FALSE(process.wait_for_output("never"));
  EXPECT_EQ(process.wait(), ExitStatus::exited(0));
}

TEST(Process, DestroyingItEndsItAndItsChildren) {
  pid_t itself = 0;
  pid_t child = 0;
  {
    Process process{shell("sleep infinity & echo $!; wait")};
    itself = process.pid();
    child = announced_pid(process);
    ASSERT_FALSE(has_ended(child));
  }
  EXPECT_TRUE(has_ended(itself));
  EXPECT_TRUE(has_ended(child));
}

TEST(Process, ChildrenWithoutOurEnvironmentEndWithIt) {
  pid_t child = 0;
  {
    Process process{shell("env -i sleep infinity & echo $!; wait")};
    child = announced_pid(process);
  }
  EXPECT_TRUE(has_ended(child));
}

TEST(Process, ADetachedDaemonIsAdoptedAndEndsWithIt) {
  pid_t daemon_pid = 0;
  {
    Process process{shell(detach_and_announce)};
    daemon_pid = announced_pid(process);
    ASSERT_EQ(process.wait(), ExitStatus::exited(0));
    EXPECT_TRUE(eventually([&] { return proc_status(daemon_pid, "PPid") == std::to_string(::getpid()); }));
    EXPECT_FALSE(has_ended(daemon_pid));
  }
  EXPECT_TRUE(has_ended(daemon_pid));
}

TEST(Process, ADaemonOfAnotherProcessIsLeftAlone) {
  Process one{shell(detach_and_announce)};
  const pid_t daemon_of_one = announced_pid(one);
  { Process two{shell(detach_and_announce)}; }
  EXPECT_FALSE(has_ended(daemon_of_one));
}

TEST(Process, RunLeavesADaemonToTheCallsThatFollow) {
  const Finished finished = run(shell(detach_and_announce));
  const pid_t daemon_pid = static_cast<pid_t>(std::stol(finished.output));
  EXPECT_FALSE(has_ended(daemon_pid));
  EXPECT_EQ(kill_adopted(daemon_pid, SIGTERM), ExitStatus::killed(SIGTERM));
  EXPECT_TRUE(has_ended(daemon_pid));
}

TEST(Process, AnAdoptedDaemonsEndIsSeen) {
  const TempDir dir;
  ASSERT_EQ(::mkfifo((dir / "gate").c_str(), 0600), 0);
  const Finished finished = run(shell("setsid sh -c 'read -r line <gate; exit 4' </dev/null >/dev/null 2>&1 & echo $!"),
                                {.working_directory = dir.path()});
  const pid_t daemon_pid = static_cast<pid_t>(std::stol(finished.output));
  write_file(dir / "gate", "go\n");
  EXPECT_EQ(wait_adopted(daemon_pid), ExitStatus::exited(4));
}

TEST(Process, WhatIsLeftEndsWithTheTestProgram) {
  // The same test, run by itself in a test program of its own, leaves a daemon.
  if (const char* announcement = std::getenv("PERDURE_TEST_LEAVES_A_DAEMON")) {
    write_file(announcement, run(shell(detach_and_announce)).output);
    return;
  }
  const TempDir dir;
  const Finished inner = run({"/proc/self/exe", "--gtest_filter=Process.WhatIsLeftEndsWithTheTestProgram"},
                             {.env = {{"PERDURE_TEST_LEAVES_A_DAEMON", dir / "pid"}}});
  ASSERT_EQ(inner.status, ExitStatus::exited(0)) << inner.output;
  const pid_t daemon_pid = static_cast<pid_t>(std::stol(read_file(dir / "pid").value_or("0")));
  ASSERT_GT(daemon_pid, 0) << inner.output;
  EXPECT_TRUE(has_ended(daemon_pid));
}

TEST(Process, OnlyDescendantsAreEverSignalled) {
  EXPECT_EQ(kill_adopted(::getpid(), 0), ExitStatus{});
  EXPECT_EQ(kill_adopted(0, SIGKILL), ExitStatus{});
  EXPECT_EQ(kill_adopted(-1, SIGKILL), ExitStatus{});
  EXPECT_EQ(wait_adopted(-1), ExitStatus{});
}

TEST(Process, AForkedCopyOfTheTestEndsNothing) {
  std::optional<Process> process{std::in_place, std::vector<std::string>{"cat"}};
  std::optional<TempDir> dir{std::in_place};
  const pid_t copy = ::fork();
  ASSERT_GE(copy, 0);
  if (copy == 0) {
    process.reset();
    dir.reset();
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(copy, nullptr, 0), copy);
  process->write("still here\n");
  EXPECT_TRUE(process->wait_for_output("still here"));
  EXPECT_EQ(::access(dir->path().c_str(), F_OK), 0);
}

TEST(Process, ClosedDescriptorsAreClosed) {
  EXPECT_EQ(run({"readlink", "/proc/self/fd/0"}).status, ExitStatus::exited(0));
  EXPECT_EQ(run({"readlink", "/proc/self/fd/0"}, {.closed_fds = {0}}).status, ExitStatus::exited(1));
  EXPECT_EQ(run(shell("echo unseen; exit 0"), {.closed_fds = {0, 1, 2}}).output, "");
}

TEST(Process, PassedDescriptorsMayTradePlaces) {
  const TempDir dir;
  write_file(dir / "a", "content of a\n");
  write_file(dir / "b", "content of b\n");
  const UniqueFd a{::open((dir / "a").c_str(), O_RDONLY | O_CLOEXEC)};
  const UniqueFd b{::open((dir / "b").c_str(), O_RDONLY | O_CLOEXEC)};
  const std::string script = "cat <&" + std::to_string(a.get()) + "; cat <&" + std::to_string(b.get());
  const Finished finished = run(shell(script), {.pass_fds = {{a.get(), b.get()}, {b.get(), a.get()}}});
  EXPECT_EQ(finished.output, "content of b\ncontent of a\n");
}

TEST(Process, ADescriptorThatIsNotOpenCannotBePassed) {
  const Finished finished = run({"true"}, {.pass_fds = {{1000, 3}}});
  EXPECT_EQ(finished.status, ExitStatus::exited(127));
  EXPECT_THAT(finished.output, AllOf(StartsWith("cannot pass descriptors to "), HasSubstr("(EBADF)")));
}

TEST(Process, NothingElseThatTheTestHoldsOpenIsInherited) {
  const UniqueFd leaky{::open("/dev/null", O_RDONLY)};  // NOLINT(android-cloexec-open): on purpose
  const Finished finished = run({"readlink", "/proc/self/fd/" + std::to_string(leaky.get())});
  if (finished.status.success()) GTEST_SKIP() << "close_range cannot set close-on-exec here (before Linux 5.11)";
  EXPECT_EQ(finished.status, ExitStatus::exited(1));
}

TEST(Process, TheEnvironmentIsOursWithItsChanges) {
  ASSERT_EQ(::setenv("PERDURE_A", "inherited", 1), 0);
  ASSERT_EQ(::setenv("PERDURE_B", "inherited", 1), 0);
  const Finished finished = run(shell("echo ${PERDURE_A-none} ${PERDURE_B-none} $PERDURE_C"),
                                {.env = {{"PERDURE_C", "added"}}, .unset_env = {"PERDURE_B"}});
  ::unsetenv("PERDURE_A");
  ::unsetenv("PERDURE_B");
  EXPECT_EQ(finished.output, "inherited none added\n");
}

TEST(Process, ItStartsWithNoSignalBlockedOrIgnored) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  sigset_t usr1;
  sigset_t mask_before;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ASSERT_EQ(::sigaction(SIGHUP, &ignore, &before), 0);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &usr1, &mask_before), 0);
  const Finished finished = run({"grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"});
  ::sigaction(SIGHUP, &before, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before, nullptr);
  EXPECT_EQ(finished.output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Process, ItLeadsAProcessGroupOfItsOwn) {
  Process process{{"cat"}};
  EXPECT_EQ(::getpgid(process.pid()), process.pid());
}

TEST(Process, AnEmptyCommandIsAMistakeOfTheTest) {
  EXPECT_THROW(Process{std::vector<std::string>{}}, std::invalid_argument);
}

}  // namespace
}  // namespace perdure::testing
