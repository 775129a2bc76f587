// A stop ends everything that a service has become: what hides, what does not listen, what is stopped, what grows.
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::proc_status;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// The service's user where it is not ours; nobody else's, so that nobody else counts against its limits.
constexpr const char* lonely_user = "User=64321\n";

struct Tracking {
  const char* name;
  InstanceOptions options;
};

void PrintTo(const Tracking& tracking, std::ostream* out) { *out << tracking.name; }

class Stop : public ::testing::TestWithParam<Tracking> {
 protected:
  void SetUp() override {
    if (is_cgroup_v1() && !has_cgroup_v1()) GTEST_SKIP() << "no hierarchy of cgroup v1 can be made here";
  }
  void TearDown() override {
    if (IsSkipped()) return;
    if (is_cgroup_v1()) {
      EXPECT_EQ(instance_.property("ProcessTracking"), "cgroup v1");
    }
    EXPECT_EQ(instance_.stop(), perdure::ExitStatus::exited(0)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }
  static bool is_cgroup_v1() { return std::string_view{GetParam().name} == "CgroupV1"; }
  void expect_stopped(const Service& service, std::string_view result) {
    EXPECT_EQ(instance_.carry_out("stop", {service.name}), "done");
    const auto shown = instance_.unit(service.name);
    EXPECT_EQ(shown.at("SubState"), result == "success" ? "dead" : "failed");
    EXPECT_EQ(shown.at("Result"), result);
    EXPECT_TRUE(has_nobody(instance_, service));
  }

  Instance instance_{Owner::Ourselves, Parent::Test, GetParam().options};
};

TEST_P(Stop, ProcessesThatLeftTheirParentAndTheirSessionAreEnded) {
  const Service& service = instance_.add("escape.service", "leave", "5");
  instance_.start();
  ASSERT_TRUE(eventually([&] { return service.truth->rounds == 5; })) << service.truth->rounds;
  expect_stopped(service, "success");
}

TEST_P(Stop, WhatAMainProcessLeavesBehindIsEndedAfterIt) {
  const Service& service = instance_.add("leaving.service", "exit", "0 5");
  instance_.start();
  EXPECT_TRUE(eventually([&] { return service.truth->lives == 1 && instance_.show(service.name).sub_state == "dead"; }))
      << instance_.show(service.name).sub_state;
  EXPECT_EQ(service.truth->rounds, 5U);
  EXPECT_TRUE(has_nobody(instance_, service));
  EXPECT_TRUE(instance_.wait_for_output("leaving.service: its main process left others behind, which are told to end: "))
      << instance_.output();
  EXPECT_EQ(instance_.unit(service.name).at("Result"), "success");
}

TEST_P(Stop, AStoppedProcessIsContinuedSoThatItCanEnd) {
  const Service& service = instance_.add("halted.service", "halt");
  instance_.start();
  ASSERT_TRUE(eventually(
      [&] { return service.truth->lives == 1 && proc_status(service.truth->life[0].pid, "State").starts_with("T"); }));
  EXPECT_EQ(instance_.show(service.name).sub_state, "running");
  EXPECT_THAT(instance_.remarks(service.name), HasSubstr("its main process is stopped by a signal"));
  expect_stopped(service, "success");
  EXPECT_EQ(check_end(*service.truth, 0, instance_.show(service.name), UnknownEnds::Wrong), "");
  EXPECT_EQ(service.truth->life[0].end, EndKind::Exited) << "SIGTERM has ended it by its own hand";
}

TEST_P(Stop, ProcessesThatIgnoreTheSignalAreKilledAfterTheirTime) {
  const Service& service = instance_.add("deaf.service", "deaf", "2", "TimeoutStopSec=200ms\n");
  instance_.start();
  ASSERT_TRUE(eventually([&] { return service.truth->rounds == 2; })) << service.truth->rounds;
  expect_stopped(service, "timeout");
  EXPECT_EQ(instance_.show(service.name).status, SIGKILL);
  EXPECT_TRUE(instance_.wait_for_output("deaf.service: 3 processes were killed with SIGKILL: ")) << instance_.output();
  EXPECT_THAT(instance_.output(), HasSubstr('(' + std::to_string(service.truth->life[0].pid) + ')'));
}

TEST_P(Stop, ProcessesThatLiveForMillisecondsAndLeaveTheNextOneAreEnded) {
  const Service& service = instance_.add("hop.service", "hop", "4", "TimeoutStopSec=200ms\n");
  instance_.add("bystander.service", "idle");
  instance_.start();
  ASSERT_TRUE(eventually([&] { return service.truth->rounds > 40; })) << service.truth->rounds;
  EXPECT_EQ(instance_.carry_out("stop", {service.name}), "done");
  EXPECT_TRUE(has_nobody(instance_, service)) << service.truth->rounds;
}

TEST_P(Stop, AForkBombWithALimitHurtsNobodyAndIsEnded) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can start a service as a user who has no other processes";
  fs::permissions(instance_.path("."), fs::perms{0711});
  Service& bystander = instance_.add("bystander.service", "idle");
  const Service& bomb =
      instance_.add("bomb.service", "bomb", "", std::string{lonely_user} + "LimitNPROC=30\nTimeoutStopSec=200ms\n");
  instance_.start();
  ASSERT_TRUE(eventually([&] { return bomb.truth->rounds > 1000; })) << "forks fail: " << bomb.truth->rounds;
  const ShownUnit before = instance_.show(bystander.name);
  EXPECT_EQ(instance_.carry_out("restart", {bystander.name}), "done") << "others can be started";
  EXPECT_NE(instance_.show(bystander.name).main_pid, before.main_pid);
  EXPECT_EQ(instance_.show(bystander.name).sub_state, "running");
  expect_stopped(bomb, "timeout");
  EXPECT_EQ(bystander.truth->duplicates, 0U);
  EXPECT_EQ(bystander.truth->lives, 2U);
}

INSTANTIATE_TEST_SUITE_P(, Stop,
                         ::testing::Values(Tracking{"AsIsPossibleHere", {}}, Tracking{"CgroupV1", cgroup_v1()},
                                           Tracking{"BestEffort", best_effort()}),
                         [](const auto& tracking) { return std::string{tracking.param.name}; });

}  // namespace
}  // namespace supervisor_test
