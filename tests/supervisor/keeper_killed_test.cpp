// The keeper killed: services go on as the same processes, no byte is lost, and a status is told as it was or as unknown.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"
#include "services.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;

/// By turns the keeper, whose place the manager takes, and the manager.
void kill_keepers(Owner owner, unsigned kills) {
  if (owner == Owner::Nobody && ::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  Instance instance{owner, Parent::Init};
  Services services{instance, 20};
  instance.start();
  ASSERT_NO_FATAL_FAILURE(services.begin());
  const auto begun = std::chrono::steady_clock::now();

  for (unsigned killed = 0; killed < kills && !::testing::Test::HasFailure(); ++killed) {
    const auto keeper = static_cast<pid_t>(instance.number("KeeperPID"));
    const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
    ASSERT_TRUE(signal_descendant(keeper, SIGKILL));
    ASSERT_TRUE(eventually([&] { return instance.number("KeeperPID") == manager; })) << instance.output();
    EXPECT_TRUE(instance.wait_for_output("process " + std::to_string(manager) + " takes its place")) << instance.output();
    EXPECT_THAT(instance.degraded(), ::testing::HasSubstr("the keeper was lost and has been replaced"));
    services.look(UnknownEnds::Allowed);
    const auto heir = static_cast<pid_t>(instance.number("ManagerPID"));
    ASSERT_TRUE(signal_descendant(heir, SIGKILL));
    ASSERT_TRUE(eventually([&] { return instance.number("ManagerPID") != heir; })) << instance.output();
    EXPECT_EQ(instance.number("KeeperPID"), manager);
    services.look(UnknownEnds::Allowed);
  }
  const auto took = std::chrono::duration<double>{std::chrono::steady_clock::now() - begun};
  services.judge(UnknownEnds::Allowed);
  std::printf("%u keepers and %u managers killed in %.1f s: %s\n", kills, kills, took.count(), services.text().c_str());
}

TEST(KeeperKilled, ServicesGoOnAndNothingIsToldWrongly) { kill_keepers(Owner::Ourselves, 50); }

TEST(KeeperKilled, AnOrdinaryUsersServicesGoOnToo) { kill_keepers(Owner::Nobody, 15); }

TEST(KeeperKilled, ACommandThatRunsMeanwhileIsNotRunTwice) {
  Instance instance{Owner::Ourselves, Parent::Init};
  instance.add("bystander.service", "idle");
  const std::string gate = instance.path("gate");
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  instance.start();
  const std::string began = instance.path("began");
  instance.add_unit("web.service", "[Service]\nExecStartPre=/bin/sh -c 'echo $$$$ >> " + began + "; read line < " + gate +
                                       "'\nExecStart=/bin/sh -c 'read line < " + gate + "'\n");
  instance.ask({{"verb", "start"}, {"units", {"web.service"}}, {"wait", false}});
  ASSERT_TRUE(eventually([&] { return perdure::testing::read_file(began).value_or("").ends_with('\n'); }));
  ASSERT_TRUE(instance.wait_for("web.service", "start-pre"));

  const auto keeper = static_cast<pid_t>(instance.number("KeeperPID"));
  const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
  ASSERT_TRUE(signal_descendant(keeper, SIGKILL));
  ASSERT_TRUE(eventually([&] { return instance.number("KeeperPID") == manager; })) << instance.output();
  EXPECT_EQ(instance.unit("web.service").value("SubState", ""), "start-pre");
  perdure::testing::write_file(gate, "go\n");
  ASSERT_TRUE(instance.wait_for("web.service", "running")) << instance.output();
  const std::string pids = perdure::testing::read_file(began).value_or("");
  EXPECT_EQ(std::count(pids.begin(), pids.end(), '\n'), 1) << pids;
  instance.stop();
  EXPECT_EQ(instance.leftovers(), "");
}

}  // namespace
}  // namespace supervisor_test
