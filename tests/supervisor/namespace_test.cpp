// The keeper as process 1 of a namespace, as in a container: nobody inside can hurt it, and it is a good init.
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::read_file;

constexpr std::uint32_t attacks = 200;
constexpr std::uint32_t orphans = 20;

TEST(KeeperAsProcess1, WithstandsWhatIsInsideReapsOrphansAndStopsInOrder) {
  if (::geteuid() != 0) GTEST_SKIP() << "making a PID namespace with a /proc of its own needs root";
  Instance instance{Owner::Ourselves, Parent::Namespace};
  const std::string order = instance.path("order");
  Service& attacker = instance.add("attacker.service", "attack", std::to_string(attacks));
  Service& forker = instance.add("forker.service", "orphans", std::to_string(orphans));
  Service& log = instance.add("log.service", "log");
  instance.add("first.service", "idle", order + " first");
  instance.add("second.service", "idle", order + " second", "After=first.service\n[Service]\n");
  instance.add("third.service", "idle", order + " third", "After=second.service\n[Service]\n");
  instance.start();
  EXPECT_EQ(instance.number("KeeperPID"), 1);
  const pid_t keeper = instance.keeper();
  ASSERT_GT(keeper, 1);
  const auto manager = instance.number("ManagerPID");

  EXPECT_TRUE(eventually([&] { return attacker.truth->rounds == attacks; })) << attacker.truth->rounds;
  EXPECT_TRUE(eventually([&] { return forker.truth->rounds == orphans; })) << forker.truth->rounds;
  EXPECT_TRUE(eventually([&] { return !has_zombie_child(keeper); }));
  EXPECT_EQ(instance.number("ManagerPID"), manager) << "the manager had no part in it";
  for (Service& service : instance.services()) {
    ASSERT_TRUE(eventually([&] { return service.truth->lives > 0U; })) << service.name << " has not lived yet";
    const ShownUnit shown = instance.show(service.name);
    EXPECT_EQ(shown.sub_state, "running") << service.name;
    EXPECT_EQ(service.truth->lives.load(), 1U) << service.name;
  }

  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
  EXPECT_EQ(read_file(order).value_or(""), "third\nsecond\nfirst\n");
  const LogVerdict verdict = check_log(instance.log(log.name), log.seed, log.truth->bytes_written);
  EXPECT_TRUE(verdict.is_right()) << verdict.text();
  std::printf("%u rounds of 6 signals, %u orphans, %llu lines\n", attacks, orphans,
              static_cast<unsigned long long>(verdict.lines));
}

}  // namespace
}  // namespace supervisor_test
