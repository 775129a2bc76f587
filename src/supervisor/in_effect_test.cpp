#include "supervisor/in_effect.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/system.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(NotInEffect, WhatTheProcessHasIsNotTold) {
  unit::ServiceSpec service;
  EXPECT_FALSE(asks_for_priorities_or_limits(service));
  EXPECT_THAT(not_in_effect(service, ::getpid()), IsEmpty());
  rlimit core{};
  ::getrlimit(RLIMIT_CORE, &core);
  service.nice = ::getpriority(PRIO_PROCESS, 0);
  service.cpu_scheduling = unit::CpuScheduling{.policy = ::sched_getscheduler(0)};
  service.limits[static_cast<std::size_t>(unit::Limit::Core)] = unit::LimitValue{core.rlim_cur, core.rlim_max};
  service.limits[static_cast<std::size_t>(unit::Limit::OpenFiles)] = unit::LimitValue{0, 0};  // it has more
  EXPECT_TRUE(asks_for_priorities_or_limits(service));
  EXPECT_THAT(not_in_effect(service, ::getpid()), IsEmpty());
}

TEST(NotInEffect, WhatItHasNotIsToldWithWhatItHas) {
  unit::ServiceSpec service;
  const int nice = ::getpriority(PRIO_PROCESS, 0);
  service.nice = nice - 1;
  service.cpu_scheduling = unit::CpuScheduling{.policy = 2, .priority = 7};
  service.limits[static_cast<std::size_t>(unit::Limit::OpenFiles)] = unit::LimitValue{};  // infinity: no process has it
  ASSERT_EQ(::sched_getscheduler(0), SCHED_OTHER);
  EXPECT_THAT(
      not_in_effect(service, ::getpid()),
      ElementsAre("Nice=" + std::to_string(nice - 1) + " is not in effect: its main process has " + std::to_string(nice),
                  "CPUSchedulingPolicy=rr is not in effect: its main process has other",
                  "CPUSchedulingPriority=7 is not in effect: its main process has 0",
                  StartsWith("LimitNOFILE=infinity:infinity is not in effect: its main process has ")));
}

TEST(NotInEffect, InputAndOutputHaveAClassAndAPriority) {
  unit::ServiceSpec service;
  const int has = os::sys::ioprio_get(::getpid());
  ASSERT_GE(has, 0);
  service.io_scheduling = unit::IoScheduling{.io_class = has >> 13, .priority = has % 8};
  EXPECT_TRUE(asks_for_priorities_or_limits(service));
  EXPECT_THAT(not_in_effect(service, ::getpid()), IsEmpty());
  service.io_scheduling = unit::IoScheduling{.io_class = 1, .priority = 3};
  EXPECT_THAT(not_in_effect(service, ::getpid()),
              ElementsAre(StartsWith("IOSchedulingClass= and IOSchedulingPriority= (realtime 3) are not in effect: its main "
                                     "process has ")));
}

TEST(NotInEffect, AProcessThatIsGoneHasEverything) {
  unit::ServiceSpec service;
  service.nice = -20;
  service.oom_score_adjust = -1000;
  service.io_scheduling = unit::IoScheduling{};
  service.limits[static_cast<std::size_t>(unit::Limit::Cpu)] = unit::LimitValue{1, 1};
  EXPECT_THAT(not_in_effect(service, 999'999'999), IsEmpty());
}

}  // namespace
}  // namespace perdure::supervisor
