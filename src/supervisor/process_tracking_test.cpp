// Real processes in real control groups where there are some, and without.
#include "supervisor/process_tracking.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <optional>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/system.hpp"
#include "perdure/testing/process.hpp"

namespace perdure::supervisor {
namespace {

using perdure::testing::eventually;
using perdure::testing::has_ended;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Invocation = std::array<std::uint8_t, 16>;
constexpr Invocation ours{0xab, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xef};
constexpr const char* our_id = "INVOCATION_ID=ab0102030405060708090a0b0c0d0eef";
constexpr const char* other_id = "INVOCATION_ID=ffffffffffffffffffffffffffffffff";

/// The test is the keeper: what its children leave behind comes to it, and is killed at the end.
class TrackingTest : public ::testing::Test {
 protected:
  TrackingTest() { perdure::testing::adopt_orphans(); }
  ~TrackingTest() override { end_descendants(); }
  static void end_descendants() {
    for (;;) {
      for (const pid_t child : children()) send(child, SIGKILL);
      if (::waitpid(-1, nullptr, 0) < 0 && errno == ECHILD) return;
    }
  }
  static void send(pid_t pid, int number) {
    const UniqueFd pidfd{os::sys::pidfd_open(pid, 0)};
    if (pidfd) os::sys::pidfd_send_signal(pidfd.get(), number);
  }
  static std::vector<pid_t> children() {
    const std::string self = std::to_string(::getpid());
    std::istringstream words{perdure::testing::read_file("/proc/" + self + "/task/" + self + "/children").value_or("")};
    std::vector<pid_t> found;
    for (pid_t child = 0; words >> child;) found.push_back(child);
    return found;
  }
  /// A shell with this script, a session of its own and one variable; born in `cgroup` where there is one.
  static pid_t start(const std::string& script, const char* variable = "NONE=", int cgroup = -1) {
    clone_args how{};
    how.exit_signal = SIGCHLD;
    if (cgroup >= 0) {
      how.flags = CLONE_INTO_CGROUP;
      how.cgroup = static_cast<std::uint64_t>(cgroup);
    }
    const std::string environment[] = {variable, "PATH=/usr/bin:/bin"};
    const char* const arguments[] = {"sh", "-c", script.c_str(), nullptr};
    const char* const variables[] = {environment[0].c_str(), environment[1].c_str(), nullptr};
    const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
    if (pid != 0) {
      EXPECT_GT(pid, 0);
      EXPECT_TRUE(eventually([pid] {
        // Its name comes first, its environment with the last step of the exec.
        return has_ended(pid) ||
               (perdure::testing::proc_status(pid, "Name") != perdure::testing::proc_status(::getpid(), "Name") &&
                !perdure::testing::read_file("/proc/" + std::to_string(pid) + "/environ").value_or("").empty());
      }));
      return pid;
    }
    ::setsid();
    ::execve("/bin/sh", const_cast<char* const*>(arguments), const_cast<char* const*>(variables));
    ::_exit(127);
  }
  /// Ends a child that is to be no more than a number.
  static void reap(pid_t pid) { ::waitpid(pid, nullptr, 0); }
};

// ---- control groups

class CgroupTest : public TrackingTest {
 protected:
  void SetUp() override {
    tracking.emplace(
        ProcessTracking::open({.instance = "perdure-test-" + std::to_string(::getpid()), .keeper = ::getpid()}));
    if (tracking->kind() != TrackingKind::CgroupV2) GTEST_SKIP() << "no cgroup v2 hierarchy can be written here";
  }
  void TearDown() override {
    end_descendants();
    if (!tracking) return;
    const std::string path = tracking->path();
    eventually([this] {
      return std::ranges::all_of(tracking->leaves(), [this](const std::string& name) { return tracking->remove(name); });
    });
    tracking->close_down();
    if (!path.empty()) {
      EXPECT_THAT(perdure::testing::read_file("/proc/self/cgroup").value(), ::testing::Not(HasSubstr(path)));
    }
  }
  [[nodiscard]] bool becomes_empty() const {
    return eventually([this] { return tracking->is_empty(run); });
  }
  const std::string leaf = ProcessTracking::leaf_name("web.service", 12);
  const RunProcesses run{.leaf = leaf};
  std::optional<ProcessTracking> tracking;
};

TEST_F(CgroupTest, KeeperAndManagerHaveALeafOfTheirOwn) {
  EXPECT_THAT(perdure::testing::read_file("/proc/self/cgroup").value(),
              HasSubstr(tracking->path() + "/supervisor." + std::to_string(::getpid()) + "\n"));
  EXPECT_THAT(tracking->leaves(), IsEmpty()) << "it is no leaf of a run";
}

TEST_F(CgroupTest, AProcessIsBornInItsLeafAndCannotLeaveIt) {
  const Birthplace place = tracking->prepare(leaf).value();
  EXPECT_FALSE(place.enters_by_itself);
  EXPECT_TRUE(tracking->is_empty(run));
  EXPECT_THAT(tracking->leaves(), ::testing::ElementsAre("web.service#12"));
  const pid_t pid = start("setsid sh -c 'setsid sleep 1000 & exit 0'; exec sleep 1000", "NONE=", place.fd.get());
  EXPECT_FALSE(tracking->is_empty(run));
  EXPECT_TRUE(tracking->contains(run, pid));
  EXPECT_FALSE(tracking->contains(run, ::getpid()));
  EXPECT_FALSE(tracking->contains(run, 1));
  EXPECT_FALSE(tracking->contains(run, -1));
  ASSERT_TRUE(eventually([&] { return children().size() == 2; })) << "the one that escaped comes to us";
  for (const pid_t child : children()) EXPECT_TRUE(tracking->contains(run, child));
}

TEST_F(CgroupTest, TheLeafOfAProcessIsKnownByItsNumberAndAlsoLaterByItsPidfd) {
  const Birthplace place = tracking->prepare(leaf).value();
  const pid_t pid = start("exec sleep 1000", "NONE=", place.fd.get());
  const UniqueFd pidfd{os::sys::pidfd_open(pid, 0)};
  EXPECT_EQ(tracking->leaf_of(pid), leaf);
  EXPECT_EQ(tracking->leaf_of(pid, pidfd.get()), leaf);
  EXPECT_NE(tracking->leaf_of(::getpid()), leaf);
  {
    os::testing::FaultPlan plan{{.call = os::Call::open_by_handle_at, .error = EPERM}};  // as in a container
    EXPECT_EQ(tracking->leaf_of(pid, pidfd.get()), leaf);
  }
  const UniqueFd own{os::sys::pidfd_open(::getpid(), 0)};
  EXPECT_NE(tracking->leaf_of(::getpid(), own.get()), leaf);
  send(pid, SIGKILL);
  reap(pid);
  const auto known = tracking->leaf_of(pid, pidfd.get());
  if (known == "") GTEST_SKIP() << "only Linux 6.15 and later tell it of a process that has ended";
  EXPECT_EQ(known, leaf);
}

TEST_F(CgroupTest, ALeafThatIsThereAlreadyIsUsed) {
  ASSERT_TRUE(tracking->prepare(leaf));
  EXPECT_TRUE(tracking->prepare(leaf));
}

TEST_F(CgroupTest, AChildMayEnterByItself) {
  tracking->enter_by_procs();
  const Birthplace place = tracking->prepare(leaf).value();
  EXPECT_TRUE(place.enters_by_itself);
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (::write(place.fd.get(), "0", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  EXPECT_TRUE(eventually([&] { return tracking->contains(run, pid); }));
}

TEST_F(CgroupTest, OnlyAnEmptyLeafIsRemoved) {
  const Birthplace place = tracking->prepare(leaf).value();
  start("exec sleep 1000", "NONE=", place.fd.get());
  EXPECT_FALSE(tracking->remove(leaf));
  tracking->kill_all(run);
  ASSERT_TRUE(becomes_empty());
  EXPECT_TRUE(eventually([&] { return tracking->remove(leaf); }));
  EXPECT_TRUE(tracking->is_empty(run)) << "what is gone is empty";
  EXPECT_TRUE(tracking->remove(leaf)) << "and may be removed twice";
}

TEST_F(CgroupTest, ASignalReachesAllAndNobodyElse) {
  const Birthplace place = tracking->prepare(leaf).value();
  const pid_t stranger = start("exec sleep 1000");
  start("sleep 1000 & sleep 1000 & setsid sleep 1000 & wait", "NONE=", place.fd.get());
  ASSERT_TRUE(eventually([&] { return tracking->signal_all(run, 0) >= 4; }));
  EXPECT_GE(tracking->signal_all(run, SIGTERM), 4U);
  EXPECT_TRUE(becomes_empty());
  EXPECT_FALSE(has_ended(stranger));
}

TEST_F(CgroupTest, AStoppedProcessIsWokenToHearItsSigterm) {
  const Birthplace place = tracking->prepare(leaf).value();
  const pid_t pid = start("kill -STOP $$; sleep 1000", "NONE=", place.fd.get());
  ASSERT_TRUE(eventually([&] { return perdure::testing::proc_status(pid, "State").starts_with('T'); }));
  tracking->signal_all(run, SIGTERM);
  EXPECT_TRUE(becomes_empty());
}

TEST_F(CgroupTest, AForkStormEndsAtOnce) {
  const Birthplace place = tracking->prepare(leaf).value();
  start("trap '' TERM; while :; do sleep 0.5 & done", "NONE=", place.fd.get());
  ASSERT_TRUE(eventually([&] { return tracking->signal_all(run, 0) > 20; }));
  tracking->kill_all(run);
  EXPECT_TRUE(becomes_empty());
}

TEST_F(CgroupTest, SignallingMeetsThoseThatForkMeanwhile) {
  const Birthplace place = tracking->prepare(leaf).value();
  start("while :; do sleep 1000 & sleep 0.01; done", "NONE=", place.fd.get());
  EXPECT_TRUE(eventually([&] {
    tracking->signal_all(run, SIGKILL);
    return tracking->is_empty(run);
  }));
}

TEST_F(CgroupTest, TheEndOfTheLastProcessIsToldByAnEvent) {
  const Birthplace place = tracking->prepare(leaf).value();
  start("exec sleep 1000", "NONE=", place.fd.get());
  const int watch = tracking->watch(leaf);
  ASSERT_GE(watch, 0);
  EXPECT_THAT(tracking->events(), IsEmpty());
  tracking->kill_all(run);
  pollfd polled{tracking->fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&polled, 1, 30'000), 1);
  EXPECT_THAT(tracking->events(), Contains(watch));
  EXPECT_TRUE(becomes_empty());
  tracking->unwatch(watch);
  tracking->unwatch(-1);
  EXPECT_EQ(tracking->watch("missing.service#1"), -1);
}

TEST_F(CgroupTest, ASuccessorFindsTheSameDirectory) {
  ASSERT_TRUE(tracking->prepare(leaf));
  const ProcessTracking next =
      ProcessTracking::open({.instance = "perdure-test-" + std::to_string(::getpid()), .keeper = ::getpid()});
  EXPECT_EQ(next.kind(), TrackingKind::CgroupV2);
  EXPECT_EQ(next.path(), tracking->path());
  EXPECT_THAT(next.leaves(), Contains("web.service#12"));
}

TEST_F(CgroupTest, ALeafIsNamedAfterItsRun) {
  EXPECT_NE(ProcessTracking::leaf_name("web.service", 1), ProcessTracking::leaf_name("web.service", 2));
  EXPECT_LE(ProcessTracking::leaf_name(std::string(255, 'x'), ~std::uint64_t{0}).size(), 255U);
  EXPECT_NE(ProcessTracking::leaf_name(std::string(246, 'x') + "1.service", 1),
            ProcessTracking::leaf_name(std::string(246, 'x') + "2.service", 1))
      << "long names that differ only in what does not fit";
}

// ---- best effort

/// A directory that looks like a cgroup with the controllers that it is told.
class FakeCgroupTest : public ::testing::Test {
 protected:
  ProcessTracking open(const std::string& controllers) {
    const std::string instance = root / "t";
    const std::string own = instance + "/supervisor." + std::to_string(::getpid());
    std::filesystem::create_directories(own);
    for (const std::string& file : {own + "/cgroup.procs", instance + "/cgroup.subtree_control"})
      perdure::testing::write_file(file, "");
    perdure::testing::write_file(instance + "/cgroup.controllers", controllers + "\n");
    return ProcessTracking::open({.cgroup_root = root.path(), .instance = "t", .keeper = ::getpid()});
  }
  perdure::testing::TempDir root{};
};

TEST_F(FakeCgroupTest, ALeafCountsWhoWasEndedForWantOfMemory) {
  ProcessTracking tracking = open("cpu memory pids");
  ASSERT_EQ(tracking.kind(), TrackingKind::CgroupV2);
  EXPECT_EQ(perdure::testing::read_file(root / "t/cgroup.subtree_control"), "+memory");
  ASSERT_TRUE(tracking.prepare("web.service#1"));
  EXPECT_EQ(tracking.oom_kills("web.service#1"), std::nullopt) << "nobody counts";
  const std::string file = root / "t/web.service#1/memory.events";
  perdure::testing::write_file(file, "low 0\nhigh 4\nmax 17\noom 3\noom_kill 2\noom_group_kill 0\n");
  EXPECT_EQ(tracking.oom_kills("web.service#1"), 2U);
  perdure::testing::write_file(file, "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n");
  EXPECT_EQ(tracking.oom_kills("web.service#1"), 0U);
  EXPECT_EQ(tracking.oom_kills("other.service#1"), std::nullopt);
}

TEST_F(FakeCgroupTest, WithoutTheControllerNothingIsAskedFor) {
  const ProcessTracking tracking = open("cpu memory-of-old pids");
  EXPECT_EQ(perdure::testing::read_file(root / "t/cgroup.subtree_control"), "");
}

class BestEffortTest : public TrackingTest {
 protected:
  static ProcessTracking open() {
    return ProcessTracking::open({.cgroup_root = "/proc/perdure-nowhere", .instance = "t", .keeper = ::getpid()});
  }
  [[nodiscard]] bool finds(const RunProcesses& run, pid_t pid) const {
    tracking.look_again();
    return tracking.contains(run, pid);
  }
  ProcessTracking tracking = open();
};

TEST_F(BestEffortTest, ItSaysSoAndWhy) {
  EXPECT_EQ(tracking.kind(), TrackingKind::BestEffort);
  EXPECT_EQ(word_of(tracking.kind()), "best effort");
  ASSERT_EQ(tracking.notes().size(), 2U);
  EXPECT_THAT(tracking.notes()[0], HasSubstr("cannot use --cgroup-root /proc/perdure-nowhere (ENOENT)"));
  EXPECT_THAT(tracking.notes()[1], HasSubstr("best effort"));
  EXPECT_EQ(tracking.fd(), -1);
  EXPECT_EQ(tracking.watch("x"), -1);
  EXPECT_FALSE(tracking.prepare("x").value().fd);
}

TEST_F(BestEffortTest, AProcessThatForkedTwiceAndLeftItsSessionIsFoundByItsId) {
  const pid_t main = start("setsid sh -c 'setsid sleep 1000 & exit 0'; exit 0", our_id);
  reap(main);
  ASSERT_TRUE(eventually([] { return children().size() == 1; }));
  const pid_t escaped = children()[0];
  const RunProcesses run{.main = main, .invocation = ours};
  EXPECT_TRUE(eventually([&] { return finds(run, escaped); })) << "it may be in the middle of an exec";
  EXPECT_FALSE(tracking.is_empty(run));
  EXPECT_TRUE(eventually([&] {
    tracking.kill_all(run);  // again, as who was in the middle of an exec is met by the next
    ::waitpid(escaped, nullptr, WNOHANG);
    tracking.look_again();
    return tracking.is_empty(run);
  }));
}

TEST_F(BestEffortTest, AForkStormEndsWithoutACgroupToo) {
  const pid_t main = start("trap '' TERM; storm() { while :; do setsid sleep 0.3 & done; }; storm & storm", our_id);
  const RunProcesses run{.main = main, .invocation = ours};
  ASSERT_TRUE(eventually([&] {
    tracking.look_again();
    return tracking.named(run, 11).size() > 10;
  }));
  EXPECT_TRUE(eventually([&] {
    tracking.kill_all(run);
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    tracking.look_again();
    return tracking.is_empty(run) && children().empty();
  }));
}

TEST_F(BestEffortTest, ADescendantThatClearedItsEnvironmentIsFoundByItsSession) {
  const pid_t main = start("env -i sleep 1000 & exit 0", our_id);
  reap(main);
  ASSERT_TRUE(
      eventually([] { return children().size() == 1 && perdure::testing::proc_status(children()[0], "Name") == "sleep"; }));
  EXPECT_TRUE(finds({.main = main, .invocation = ours}, children()[0]));
}

TEST_F(BestEffortTest, AProcessOfAnotherRunIsNeverTouched) {
  const pid_t mine = start("exec sleep 1000", our_id);
  const pid_t other = start("sleep 1000 & wait", other_id);
  const pid_t plain = start("exec sleep 1000");
  const RunProcesses run{.main = mine, .invocation = ours};
  EXPECT_TRUE(finds(run, mine));
  EXPECT_FALSE(finds(run, other));
  EXPECT_FALSE(finds(run, plain));
  EXPECT_FALSE(finds(run, ::getpid()));
  EXPECT_EQ(tracking.kill_all(run), 1U);
  EXPECT_TRUE(eventually([mine] { return has_ended(mine); }));
  EXPECT_FALSE(has_ended(other));
  EXPECT_FALSE(has_ended(plain));
}

TEST_F(BestEffortTest, ANumberThatHasPassedToAnotherRunDoesNotBringItsProcesses) {
  const pid_t other = start("sleep 1000 & wait", other_id);
  const RunProcesses run{.main = other, .invocation = ours};  // our main process had the number before
  EXPECT_FALSE(finds(run, other));
  EXPECT_TRUE(eventually([&] {
    tracking.look_again();
    return tracking.is_empty(run);
  }));
  EXPECT_EQ(tracking.kill_all(run), 0U);
  EXPECT_FALSE(has_ended(other));
}

TEST_F(BestEffortTest, AProcessInTheMiddleOfAnExecKeepsRunsFromCountingAsEmptyButNotForEver) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  // Fields 48 to 51 of proc_pid_stat(5): where the words begin, and where the environment ends.
  std::istringstream fields{perdure::testing::read_file("/proc/self/stat").value_or("")};
  const std::vector<std::string> all{std::istream_iterator<std::string>{fields}, {}};
  ASSERT_GE(all.size(), 51U);
  const std::uintptr_t begin = std::stoull(all[47]) & ~std::uintptr_t{4095};
  const std::size_t size = std::stoull(all[50]) - begin;
  const pid_t nameless = ::fork();
  if (nameless == 0) {
    // Without these pages it has neither words nor an environment, as in the middle of an exec.
    const bool done = ::munmap(reinterpret_cast<void*>(begin), size) == 0;
    if (done && ::write(ends[1], "", 1) == 1) ::pause();
    ::_exit(1);
  }
  ::close(ends[1]);
  char answer = 0;
  ASSERT_EQ(::read(ends[0], &answer, 1), 1);
  ::close(ends[0]);
  const RunProcesses run{.invocation = ours};
  EXPECT_FALSE(tracking.is_empty(run));
  tracking.look_again();
  EXPECT_FALSE(tracking.is_empty(run));
  EXPECT_TRUE(eventually([&] {
    tracking.look_again();
    return tracking.is_empty(run);
  }));
}

TEST_F(BestEffortTest, WithoutAnIdNobodyIsFoundByIt) {
  const pid_t plain = start("exec sleep 1000");
  EXPECT_FALSE(finds({.main = 0, .invocation = {}}, plain));
  EXPECT_TRUE(tracking.is_empty({.main = 0, .invocation = {}}));
}

TEST_F(BestEffortTest, AVariableThatOnlyLooksLikeTheIdIsNot) {
  const pid_t longer = start("exec sleep 1000", "MY_INVOCATION_ID=ab0102030405060708090a0b0c0d0eef");
  const pid_t cut = start("exec sleep 1000", "INVOCATION_ID=ab01020304");
  const pid_t text = start("exec sleep 1000", "INVOCATION_ID=zz0102030405060708090a0b0c0d0eef");
  const RunProcesses run{.invocation = ours};
  EXPECT_FALSE(finds(run, longer));
  EXPECT_FALSE(finds(run, cut));
  EXPECT_FALSE(finds(run, text));
}

TEST_F(BestEffortTest, AnOrdinaryUserFindsHisOwnJustTheSame) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become nobody to try; the other tests run as that user already";
  const pid_t nobody = ::fork();
  if (nobody == 0) {
    perdure::testing::adopt_orphans();
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) ::_exit(10);
    ::prctl(PR_SET_DUMPABLE, 1);
    const ProcessTracking his = ProcessTracking::open({.instance = "t", .runtime_dir = "/nowhere", .keeper = ::getpid()});
    const pid_t main = start("setsid sh -c 'setsid sleep 1000 & exit 0'; exit 0", our_id);
    reap(main);
    if (!eventually([] { return children().size() == 1; })) ::_exit(11);
    const RunProcesses run{.main = main, .invocation = ours};
    const auto finds_it = [&] {
      his.look_again();
      return his.contains(run, children()[0]);
    };
    const bool is_found = his.kind() == TrackingKind::BestEffort && eventually(finds_it) && his.kill_all(run) >= 1;
    end_descendants();
    ::_exit(is_found ? 0 : 12);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(nobody, &status, 0), nobody);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace perdure::supervisor
