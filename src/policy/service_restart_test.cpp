#include "policy/service_restart.hpp"

#include <limits>
#include <string_view>

#include <gtest/gtest.h>

namespace perdure::policy {
namespace {

using namespace std::chrono_literals;
using base::Instant;

// The same table as the manual prints it: a row per cause, an X where there is a restart. Written down a second time on purpose.
TEST(RestartWhen, IsTheTableOfTheManual) {
  struct Row {
    ServiceEnding ending;
    std::string_view restarts;  // no always on-success on-failure on-abnormal on-abort on-watchdog
  };
  constexpr RestartWhen columns[] = {RestartWhen::No,        RestartWhen::Always,     RestartWhen::OnSuccess,
                                     RestartWhen::OnFailure, RestartWhen::OnAbnormal, RestartWhen::OnAbort,
                                     RestartWhen::OnWatchdog};
  constexpr Row rows[] = {
      {ServiceEnding::Clean, ".XX...."},         {ServiceEnding::UncleanCode, ".X.X..."},
      {ServiceEnding::UncleanSignal, ".X.XXX."}, {ServiceEnding::Timeout, ".X.XX.."},
      {ServiceEnding::Watchdog, ".X.XX.X"},      {ServiceEnding::Resources, ".X.XX.."},
  };
  for (const Row& row : rows)
    for (std::size_t column = 0; column < std::size(columns); ++column)
      EXPECT_EQ(wants_restart(columns[column], row.ending), row.restarts[column] == 'X')
          << int(row.ending) << " with " << int(columns[column]);
}

TEST(StartWindow, AllowsItsBurstAndRefusesTheNext) {
  StartWindow window;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(window.try_start(Instant{} + 1s, 10s, 5)) << i;
  EXPECT_FALSE(window.try_start(Instant{} + 1s, 10s, 5));
}

TEST(StartWindow, OpensWithAStartAndDoesNotSlide) {
  StartWindow window;
  EXPECT_TRUE(window.try_start(Instant{} + 1s, 10s, 2));
  EXPECT_TRUE(window.try_start(Instant{} + 11s, 10s, 2)) << "its last instant belongs to it";
  EXPECT_FALSE(window.try_start(Instant{} + 11s, 10s, 2));
  EXPECT_TRUE(window.try_start(Instant{} + 11s + 1ns, 10s, 2)) << "a new one";
  EXPECT_TRUE(window.try_start(Instant{} + 12s, 10s, 2));
  EXPECT_FALSE(window.try_start(Instant{} + 20s, 10s, 2));
}

TEST(StartWindow, OfNothingIsNoLimit) {
  StartWindow window;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(window.try_start(Instant{}, 0s, 1));
    EXPECT_TRUE(window.try_start(Instant{}, 10s, 0));
  }
  EXPECT_EQ(window, StartWindow{});
}

TEST(StartWindow, DoesNotForgetAfterVeryManyRefusals) {
  StartWindow window{.began = Instant{}, .starts = std::numeric_limits<std::uint32_t>::max()};
  EXPECT_FALSE(window.try_start(Instant{}, 10s, 5));
  EXPECT_FALSE(window.try_start(Instant{}, 10s, 5));
}

}  // namespace
}  // namespace perdure::policy
