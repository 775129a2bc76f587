// What the executor takes from a service, as the real process sees it in /proc, and how each step fails.
#include <linux/ioprio.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "executor/start_testing.hpp"
#include "perdure/testing/process.hpp"

namespace perdure::executor {
namespace {

using perdure::testing::TempDir;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t cap_chown = 1U << 0;
constexpr std::uint64_t cap_net_bind_service = 1U << 10;
constexpr int last_of_old_kernels = 37;  // a capability that every kernel has

Program status_of(const std::string& fields) {
  return talking({"/bin/grep", "-E", "^(" + fields + "):", "/proc/self/status"});
}

std::string hex(std::uint64_t set) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(set));
  return text;
}

void make_user(Program& program) {
  program.fixed.flags |= wire::spec_set_ids;
  program.fixed.user = program.fixed.group = 65533;
}

std::vector<sock_filter> filter_of(std::initializer_list<sock_filter> code) { return code; }

/// `call` gets `answer`, everything else is allowed.
std::vector<sock_filter> refusing(int call, unsigned answer) {
  return filter_of({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
                    BPF_STMT(BPF_RET | BPF_K, answer), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)});
}

// ---- what nobody asked for

TEST(Isolation, WhatASpecDoesNotAskForCostsNoSystemCall) {
  std::vector<long> calls;
  EXPECT_EQ(start(hello, {.calls = &calls}).output, "hello\n");
  EXPECT_THAT(calls, ElementsAre(SYS_pread64, SYS_getpid, SYS_setsid, SYS_dup3, SYS_dup3, SYS_umask, SYS_chdir,
                                 SYS_close_range, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_execve));
}

TEST(Isolation, ServicesOfRootKeepEverything) {
  SKIP_UNLESS_ROOT();
  Program program = status_of("CapBnd|CapAmb|CapEff|NoNewPrivs|Seccomp");
  const std::string ours =
      perdure::testing::run({"/bin/grep", "-E", "^(CapBnd|CapAmb|CapEff|NoNewPrivs|Seccomp):", "/proc/self/status"}).output;
  EXPECT_EQ(start(program).output, ours);
}

// ---- environment

TEST(Isolation, TheEnvironmentSaysWhoIsWatchedAndOmitsWhatItShall) {
  Program program = talking({"/usr/bin/env"});
  program.environment = {};
  program.fixed.flags = wire::spec_watchdog_pid;
  const Outcome watched = start(program);
  const std::string pid = std::to_string(watched.pid);
  EXPECT_EQ(watched.output, "WATCHDOG_PID=" + pid + "\nSYSTEMD_EXEC_PID=" + pid + "\n");
  program.fixed.flags = wire::spec_no_invocation_id | wire::spec_no_exec_pid;
  EXPECT_EQ(start(program, {.invocation = "0123456789abcdef0123456789abcdef"}).output, "");
}

// ---- scheduling

TEST(Isolation, SchedulingOfProcessorAndDiskIsTakenOn) {
  Program program = talking({"/bin/sh", "-c", "chrt -p $$; ionice -p $$"});
  program.fixed.flags = wire::spec_has_cpu_scheduling | wire::spec_has_io_priority;
  program.fixed.cpu_policy = SCHED_BATCH;
  program.fixed.io_priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 6);
  const std::string output = start(program).output;
  EXPECT_THAT(output, HasSubstr("SCHED_BATCH\n"));
  EXPECT_THAT(output, HasSubstr("best-effort: prio 6\n"));
  program.fixed.cpu_policy = SCHED_IDLE | SCHED_RESET_ON_FORK;
  program.fixed.io_priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0);
  EXPECT_THAT(start(program).output, ContainsRegex("SCHED_IDLE\\|SCHED_RESET_ON_FORK\n.*\nidle"));
}

TEST(Isolation, SchedulingThatTheKernelDoesNotKnowEndsIt) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_cpu_scheduling;
  program.fixed.cpu_policy = SCHED_FIFO;
  program.fixed.cpu_priority = 1000;
  expect_failure(start(program), Step::CpuScheduling, EINVAL, 214);
  program.fixed.flags = wire::spec_has_io_priority;
  program.fixed.io_priority = 7 << 13;
  expect_failure(start(program), Step::IoScheduling, EINVAL, 211);
}

