// Keeper and manager killed together: services go on, and an instance that is started over the same directories adopts them.
#include <unistd.h>

#include <csignal>
#include <optional>
#include <ostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::has_ended;
using perdure::testing::proc_status;

struct Place {
  const char* name;
  Owner owner;
  InstanceOptions options;
};

void PrintTo(const Place& place, std::ostream* out) { *out << place.name; }

class BothKilled : public ::testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    if (GetParam().owner == Owner::Nobody && ::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
    instance_.emplace(GetParam().owner, Parent::Init, GetParam().options);
  }
  void kill_both() {
    const auto keeper = static_cast<pid_t>(instance_->number("KeeperPID"));
    const auto manager = static_cast<pid_t>(instance_->number("ManagerPID"));
    ASSERT_TRUE(signal_descendant(keeper, SIGSTOP));  // it would start another manager
    ASSERT_TRUE(eventually([&] { return proc_status(keeper, "State").starts_with("T"); }));
    ASSERT_TRUE(signal_descendant(manager, SIGKILL));
    ASSERT_TRUE(signal_descendant(keeper, SIGKILL));
    ASSERT_TRUE(eventually([&] { return has_ended(keeper) && has_ended(manager); }));
  }

  std::optional<Instance> instance_{};
};

TEST_P(BothKilled, ServicesGoOnAndAreAdoptedByTheNextInstance) {
  Service& talker = instance_->add("talker.service", "log");
  Service& idler = instance_->add("idler.service", "idle");
  instance_->add_unit("mortal.service", "[Service]\nExecStart=/bin/sleep 1000\n");
  instance_->start();
  ASSERT_EQ(instance_->carry_out("start", {"mortal.service"}), "done");
  const auto mortal = static_cast<pid_t>(instance_->show("mortal.service").main_pid);
  for (const Service& service : instance_->services()) ASSERT_TRUE(instance_->wait_for(service.name, "running"));
  const ShownUnit talker_before = instance_->show(talker.name);
  const ShownUnit idler_before = instance_->show(idler.name);

  ASSERT_NO_FATAL_FAILURE(kill_both());
  const std::uint64_t written = talker.truth->bytes_written;
  EXPECT_TRUE(eventually([&] { return talker.truth->bytes_written > written; })) << "it writes on, into its pipe";
  ASSERT_TRUE(signal_descendant(mortal, SIGKILL));  // nobody sees how it ends
  ASSERT_TRUE(eventually([&] { return has_ended(mortal); }));

  instance_->restart();
  EXPECT_EQ(instance_->show(talker.name).main_pid, talker_before.main_pid);
  EXPECT_EQ(instance_->show(idler.name).main_pid, idler_before.main_pid);
  EXPECT_EQ(instance_->show(idler.name).sub_state, "running");
  const std::uint64_t at_return = talker.truth->bytes_written;
  EXPECT_TRUE(eventually([&] { return talker.truth->bytes_written > at_return + (1U << 17); })) << "more than a pipe holds";
  EXPECT_TRUE(eventually([&] { return instance_->show("mortal.service").is_at_rest(); }))
      << instance_->show("mortal.service").sub_state;
  EXPECT_FALSE(instance_->show("mortal.service").is_known) << "how it ended was guessed";
  EXPECT_THAT(instance_->output(), ::testing::HasSubstr("2 running services adopted"));

  EXPECT_EQ(instance_->carry_out("stop", {idler.name}), "done");
  EXPECT_TRUE(has_nobody(*instance_, idler));
  EXPECT_EQ(instance_->carry_out("stop", {talker.name}), "done");
  for (const Service& service : instance_->services()) {
    EXPECT_EQ(service.truth->duplicates, 0U) << service.name;
    EXPECT_EQ(service.truth->lives, 1U) << service.name << " was started twice";
  }
  EXPECT_EQ(instance_->stop(), perdure::ExitStatus::exited(0)) << instance_->output();
  EXPECT_EQ(instance_->leftovers(), "");
  const LogVerdict verdict = check_log(instance_->log(talker.name), talker.seed, talker.truth->bytes_written);
  EXPECT_TRUE(verdict.is_right()) << verdict.text();
}

INSTANTIATE_TEST_SUITE_P(, BothKilled,
                         ::testing::Values(Place{"AsIsPossibleHere", Owner::Ourselves, {}},
                                           Place{"BestEffort", Owner::Ourselves, best_effort()},
                                           Place{"AnOrdinaryUser", Owner::Nobody, {}}),
                         [](const auto& place) { return std::string{place.param.name}; });

}  // namespace
}  // namespace supervisor_test
