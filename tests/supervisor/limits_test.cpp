// A limit that is reached is said and costs nobody else anything; what was refused for want of resources is tried again.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <system_error>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

const std::string sleeper = "[Service]\nExecStart=/bin/sleep 1000\n";

/// Sets the soft limit of another process; returns the one before.
rlim_t set_soft_limit(pid_t pid, __rlimit_resource resource, rlim_t soft) {
  rlimit limit{};
  if (::prlimit(pid, resource, nullptr, &limit) != 0) throw std::system_error{errno, std::generic_category(), "prlimit"};
  const rlim_t before = std::exchange(limit.rlim_cur, soft);
  if (::prlimit(pid, resource, &limit, nullptr) != 0) throw std::system_error{errno, std::generic_category(), "prlimit"};
  return before;
}

/// Sets a soft limit of nobody's process, as nobody: root may need a capability for it. What goes wrong.
std::string limit_processes(pid_t pid, const std::string& soft) {
  const auto done = perdure::testing::run({"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                           "/usr/bin/prlimit", "--pid=" + std::to_string(pid), "--nproc=" + soft + ":"});
  return done.status.success() ? "" : done.output;
}

/// The number that its next descriptor would get.
rlim_t first_free_descriptor(pid_t pid) {
  std::set<int> open;
  for (const auto& entry : std::filesystem::directory_iterator{"/proc/" + std::to_string(pid) + "/fd"})
    open.insert(std::stoi(entry.path().filename()));
  int number = 0;
  while (open.contains(number)) ++number;
  return static_cast<rlim_t>(number);
}

/// "Max open files   SOFT   HARD   files"
std::string limits_of(std::int64_t pid, std::string_view name) {
  const std::string limits = read_file("/proc/" + std::to_string(pid) + "/limits").value_or("");
  const std::size_t at = limits.find(name);
  return at == std::string::npos ? limits : limits.substr(at, limits.find('\n', at) - at);
}

TEST(Limits, TheKeeperRaisesItsOwnAndTheFirstStartBeyondItIsRefused) {
  Instance instance{Owner::Ourselves, Parent::Test, {.under = {"/usr/bin/prlimit", "--nofile=100:200"}}};
  Service& first = instance.add("first.service", "idle");
  instance.start();
  ASSERT_TRUE(eventually([&] { return first.truth->lives > 0; }));
  const auto pid = instance.show(first.name).main_pid;
  EXPECT_THAT(limits_of(instance.number("KeeperPID"), "Max open files"), MatchesRegex("Max open files +200 +200 .*"));
  EXPECT_THAT(limits_of(pid, "Max open files"), MatchesRegex("Max open files +100 +200 .*"));

  int running = 1;
  const auto name = [](int number) { return "more" + std::to_string(number) + ".service"; };
  for (;; ++running) {
    instance.add_unit(name(running), sleeper);
    if (instance.carry_out("start", {name(running)}) != "done") break;
    ASSERT_LT(running, 200);
  }
  EXPECT_EQ(instance.show(name(running)).sub_state, "failed");
  const std::string words = "the limit of " + std::to_string(running) + " processes is reached";
  EXPECT_TRUE(instance.wait_for_output(name(running) + ": " + words)) << instance.output();
  EXPECT_THAT(instance.remarks(name(running)), HasSubstr(words));
  EXPECT_EQ(instance.show(first.name).main_pid, pid);
  for (int number = 1; number < running; ++number) EXPECT_EQ(instance.show(name(number)).sub_state, "running");

  if (running > 1) {
    EXPECT_EQ(instance.carry_out("stop", {name(1)}), "done");
    EXPECT_EQ(instance.carry_out("start", {name(running)}), "done") << "there is room again";
    EXPECT_EQ(instance.show(name(running)).sub_state, "running");
  }
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(first.truth->lives, 1U);
}

TEST(Limits, AManagerWithoutDescriptorsGoesOnWhenThereAreSomeAgain) {
  Instance instance{Owner::Ourselves, Parent::Test};
  Service& idler = instance.add("idler.service", "idle");
  instance.add_unit("later.service", sleeper);
  instance.start();
  ASSERT_TRUE(instance.wait_for(idler.name, "running"));
  for (const char* verb : {"start", "stop"}) ASSERT_EQ(instance.carry_out(verb, {"later.service"}), "done");  // it is loaded
  const auto pid = instance.show(idler.name).main_pid;
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));

  const rlim_t before = set_soft_limit(manager, RLIMIT_NOFILE, first_free_descriptor(manager));
  perdure::testing::Process client{
      {PERDURE_PROGRAM, "--runtime-dir=" + instance.path("run"), "is-active", idler.name}};  // answered, or told why not
  instance.ask({{"verb", "start"}, {"units", {"later.service"}}, {"wait", false}});
  EXPECT_TRUE(instance.wait_for_output("later.service: ")) << instance.output();
  EXPECT_THAT(instance.output(), AllOf(HasSubstr("Too many open files (EMFILE)"), HasSubstr("tried again")));
  EXPECT_EQ(instance.show(idler.name).main_pid, pid) << "who is connected is served";
  set_soft_limit(manager, RLIMIT_NOFILE, before);

  EXPECT_TRUE(instance.wait_for("later.service", "running"));
  EXPECT_EQ(instance.show("later.service").restarts, 0U);
  client.wait();
  EXPECT_EQ(
      perdure::testing::run({PERDURE_PROGRAM, "--runtime-dir=" + instance.path("run"), "is-active", idler.name}).output,
      "active\n");
  EXPECT_EQ(instance.number("ManagerPID"), manager);
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(idler.truth->lives, 1U);
}