TEST(Isolation, SchedulingThatIsNotAllowedIsSkipped) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_cpu_scheduling;
  program.fixed.cpu_policy = SCHED_FIFO;
  program.fixed.cpu_priority = 1;
  const Outcome cpu = start(program, {.refused_call = SYS_sched_setscheduler});
  EXPECT_EQ(cpu.output, "hello\n");
  EXPECT_EQ(cpu.step(), Step::None);
  program.fixed.flags = wire::spec_has_io_priority;
  const Outcome io = start(program, {.refused_call = SYS_ioprio_set});
  EXPECT_EQ(io.output, "hello\n");
  EXPECT_EQ(io.step(), Step::None);
}

// ---- files

TEST(Isolation, ARootDirectoryIsAllThatIsLeft) {
  SKIP_UNLESS_ROOT();
  const TempDir root;
  ASSERT_EQ(::mkdir((root / "sub").c_str(), 0755), 0);
  Program program = talking({"/busy", "-c", "echo *; pwd"});
  program.root_directory = root.path();
  for (const char* directory : {"usr", "lib", "lib64", "bin"}) {
    program.mounts.push_back({std::string{"/"} + directory, std::string{"/"} + directory,
                              wire::mount_read_only | wire::mount_recursive | wire::mount_may_be_missing});
  }
  program.mounts.push_back({"/bin/sh", "/busy", 0});
  program.working_directory = "/sub";
  EXPECT_EQ(start(program).output, "*\n/sub\n");
  program.working_directory = "";
  EXPECT_THAT(start(program).output, ::testing::EndsWith("\n/\n"));
  EXPECT_THAT(start(program).output, Not(HasSubstr("proc")));
}

TEST(Isolation, ARootDirectoryThatCannotBeEnteredEndsIt) {
  Program program = hello;
  program.root_directory = "/nowhere/at/all";
  const Outcome outcome = start(program);
  expect_failure(outcome, Step::RootDirectory, ENOENT, 210);
  program.root_directory = "/etc/passwd";
  expect_failure(start(program), Step::RootDirectory, ENOTDIR, 210);
  program.root_directory = "/usr";
  expect_failure(start(program, {.refused_call = SYS_chroot}), Step::RootDirectory, EPERM, 210);
}

TEST(Isolation, BindMountsAreSeenByTheServiceAlone) {
  SKIP_UNLESS_ROOT();
  const TempDir place;
  perdure::testing::write_file(place / "data", "inside");
  ASSERT_EQ(::mkdir((place / "seen").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((place / "from").c_str(), 0755), 0);
  perdure::testing::write_file(place / "from/file", "from");
  Program program = talking({"/bin/sh", "-c",
                             "cd " + place.path() +
                                 "; cat seen/file made/deep/file single; echo x > seen/new && echo written; "
                                 "echo x 2>/dev/null > made/deep/new || echo read-only"});
  program.mounts = {{place / "from", place / "seen", wire::mount_recursive},
                    {place / "from", place / "made/deep", wire::mount_read_only},
                    {place / "data", place / "single", wire::mount_read_only},
                    {place / "nowhere", place / "nothing", wire::mount_may_be_missing}};
  const Outcome outcome = start(program);
  EXPECT_EQ(outcome.output.substr(0, 14), "fromfrominside") << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("written\n"));
  EXPECT_THAT(outcome.output, HasSubstr("read-only\n"));
  EXPECT_EQ(perdure::testing::read_file(place / "seen/file"), std::nullopt) << "not for us";
  EXPECT_EQ(perdure::testing::read_file(place / "single").value_or("?"), "") << "an empty file was made for it";
  EXPECT_TRUE(perdure::testing::read_file(place / "from/new").has_value()) << "what is not read-only is the same directory";
  EXPECT_NE(::access((place / "nothing").c_str(), F_OK), 0);
}

TEST(Isolation, ReadOnlyReachesWhatIsMountedBelow) {
  SKIP_UNLESS_ROOT();
  const TempDir place;
  Program program = talking({"/bin/sh", "-c", "echo x 2>/dev/null > " + (place / "proc/self/comm") + " || echo read-only"});
  program.mounts = {{"/", place.path(), wire::mount_read_only | wire::mount_recursive}};
  EXPECT_THAT(start(program).output, HasSubstr("read-only\n"));
}

