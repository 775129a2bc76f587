// The real executor, started as the keeper starts it, with everything that can fail made to fail.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <optional>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/start_testing.hpp"
#include "perdure/testing/process.hpp"

namespace perdure::executor {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;

// ---- what works

TEST(Executor, ExecutesTheProgramAndTellsNoFailure) {
  const Outcome outcome = start(hello);
  EXPECT_EQ(outcome.output, "hello\n");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.step(), Step::None);
}

TEST(Executor, FindsTheSpecAmongOthers) { EXPECT_EQ(start(hello, {.offset = 4096}).output, "hello\n"); }

TEST(Executor, ArgumentsArriveAsTheyAre) {
  const Outcome outcome = start(talking({"/usr/bin/printf", "<%s>", "", "a b", "$HOME", "'", std::string(100'000, 'x')}));
  EXPECT_EQ(outcome.output, "<><a b><$HOME><'><" + std::string(100'000, 'x') + ">");
}

TEST(Executor, TheEnvironmentIsTheSpecsAndTwoOfOurs) {
  Program program = talking({"/usr/bin/env"});
  program.environment = {"A=1", "EMPTY=", "LINES=a\nb"};
  const Outcome plain = start(program);
  EXPECT_EQ(plain.output, "A=1\nEMPTY=\nLINES=a\nb\nSYSTEMD_EXEC_PID=" + std::to_string(plain.pid) + "\n");
  const Outcome marked = start(program, {.invocation = "0123456789abcdef0123456789abcdef"});
  EXPECT_EQ(marked.output, "A=1\nEMPTY=\nLINES=a\nb\nINVOCATION_ID=0123456789abcdef0123456789abcdef\nSYSTEMD_EXEC_PID=" +
                               std::to_string(marked.pid) + "\n");
}

TEST(Executor, TheProgramHasThreeDescriptorsAndASessionOfItsOwn) {
  const Outcome outcome = start(
      talking({"/bin/sh", "-c", "echo $(for fd in /proc/$$/fd/*; do echo ${fd##*/}; done); cut -d' ' -f5,6 /proc/$$/stat"}),
      {.has_gate = true});
  EXPECT_THAT(outcome.output, ::testing::StartsWith("0 1 2")) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("\n" + std::to_string(outcome.pid) + " " + std::to_string(outcome.pid) + "\n"));
  EXPECT_EQ(outcome.gate, "x");
}

TEST(Executor, WithoutCloseRangeTheDescriptorsAreClosedOneByOne) {
  const Outcome outcome =
      start(talking({"/bin/ls", "/proc/self/fd"}), {.refused_call = SYS_close_range, .refused_error = EINVAL});
  EXPECT_EQ(outcome.output, "0\n1\n2\n3\n") << "3 is the directory that ls reads";
}

TEST(Executor, MaskAndDispositionsAreTheDefault) {
  const Program program = talking({"/bin/cat", "/proc/self/status"});
  EXPECT_THAT(start(program).output,
              HasSubstr("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000"));
  Program quiet = program;
  quiet.fixed.flags = wire::spec_ignore_sigpipe;
  EXPECT_THAT(start(quiet).output, HasSubstr("SigIgn:\t0000000000001000\n"));
}

TEST(Executor, UmaskNiceAndOomScoreAreTakenOn) {
  Program program = talking({"/bin/sh", "-c", "umask; cut -d' ' -f19 /proc/$$/stat; cat /proc/$$/oom_score_adj"});
  program.fixed.umask = 0027;
  program.fixed.flags = wire::spec_has_nice | wire::spec_has_oom_score;
  program.fixed.nice = 7;
  program.fixed.oom_score_adjust = 345;
  EXPECT_EQ(start(program).output, "0027\n7\n345\n");
}

TEST(Executor, TheOomScoreIsTheOneThatItIsToldUnlessTheUnitSetsOne) {
  Program program = talking({"/bin/cat", "/proc/self/oom_score_adj"});
  const std::string inherited = perdure::testing::read_file("/proc/self/oom_score_adj").value();
  EXPECT_EQ(start(program).output, inherited);
  EXPECT_EQ(start(program, {.oom_score_adj = ""}).output, inherited);
  EXPECT_EQ(start(program, {.oom_score_adj = "971"}).output, "971\n");
  program.fixed.flags = wire::spec_has_oom_score;
  program.fixed.oom_score_adjust = 972;
  EXPECT_EQ(start(program, {.oom_score_adj = "971"}).output, "972\n");
}

TEST(Executor, WhatTheKernelWouldNotAllowOfNiceAndOomScoreIsSkipped) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_nice | wire::spec_has_oom_score;
  program.fixed.nice = -20;
  program.fixed.oom_score_adjust = 2000;  // out of range
  EXPECT_EQ(start(program).output, "hello\n");
  EXPECT_EQ(start(program, {.refused_call = SYS_setpriority}).output, "hello\n");
}

TEST(Executor, LimitsAreTakenOnAndLoweredToWhatIsAllowed) {
  Program program = talking({"/bin/grep", "-E", "core file|open files", "/proc/self/limits"});
  rlimit in_force{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &in_force), 0);
  program.fixed.limits_set = 1U << RLIMIT_CORE | 1U << RLIMIT_NOFILE;
  program.fixed.limits[RLIMIT_CORE] = {0, 0};
  program.fixed.limits[RLIMIT_NOFILE] = {50, 60};
  EXPECT_THAT(start(program).output, ContainsRegex("core file size +0 +0 .*\nMax open files +50 +60 "));
  if (::geteuid() != 0) {
    program.fixed.limits[RLIMIT_NOFILE] = {in_force.rlim_max + 1, in_force.rlim_max + 1};
    const std::string most = std::to_string(in_force.rlim_max);
    EXPECT_THAT(start(program).output, ContainsRegex("Max open files +" + most + " +" + most + " "));
  }
}

TEST(Executor, AFewDescriptorsAreEnoughForAnyStreams) {
  Program program = hello;
  program.fixed.stdin_index = 1;
  program.fixed.stderr_index = 0;  // /dev/null is opened for it
  program.fixed.limits_set = 1U << RLIMIT_NOFILE;
  program.fixed.limits[RLIMIT_NOFILE] = {8, 8};
  EXPECT_EQ(start(program).output, "hello\n");
}

TEST(Executor, StreamsWithoutADescriptorAreNull) {
  Program program = talking({"/bin/sh", "-c", "readlink /proc/$$/fd/0; readlink /proc/$$/fd/2"});
  program.fixed.stderr_index = 0;
  EXPECT_EQ(start(program).output, "/dev/null\n/dev/null\n");
}

TEST(Executor, AWorkingDirectoryIsEnteredAndTheRootIsTheDefault) {
  Program program = talking({"/bin/pwd"});
  EXPECT_EQ(start(program).output, "/\n");
  program.working_directory = "/usr/bin";
  EXPECT_EQ(start(program).output, "/usr/bin\n");
}

TEST(Executor, AMissingDirectoryThatMayBeMissingIsTheRoot) {
  const perdure::testing::TempDir missing;
  Program program = talking({"/bin/pwd"});
  program.working_directory = missing.path() + "/nowhere";
  program.fixed.flags = wire::spec_cwd_may_fail;
  const Outcome outcome = start(program);
  EXPECT_EQ(outcome.output, "/\n");
  EXPECT_EQ(outcome.step(), Step::None);
}

TEST(Executor, UserGroupAndGroupsAreExactlyThoseOfTheSpec) {
  SKIP_UNLESS_ROOT();
  Program program = talking({"/bin/grep", "-E", "^(Uid|Gid|Groups|NoNewPrivs|CapEff)", "/proc/self/status"});
  program.fixed.flags = wire::spec_set_ids | wire::spec_no_new_privileges;
  program.fixed.user = 65533;
  program.fixed.group = 65532;
  program.groups = {7, 65532, 4000};
  EXPECT_THAT(start(program).output,
              ContainsRegex("Uid:\t65533\t65533\t65533\t65533\nGid:\t65532\t65532\t65532\t65532\nGroups:\t7 4000 65532 "
                            "\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"));
  program.groups = {};
  EXPECT_THAT(start(program).output, ContainsRegex("Groups:\t *\n")) << "none of root's stay";
}

// ---- what fails

TEST(Executor, ADamagedSpecIsRefused) {
  const std::vector<char> good = spec_bytes(hello);
  std::vector<char> bad = good;
  bad[0] ^= 1;
  expect_failure(start(hello, {.damaged_spec = bad}), Step::ReadSpec, EINVAL, 1);
  bad = {good.begin(), good.end() - 1};
  expect_failure(start(hello, {.damaged_spec = bad}), Step::ReadSpec, EINVAL, 1);
  const auto size = static_cast<std::uint32_t>(good.size());
  expect_failure(start(hello, {.size = size + 1}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.size = size - 1}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.size = 0}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.size = wire::spec_size_max + 1}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.size = ~0U}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.offset = 8, .is_misplaced = true}), Step::ReadSpec, EINVAL, 1);
  expect_failure(start(hello, {.refused_call = SYS_pread64, .refused_error = EIO}), Step::ReadSpec, EIO, 1);
}