TEST(Limits, AStartThatFailsForWantOfProcessesIsTriedAgainAndIsNoRestart) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else, whom the limit holds for";
  Instance instance{Owner::Nobody, Parent::Test};
  Service& idler = instance.add("idler.service", "idle");
  instance.add_unit("later.service", sleeper);
  instance.start();
  ASSERT_TRUE(instance.wait_for(idler.name, "running"));
  const pid_t keeper = instance.keeper();

  std::istringstream limits{limits_of(keeper, "Max processes")};
  std::string word, before;
  limits >> word >> word >> before;
  ASSERT_EQ(limit_processes(keeper, "0"), "");
  instance.ask({{"verb", "start"}, {"units", {"later.service"}}, {"wait", false}});
  EXPECT_TRUE(instance.wait_for_output("later.service: cannot start /bin/sleep: Resource temporarily unavailable (EAGAIN)"))
      << instance.output();
  EXPECT_EQ(instance.show("later.service").sub_state, "start");
  EXPECT_EQ(limit_processes(keeper, before), "");

  EXPECT_TRUE(instance.wait_for("later.service", "running"));
  EXPECT_EQ(instance.show("later.service").restarts, 0U);
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(idler.truth->lives, 1U);
}

/// An instance in a namespace of processes that has no more than a few hundred numbers.
class FewNumbers : public ::testing::Test {
 protected:
  static constexpr int pid_max = 400;
  void SetUp() override {
    utsname system{};
    int major = 0, minor = 0;
    ::uname(&system);
    const bool is_known = std::sscanf(system.release, "%d.%d", &major, &minor) == 2;
    // Before, the number is the whole machine's, and not for a test to change.
    if (!is_known || major < 6 || (major == 6 && minor < 14))
      GTEST_SKIP() << "Linux 6.14 is the first with pid_max per namespace";
    if (::geteuid() != 0) GTEST_SKIP() << "only root can make a namespace of processes";
    bystander = &instance.add("bystander.service", "idle");
    instance.start();
    ASSERT_TRUE(instance.wait_for(bystander->name, "running"));
    pid = instance.show(bystander->name).main_pid;
    ASSERT_LT(pid, pid_max);
  }
  void TearDown() override {
    if (IsSkipped()) return;
    EXPECT_EQ(instance.show(bystander->name).main_pid, pid);
    EXPECT_EQ(bystander->truth->lives, 1U);
    EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
    EXPECT_EQ(instance.leftovers(), "");
  }
  Instance instance{
      Owner::Ourselves,
      Parent::Namespace,
      {.under = {"/bin/sh", "-c", "echo " + std::to_string(pid_max) + " > /proc/sys/kernel/pid_max && exec \"$@\"", "sh"}}};
  Service* bystander = nullptr;
  std::int64_t pid = 0;
};

TEST_F(FewNumbers, WhoseNumberIsUsedAgainIsNotTakenForTheFormerOne) {
  instance.add_unit("brief.service",
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/true\nRestart=always\n"
                    "RestartSec=0\n");
  instance.add_unit("forking.service", "[Service]\nType=forking\nExecStart=/bin/sh -c 'sleep 1000 &'\n");
  ASSERT_EQ(instance.carry_out("start", {"brief.service"}), "done");
  for (std::uint64_t round = 1; round <= 4; ++round) {
    EXPECT_TRUE(eventually([&] { return instance.show("brief.service").restarts >= round * pid_max / 2; }))
        << instance.show("brief.service").restarts;
    EXPECT_EQ(instance.carry_out("restart", {"forking.service"}), "done")
        << "its end is asked for among numbers that come again";
    EXPECT_EQ(instance.show("forking.service").sub_state, "running");
  }
  EXPECT_EQ(instance.carry_out("stop", {"brief.service"}), "done");
}

TEST_F(FewNumbers, WithoutAFreeNumberAStartIsTriedAgainAndIsNoRestart) {
  instance.add_unit("hog.service", "[Service]\nExecStart=/bin/sh -c '(while :; do sleep 1000 & done); exec sleep 1000'\n");
  for (const char* name : {"first.service", "second.service"}) instance.add_unit(name, sleeper);
  ASSERT_EQ(instance.carry_out("start", {"hog.service"}), "done");
  ASSERT_TRUE(eventually([&] { return instance.log("hog.service").find("fork") != std::string::npos; }))
      << instance.log("hog.service");
  // The shell that could not go on has left one number.
  for (const char* name : {"first.service", "second.service"})
    instance.ask({{"verb", "start"}, {"units", {name}}, {"wait", false}});
  EXPECT_TRUE(
      instance.wait_for_output(".service: cannot start /bin/sleep: Resource temporarily unavailable (EAGAIN); tried again"))
      << instance.output();
  EXPECT_EQ(instance.carry_out("stop", {"hog.service"}), "done");
  for (const char* name : {"first.service", "second.service"}) {
    EXPECT_TRUE(instance.wait_for(name, "running")) << name;
    EXPECT_EQ(instance.show(name).restarts, 0U);
  }
}

}  // namespace
}  // namespace supervisor_test