TEST(Isolation, DestinationsNeverLeaveTheRootDirectory) {
  SKIP_UNLESS_ROOT();
  const TempDir outside;
  const TempDir root;
  ASSERT_EQ(::symlink(outside.path().c_str(), (root / "way-out").c_str()), 0);
  ASSERT_EQ(::symlink("../../../..", (root / "up").c_str()), 0);
  perdure::testing::write_file(outside / "data", "inside");
  Program program = talking({"/busy", "-c", "cat /way-out/made /up/also"});
  program.root_directory = root.path();
  for (const char* directory : {"usr", "lib", "lib64", "bin"}) {
    program.mounts.push_back(
        {std::string{"/"} + directory, std::string{"/"} + directory, wire::mount_recursive | wire::mount_may_be_missing});
  }
  program.mounts.push_back({"/bin/sh", "/busy", 0});
  program.mounts.push_back({outside / "data", "/up/also", 0});
  // An absolute link means what it means within the root; there it leads nowhere.
  EXPECT_EQ(start(program).output.substr(0, 3), "cat");
  program.mounts.push_back({outside / "data", "/way-out/made", 0});
  const Outcome outcome = start(program);
  EXPECT_EQ(outcome.step(), Step::Namespace);
  EXPECT_NE(::access((outside / "made").c_str(), F_OK), 0);
}

TEST(Isolation, AMountThatFailsEndsIt) {
  Program program = hello;
  program.mounts = {{"/nowhere/at/all", "/mnt", 0}};
  if (::geteuid() != 0) {
    expect_failure(start(program), Step::Namespace, EPERM, 226);
    return;
  }
  expect_failure(start(program), Step::Namespace, ENOENT, 226);
  program.mounts = {{"/usr", "/etc/passwd/x", wire::mount_may_be_missing}};
  expect_failure(start(program), Step::Namespace, ENOTDIR, 226);
  program.mounts = {{"/usr", "/etc/passwd", 0}};  // a directory over a file
  const Outcome mismatch = start(program);
  EXPECT_EQ(mismatch.step(), Step::Namespace);
  EXPECT_EQ(mismatch.output, "");
  program.mounts = {{"/usr", "/mnt", wire::mount_read_only}};
  for (const int call : {SYS_unshare, SYS_mount, SYS_open_tree, SYS_mount_setattr, SYS_openat2, SYS_move_mount})
    expect_failure(start(program, {.refused_call = call, .refused_error = EIO}), Step::Namespace, EIO, 226);
  program.root_directory = "/nowhere/at/all";
  expect_failure(start(program), Step::Namespace, ENOENT, 226);
}

TEST(Isolation, AMountThatNeverAnswersEndsItAfterTenSeconds) {
  SKIP_UNLESS_ROOT();
  Program program = hello;
  program.mounts = {{"/usr", "/mnt", 0}};
  const Outcome outcome = start(program, {.hanging_call = SYS_open_tree});
  if (outcome.code == 97) GTEST_SKIP() << "seccomp gives no listener here";
  EXPECT_EQ(outcome.code, -SIGALRM);
  EXPECT_EQ(outcome.step(), Step::Namespace);
  EXPECT_EQ(outcome.failure.error, 0);
  EXPECT_TRUE(wire::can_time_out(outcome.step()));
}

TEST(Isolation, MountsAndRootNeedNoDescriptorsThatTheServiceMayNotHave) {
  SKIP_UNLESS_ROOT();
  Program program = hello;
  program.mounts = {{"/usr", "/mnt", wire::mount_read_only}};
  program.root_directory = "/";
  program.fixed.limits_set = 1U << RLIMIT_NOFILE;
  program.fixed.limits[RLIMIT_NOFILE] = {8, 8};
  EXPECT_EQ(start(program).output, "hello\n");
}

// ---- capabilities

