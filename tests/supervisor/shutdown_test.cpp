// The stop of everything: how long it may take, and the code that the instance ends with, whoever is manager at the time.
#include <unistd.h>

#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::ExitStatus;
using perdure::testing::eventually;
using perdure::testing::read_file;
using ::testing::HasSubstr;
using ::testing::Not;

/// Only SIGKILL ends it, and its settings allow no SIGKILL for as long as it lives.
Service& add_endless(Instance& instance, const std::string& name, const std::string& unit_settings = {}) {
  return instance.add(name, "deaf", "1", unit_settings + "[Service]\nTimeoutStopSec=infinity\n");
}

/// From then on it does not hear SIGTERM.
bool is_deaf(Service& service) {
  return eventually([&] { return service.truth->rounds == 1; });
}

class Shutdown : public ::testing::Test {
 protected:
  /// Waits until the stop goes on and waits for the endless one; kills the manager then; ends all patience under the next one.
  void kill_the_manager_on_the_way() {
    ASSERT_TRUE(instance_.wait_for("endless.service", "stop-sigterm"));
    const auto manager = static_cast<pid_t>(instance_.number("ManagerPID"));
    ASSERT_TRUE(signal_descendant(manager, SIGKILL));
    ASSERT_TRUE(eventually([&] { return instance_.number("ManagerPID") != manager; }));
    instance_.ask({{"verb", "shutdown"}});
  }
  void expect_end(int code) {
    EXPECT_EQ(instance_.wait_for_end(), ExitStatus::exited(code)) << instance_.output();
    EXPECT_EQ(instance_.leftovers(), "");
  }

  Instance instance_{Owner::Ourselves, Parent::Test};
};

TEST_F(Shutdown, EndsWithTheCodeThatWasAskedForAlsoWhenTheManagerDiesOnTheWay) {
  Service& endless = add_endless(instance_, "endless.service");
  instance_.start();
  ASSERT_TRUE(is_deaf(endless));
  instance_.ask({{"verb", "exit"}, {"code", 3}});
  kill_the_manager_on_the_way();
  expect_end(3);
}

TEST_F(Shutdown, EndsWithTheCodeOfTheEssentialUnitAlsoWhenTheManagerDiesOnTheWay) {
  Service& endless = add_endless(instance_, "endless.service");
  instance_.add_unit("main.service", "[Service]\nExecStart=/bin/sh -c \"exit 7\"\n[X-Perdure]\nEssential=yes\n");
  instance_.start();
  ASSERT_TRUE(is_deaf(endless));
  instance_.ask({{"verb", "start"}, {"units", {"main.service"}}, {"wait", false}});
  kill_the_manager_on_the_way();
  expect_end(7);
  EXPECT_THAT(instance_.output(),
              HasSubstr("main.service has ended (exited 7) and is essential: the instance ends with 7\n"));
}

TEST_F(Shutdown, AnEssentialUnitThatIsStoppedWithAllOthersSaysNothingAboutTheCode) {
  Service& endless = add_endless(instance_, "endless.service");
  instance_.add("main.service", "idle", "", "[X-Perdure]\nEssential=yes\n");
  instance_.start();
  ASSERT_TRUE(instance_.wait_for("main.service", "running"));
  ASSERT_TRUE(is_deaf(endless));
  ASSERT_TRUE(signal_descendant(instance_.keeper(), SIGTERM));
  ASSERT_TRUE(instance_.wait_for("main.service", "dead"));
  kill_the_manager_on_the_way();
  expect_end(0);
  EXPECT_THAT(instance_.output(), Not(HasSubstr("essential")));
}

TEST_F(Shutdown, WhatEndsTheInstanceIsSaidAsItIs) {
  instance_.add(
      "hasty.service", "exit", "5",
      "StartLimitIntervalSec=60\nStartLimitBurst=2\nStartLimitAction=exit\n[Service]\nRestart=always\nRestartSec=0\n");
  instance_.start();
  expect_end(5);
  EXPECT_THAT(instance_.output(), HasSubstr("hasty.service was started too often (it ended last: exited 5) and "
                                            "StartLimitAction= says what then: the instance ends, with 5\n"));
  EXPECT_THAT(instance_.output(), Not(HasSubstr("essential")));
}

TEST(StopLimit, EndsWhoTakesLongerLeavesTheOthersTimeAndNamesWhoWasCutShort) {
  Instance instance{Owner::Ourselves, Parent::Test, {.run_options = {"--stop-timeout=1s 500ms"}}};
  const std::string order = instance.path("order");
  instance.add("db.service", "idle", order + " db");
  Service& web = add_endless(instance, "web.service", "After=db.service\n");
  instance.start();
  ASSERT_TRUE(is_deaf(web));
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
  EXPECT_EQ(read_file(order).value_or(""), "db\n") << "it was waiting for web, and was not just killed";
  EXPECT_THAT(instance.output(),
              HasSubstr("cut short: web.service: TimeoutStopSec= allows more time, but stopping everything "
                        "may take 1.5 s in all; --stop-timeout= sets another time\n"));
}

TEST(StopLimit, IsThereForProcess1WithoutAnOption) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a PID namespace with a /proc of its own needs root";
  Instance instance{Owner::Ourselves, Parent::Namespace};
  Service& endless = add_endless(instance, "endless.service");
  instance.start();
  ASSERT_TRUE(is_deaf(endless));
  EXPECT_EQ(instance.stop(), ExitStatus::exited(0)) << instance.output();
  EXPECT_THAT(instance.output(), HasSubstr("cut short: endless.service: "));
  EXPECT_THAT(instance.output(), HasSubstr("may take 10 s in all"));
}

TEST(StopLimit, CountsFromTheFirstRequestUnderTheNextManagerToo) {
  Instance instance{Owner::Ourselves, Parent::Test, {.run_options = {"--stop-timeout=3s"}}};
  Service& endless = add_endless(instance, "endless.service");
  instance.start();
  ASSERT_TRUE(is_deaf(endless));
  ASSERT_TRUE(signal_descendant(instance.keeper(), SIGTERM));
  ASSERT_TRUE(instance.wait_for("endless.service", "stop-sigterm"));
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(instance.number("ManagerPID")), SIGKILL));
  EXPECT_EQ(instance.wait_for_end(), ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
  EXPECT_THAT(instance.output(), HasSubstr("cut short: endless.service: "));
}

}  // namespace
}  // namespace supervisor_test
