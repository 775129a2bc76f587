// The promise: SIGKILL the manager at any instant. No service is restarted, no line lost, every exit status is still observed.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <system_error>

#include <gtest/gtest.h>

#include "instance.hpp"
#include "manager_killer.hpp"
#include "phases.hpp"
#include "services.hpp"

namespace supervisor_test {
namespace {

using namespace std::chrono_literals;

constexpr unsigned services_count = 20;
constexpr unsigned kills_between_looks = 20;

/// Kills half of the managers at successive stops, `stride` apart, and half of them at random times, by turns.
template <class AllServices>
void kill_managers(Owner owner, unsigned kills, unsigned stride) {
  if (owner == Owner::Nobody && ::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  std::mt19937 random = seeded();
  Instance instance{owner, Parent::Test};
  AllServices services{instance, services_count};
  instance.start();
  ASSERT_NO_FATAL_FAILURE(services.begin());
  const auto begun = std::chrono::steady_clock::now();

  unsigned killed = 0, stop = 0, stops_max = 0, own_ends = 0;
  while (killed < kills && !::testing::Test::HasFailure()) {
    {
      const auto manager = static_cast<pid_t>(instance.number("ManagerPID"));
      std::optional<ManagerKiller> killer;
      try {
        killer.emplace(instance.keeper(), manager);
      } catch (const std::system_error& error) {
        GTEST_SKIP() << "processes cannot be traced here: " << error.what();
      }
      for (unsigned i = 0; i < kills_between_looks && killed < kills; ++i, ++killed) {
        if (killed % 2 == 0) {
          killer->kill_at_stop(stop += stride);
        } else {
          killer->kill_after(std::chrono::microseconds{random() % 20'000});
        }
      }
      killer->let_live();
      stops_max = std::max(stops_max, killer->stops_max());
      own_ends += killer->own_ends();
    }
    services.look(UnknownEnds::Wrong);
  }
  EXPECT_EQ(own_ends, 0U) << "managers that ended without being killed\n" << instance.output();
  const auto took = std::chrono::duration<double>{std::chrono::steady_clock::now() - begun};
  services.judge(UnknownEnds::Wrong);
  std::printf("%u managers killed in %.1f s, at stops up to %u: %s\n", killed, took.count(), stops_max,
              services.text().c_str());
}

TEST(ManagerKilled, AtSuccessiveSystemCallsAndAtRandomTimesNothingIsLost) {
  kill_managers<Services>(Owner::Ourselves, 600, 1);
}

TEST(ManagerKilled, DeepIntoALifeNothingIsLostEither) { kill_managers<Services>(Owner::Ourselves, 200, 10); }

TEST(ManagerKilled, AnOrdinaryUsersInstanceLosesNothingEither) { kill_managers<Services>(Owner::Nobody, 200, 3); }

TEST(ManagerKilled, InAnyPhaseOfAnyServiceNothingIsStartedTwiceNorForgotten) {
  kill_managers<Phases>(Owner::Ourselves, 400, 3);
}

TEST(ManagerKilled, InAnyPhaseOfAnOrdinaryUsersServicesEither) { kill_managers<Phases>(Owner::Nobody, 200, 7); }

}  // namespace
}  // namespace supervisor_test