TEST(Isolation, TheBoundingSetIsCut) {
  SKIP_UNLESS_ROOT();
  Program program = status_of("CapInh|CapPrm|CapEff|CapBnd");
  program.fixed.flags = wire::spec_has_bounding_set;
  program.fixed.bounding_set = cap_chown | cap_net_bind_service;
  const std::string kept = hex(program.fixed.bounding_set);
  EXPECT_EQ(start(program).output,
            "CapInh:\t0000000000000000\nCapPrm:\t" + kept + "\nCapEff:\t" + kept + "\nCapBnd:\t" + kept + "\n");
  program.fixed.bounding_set = 0;
  EXPECT_THAT(start(program).output, HasSubstr("CapBnd:\t0000000000000000\n"));
  make_user(program);
  EXPECT_THAT(start(program).output, HasSubstr("CapBnd:\t0000000000000000\n"));
}

TEST(Isolation, WhoIsNotRootCannotCutTheBoundingSet) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_bounding_set;
  if (::geteuid() != 0) expect_failure(start(program), Step::BoundingSet, EPERM, 218);
  expect_failure(start(program, {.refused_call = SYS_capget, .refused_error = EINVAL}), Step::BoundingSet,
                 ::geteuid() == 0 ? EINVAL : EPERM, 218);
}

TEST(Isolation, AmbientCapabilitiesStayWithAUser) {
  SKIP_UNLESS_ROOT();
  Program program = status_of("Uid|CapInh|CapPrm|CapEff|CapAmb");
  make_user(program);
  program.fixed.flags |= wire::spec_has_ambient_set | wire::spec_no_new_privileges;
  program.fixed.ambient_set = cap_net_bind_service | std::uint64_t{1} << last_of_old_kernels;
  const std::string set = hex(program.fixed.ambient_set);
  EXPECT_EQ(start(program).output, "Uid:\t65533\t65533\t65533\t65533\nCapInh:\t" + set + "\nCapPrm:\t" + set +
                                       "\nCapEff:\t" + set + "\nCapAmb:\t" + set + "\n");
  program.fixed.ambient_set = 0;
  EXPECT_THAT(start(program).output, HasSubstr("CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n"));
}

TEST(Isolation, AmbientCapabilitiesThatCannotBeHadEndIt) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_ambient_set;
  program.fixed.ambient_set = std::uint64_t{1} << 63;  // there is none such
  const Outcome outcome = start(program);
  EXPECT_EQ(outcome.step(), Step::AmbientSet);
  EXPECT_EQ(outcome.code, 218);
  EXPECT_EQ(outcome.output, "");
  program.fixed.ambient_set = cap_chown;
  if (::geteuid() != 0) {
    expect_failure(start(program), Step::AmbientSet, EPERM, 218);
    return;
  }
  program.fixed.flags |= wire::spec_has_bounding_set;  // of which it is no part
  expect_failure(start(program), Step::AmbientSet, EPERM, 218);
  program.fixed.flags = wire::spec_has_ambient_set;
  for (const int call : {SYS_capget, SYS_capset, SYS_prctl})
    expect_failure(start(program, {.refused_call = call, .refused_error = EIO}), Step::AmbientSet, EIO, 218);
}