/// Whatever is flipped in a spec, the executor runs the program, or says why not; it never dies of it.
TEST(Executor, NoMutationOfASpecCrashesIt) {
  std::mt19937 random{1204};
  const std::vector<char> good = spec_bytes(hello);
  for (int round = 0; round < 400; ++round) {
    std::vector<char> bytes = good;
    for (std::size_t n = 1 + random() % 3; n > 0; --n) {
      bytes[random() % (sizeof(wire::SpawnSpec) - 16 * wire::spec_limits)] =
          static_cast<char>(random() % 2 == 0 ? random() % 256 : 0);
    }
    // What it would do if it did as it is told is not the question.
    auto& spec = *reinterpret_cast<wire::SpawnSpec*>(bytes.data());
    spec.flags &= ~static_cast<std::uint32_t>(wire::spec_set_ids);
    spec.limits_set = 0;
    spec.mount_count = spec.root_directory = 0;
    const Outcome outcome = start(hello, {.damaged_spec = bytes});
    ASSERT_GE(outcome.code, 0) << "round " << round;
    ASSERT_TRUE(outcome.step() == Step::None || wire::step_exit_code(outcome.step()) == outcome.code) << "round " << round;
  }
}

TEST(Executor, AProcessGroupLeaderGetsNoSession) {
  expect_failure(start(hello, {.is_group_leader = true}), Step::Session, EPERM, 220);
}

