// SIGTERM in the middle of many starts: everything that was begun ends, nothing is begun any more, and the instance ends with 0.
#include <csignal>
#include <deque>

#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;

constexpr std::size_t services = 100;

class EarlyStop : public ::testing::TestWithParam<std::size_t> {};

TEST_P(EarlyStop, EndsWhatWasBegunAndLeavesNothing) {
  const std::size_t begun = GetParam();
  Instance instance{Owner::Ourselves, Parent::Test};
  instance.add("first.service", "idle");
  instance.start();
  const auto keeper = static_cast<pid_t>(instance.number("KeeperPID"));
  std::vector<std::string> names;
  for (std::size_t number = 0; number < services; ++number)
    names.push_back(instance.add("many" + std::to_string(number) + ".service", "idle", "", "Restart=always\n").name);

  instance.ask({{"verb", "start"}, {"units", names}, {"wait", false}});
  const Service& marker = instance.services()[begun];
  ASSERT_TRUE(eventually([&] { return marker.truth->lives > 0; }));
  ASSERT_TRUE(signal_descendant(keeper, SIGTERM));
  EXPECT_EQ(instance.wait_for_end(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
  for (const Service& service : instance.services()) EXPECT_LE(service.truth->lives, 1U) << service.name;
}

INSTANTIATE_TEST_SUITE_P(AfterSoMany, EarlyStop, ::testing::Values(0, 1, 10, 50, services),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace supervisor_test