TEST(Isolation, SecureBitsAreSetForRootAndUsers) {
  SKIP_UNLESS_ROOT();
  // Under noroot a program that is executed gets nothing for being root's.
  Program program = status_of("CapPrm|CapEff");
  program.fixed.flags = wire::spec_has_secure_bits;
  program.fixed.secure_bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED;
  EXPECT_EQ(start(program).output, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
  make_user(program);
  program.fixed.secure_bits = SECBIT_NOROOT;
  EXPECT_EQ(start(program).output, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
}

TEST(Isolation, SecureBitsThatAreRefusedEndIt) {
  Program program = hello;
  program.fixed.flags = wire::spec_has_secure_bits;
  program.fixed.secure_bits = 1U << 30;
  expect_failure(start(program), Step::SecureBits, EPERM, 213);
  expect_failure(start(program, {.refused_call = SYS_capset, .refused_error = EIO}), Step::SecureBits, EIO, 213);
}

// ---- system calls

TEST(Isolation, AFilterOfSystemCallsIsInForce) {
  Program program = talking({"/bin/sh", "-c", "uname 2>&1; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"});
  program.filters = {refusing(SYS_uname, SECCOMP_RET_ERRNO | ENOTNAM)};
  EXPECT_THAT(start(program).output,
              ContainsRegex("uname: .*\nNoNewPrivs:\t" + std::string{::geteuid() == 0 ? "0" : "1"} + "\nSeccomp:\t2\n"));
  program.filters = {refusing(SYS_uname, SECCOMP_RET_ALLOW), refusing(SYS_uname, SECCOMP_RET_KILL_PROCESS)};
  EXPECT_THAT(start(program).output, HasSubstr("Seccomp:\t2\n"));
  program.arguments = {"/bin/uname"};
  EXPECT_EQ(start(program).code, -SIGSYS);
}

TEST(Isolation, AUserCannotGainRightsBehindAFilter) {
  SKIP_UNLESS_ROOT();
  Program program = status_of("NoNewPrivs|Seccomp");
  make_user(program);
  program.filters = {refusing(SYS_uname, SECCOMP_RET_ERRNO | EPERM)};
  EXPECT_EQ(start(program).output, "NoNewPrivs:\t1\nSeccomp:\t2\n");
}

TEST(Isolation, AFilterThatTheKernelRefusesEndsIt) {
  Program program = hello;
  program.filters = {{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)}};  // it does not return
  expect_failure(start(program, {.has_gate = true}), Step::SystemCallFilter, EINVAL, 228);
  EXPECT_EQ(start(program, {.has_gate = true}).gate, "xf");
  program.filters = {refusing(SYS_uname, SECCOMP_RET_ALLOW)};
  expect_failure(start(program, {.refused_call = SYS_mmap, .refused_error = ENOMEM}), Step::SystemCallFilter, ENOMEM, 228);
}

TEST(Isolation, AProgramThatCannotBeExecutedIsToldFromBehindAFilter) {
  Program program = talking({"/nowhere"});
  program.filters = {filter_of(
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 2, 0),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
       BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)})};
  expect_failure(start(program), Step::Exec, ENOENT, 203);
  const Outcome gated = start(program, {.has_gate = true});
  EXPECT_EQ(gated.step(), Step::Exec) << "although the filter ends it as it writes to the gate";
  EXPECT_EQ(gated.failure.error, ENOENT);
  EXPECT_EQ(gated.code, -SIGSYS);
}

TEST(Isolation, AFilterCostsNoAddressSpaceThatTheServiceMayNotHave) {
  Program program = hello;
  program.filters = {refusing(SYS_uname, SECCOMP_RET_ALLOW)};
  program.fixed.limits_set = 1U << RLIMIT_AS;
  program.fixed.limits[RLIMIT_AS] = {std::uint64_t{512} << 20, std::uint64_t{512} << 20};
  EXPECT_EQ(start(program).output, "hello\n");
}

TEST(Isolation, EverythingTogetherIsInForce) {
  SKIP_UNLESS_ROOT();
  Program program = status_of("Uid|Groups|CapBnd|CapAmb|NoNewPrivs|Seccomp");
  make_user(program);
  program.groups = {50};
  program.fixed.flags |= wire::spec_has_bounding_set | wire::spec_has_ambient_set | wire::spec_has_secure_bits |
                         wire::spec_no_new_privileges | wire::spec_has_cpu_scheduling | wire::spec_has_io_priority;
  program.fixed.bounding_set = program.fixed.ambient_set = cap_net_bind_service;
  program.fixed.secure_bits = SECBIT_NO_SETUID_FIXUP;
  program.fixed.io_priority = IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 1);
  program.mounts = {{"/usr", "/mnt", wire::mount_read_only}};
  program.root_directory = "/";
  program.working_directory = "/mnt/bin";
  program.filters = {refusing(SYS_uname, SECCOMP_RET_KILL_PROCESS)};
  const std::string set = hex(cap_net_bind_service);
  EXPECT_EQ(start(program).output, "Uid:\t65533\t65533\t65533\t65533\nGroups:\t50 \nCapBnd:\t" + set + "\nCapAmb:\t" + set +
                                       "\nNoNewPrivs:\t1\nSeccomp:\t2\n");
}

}  // namespace
}  // namespace perdure::executor