TEST(Executor, AControlGroupThatCannotBeEnteredEndsIt) {
  const UniqueFd unwritable{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  expect_failure(start(hello, {.procs = unwritable.get()}), Step::EnterCgroup, EBADF, 219);
}

TEST(Executor, EnteringByItselfWritesZeroToTheFile) {
  const UniqueFd file = memory_file({});
  EXPECT_EQ(start(hello, {.procs = file.get()}).output, "hello\n");
  char text[4]{};
  EXPECT_EQ(::pread(file.get(), text, sizeof text, 0), 1);
  EXPECT_STREQ(text, "0");
}

TEST(Executor, AnImpossibleLimitEndsIt) {
  Program program = hello;
  program.fixed.limits_set = 1U << RLIMIT_CORE;
  program.fixed.limits[RLIMIT_CORE] = {2, 1};  // soft above hard
  expect_failure(start(program), Step::Limits, EINVAL, 205);
}

TEST(Executor, AStreamThatIsNotThereEndsIt) {
  for (const std::uint32_t index : {2U, 40U, 1'000'000U, 0x7fffffffU, 0xfffffff0U, 0xffffffffU}) {
    Program program = hello;
    program.fixed.stdin_index = index;
    const Outcome outcome = start(program);
    EXPECT_TRUE(outcome.step() == Step::Stdio || outcome.step() == Step::ReadSpec) << index;
    EXPECT_EQ(outcome.output, "") << index;
  }
}

TEST(Executor, AMissingWorkingDirectoryEndsIt) {
  const perdure::testing::TempDir missing;
  Program program = hello;
  program.working_directory = missing.path() + "/nowhere";
  expect_failure(start(program), Step::WorkingDirectory, ENOENT, 200);
  program.working_directory = "/etc/passwd";
  expect_failure(start(program), Step::WorkingDirectory, ENOTDIR, 200);
}

/// As on a network file system whose server is gone.
TEST(Executor, AWorkingDirectoryThatNeverAnswersEndsItAfterTenSeconds) {
  Program program = hello;
  program.working_directory = "/usr/bin";
  const auto began = std::chrono::steady_clock::now();
  const Outcome outcome = start(program, {.hanging_call = SYS_chdir});
  if (outcome.code == 97) GTEST_SKIP() << "seccomp gives no listener here";
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_EQ(outcome.code, -SIGALRM);
  EXPECT_EQ(outcome.step(), Step::WorkingDirectory) << "the manager says where";
  EXPECT_EQ(outcome.failure.error, 0);
  EXPECT_EQ(outcome.output, "") << "the program must not have run";
  EXPECT_GE(took, std::chrono::seconds{9});
}

TEST(Executor, AWorkingDirectoryIsEnteredWithTheServicesOwnRights) {
  SKIP_UNLESS_ROOT();
  const perdure::testing::TempDir closed;  // 0700
  Program program = hello;
  program.working_directory = closed.path();
  program.fixed.flags = wire::spec_set_ids;
  program.fixed.user = program.fixed.group = 65533;
  expect_failure(start(program), Step::WorkingDirectory, EACCES, 200);
}

TEST(Executor, AnIdThatMeansNoIdIsNoticed) {
  SKIP_UNLESS_ROOT();
  Program program = hello;
  program.fixed.flags = wire::spec_set_ids;
  program.fixed.user = 0xffffffffU;  // setresuid(2): leave it as it is
  program.fixed.group = 65533;
  expect_failure(start(program), Step::VerifyIds, EPERM, 217);
  program.fixed.user = 65533;
  program.fixed.group = 0xffffffffU;
  expect_failure(start(program), Step::VerifyIds, EPERM, 217);
}

/// Every step that the kernel can refuse, refused.
TEST(Executor, EveryRefusedStepIsNamedAndEndsIt) {
  Program program = hello;
  program.working_directory = "/usr";
  program.fixed.flags = wire::spec_no_new_privileges | wire::spec_has_nice;
  program.fixed.limits_set = 1U << RLIMIT_CORE;
  struct Case {
    int call;
    int error;
    Step step;
    int code;
    bool sets_ids = false;
  };
  for (const Case& c : std::initializer_list<Case>{
           {SYS_setsid, ENOSYS, Step::Session, 220},
           {SYS_setpriority, EINVAL, Step::Nice, 201},
           {SYS_prlimit64, EIO, Step::Limits, 205},
           {SYS_prlimit64, EPERM, Step::Limits, 205},
           {SYS_dup3, EBADF, Step::Stdio, 208},
           {SYS_setgroups, EPERM, Step::Groups, 216, true},
           {SYS_setresgid, EPERM, Step::Group, 216, true},
           {SYS_setresuid, EAGAIN, Step::User, 217, true},
           {SYS_getresuid, EIO, Step::VerifyIds, 217, true},
           {SYS_getresgid, EIO, Step::VerifyIds, 217, true},
           {SYS_prctl, EINVAL, Step::NoNewPrivileges, 227},
           {SYS_chdir, EIO, Step::WorkingDirectory, 200},
           {SYS_setitimer, EINVAL, Step::WorkingDirectory, 200},
           {SYS_rt_sigaction, EINVAL, Step::SignalMask, 207},
           {SYS_execve, ENOMEM, Step::Exec, 203},
       }) {
    if (c.sets_ids && ::geteuid() != 0) continue;
    SCOPED_TRACE("call " + std::to_string(c.call));
    Program with_ids = program;
    if (c.sets_ids) {
      with_ids.fixed.flags |= wire::spec_set_ids;
      with_ids.fixed.user = with_ids.fixed.group = 65533;
    }
    const Outcome outcome = start(with_ids, {.has_gate = true, .refused_call = c.call, .refused_error = c.error});
    expect_failure(outcome, c.step, c.error, c.code);
    EXPECT_EQ(outcome.gate, c.call == SYS_execve ? "xf" : "");
  }
}

TEST(Executor, AnOomScoreThatCannotBeOpenedEndsIt) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_oom_score;
  expect_failure(start(program, {.refused_call = SYS_openat, .refused_error = EMFILE}), Step::OomScore, EMFILE, 206);
  expect_failure(start(hello, {.refused_call = SYS_openat, .refused_error = EMFILE, .oom_score_adj = "0"}), Step::OomScore,
                 EMFILE, 206);
}

TEST(Executor, NoServiceRunsWithTheKeepersOomScore) {
  expect_failure(start(hello, {.refused_call = SYS_write, .refused_error = EACCES, .oom_score_adj = "0"}), Step::OomScore,
                 EACCES, 206);
  Program program = talking({"/bin/cat", "/proc/self/oom_score_adj"});
  program.fixed.flags = wire::spec_has_oom_score;
  program.fixed.oom_score_adjust = 2000;  // refused
  EXPECT_EQ(start(program, {.oom_score_adj = "971"}).output, "971\n");
}

TEST(Executor, EachReasonWhyAProgramCannotBeExecutedIsTold) {
  const perdure::testing::TempDir directory;
  const auto make = [&](const char* name, const std::string& text, mode_t mode) {
    perdure::testing::write_file(directory / name, text);
    EXPECT_EQ(::chmod((directory / name).c_str(), mode), 0);
    return directory / name;
  };
  const auto fails = [](const std::string& path, int error) {
    SCOPED_TRACE(path.substr(0, 100));
    expect_failure(start(talking({path})), Step::Exec, error, 203);
  };
  fails(directory / "missing", ENOENT);
  fails(make("script", "#!/nowhere/sh\necho hello\n", 0755), ENOENT);
  fails(make("crlf", "#!/bin/sh\r\necho hello\r\n", 0755), ENOENT);
  fails(make("closed", "#!/bin/sh\necho hello\n", 0644), EACCES);
  fails(directory.path(), EACCES);
  fails(make("empty", "", 0755), ENOEXEC);
  fails(make("text", "echo hello\n", 0755), ENOEXEC);
  fails(make("elf", "\177ELF", 0755), ENOEXEC);
  fails(make("file", "x", 0755) + "/x", ENOTDIR);
  ASSERT_EQ(::symlink("loop", (directory / "loop").c_str()), 0);
  fails(directory / "loop", ELOOP);
  fails("/" + std::string(300, 'n'), ENAMETOOLONG);
  expect_failure(start(talking({"/bin/echo", std::string(140'000, 'x')})), Step::Exec, E2BIG, 203);
}

TEST(Executor, AProgramThatIsStillBeingWrittenIsTriedAgain) {
  const perdure::testing::TempDir directory;
  const std::string path = directory / "program";
  const std::string bytes = perdure::testing::read_file("/bin/echo").value();
  perdure::testing::write_file(path, bytes);
  ASSERT_EQ(::chmod(path.c_str(), 0755), 0);
  UniqueFd writer{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  expect_failure(start(talking({path, "hello"})), Step::Exec, ETXTBSY, 203);
  // A writer that is done before the tries are: a child of ours, for start() waits.
  const pid_t slow = ::fork();
  if (slow == 0) {
    const timespec pause{0, 120'000'000};
    ::nanosleep(&pause, nullptr);
    ::_exit(0);  // the last one to hold it
  }
  writer.reset();
  EXPECT_EQ(start(talking({path, "hello"})).output, "hello\n");
  ::waitpid(slow, nullptr, 0);
}

TEST(Executor, WithTooFewArgumentsItDoesNothing) {
  EXPECT_EQ(perdure::testing::run({PERDURE_EXECUTOR}).status.text(), "exited with 1");
  EXPECT_EQ(perdure::testing::run({PERDURE_EXECUTOR, "1", "-", "0"}).status.text(), "exited with 1");
}

}  // namespace
}  // namespace perdure::executor
