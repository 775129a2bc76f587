#include "watering.hpp"

#include <perdure/testing/host.hpp>
#include <perdure/testing/process.hpp>

#include <atomic>
#include <csignal>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace std::chrono_literals;
using perdure::testing::Host;
using ::testing::HasSubstr;

namespace {

// [garden]
struct Watering : ::testing::Test {
  std::atomic<double> moisture{50};
  std::atomic<bool> is_broken{false}, is_open{false};
  std::atomic<int> times_opened{0};
  perdure::App app{{.name = "watering"}};

  void SetUp() override {
    watering::put_together(app, {.moisture =
                                     [this] {
                                       if (is_broken) throw std::runtime_error{"the sensor is gone"};
                                       return moisture.load();
                                     },
                                 .valve =
                                     [this](bool open) {
                                       is_open = open;
                                       times_opened += open ? 1 : 0;
                                     }});
  }
};
// [/garden]

// [day]
TEST_F(Watering, ADryDayIsWateredEveryHalfHourForFiveMinutes) {
  Host host{app};
  host.advance(24h);
  EXPECT_EQ(times_opened, 0);
  moisture = 20;
  host.advance(30min);
  EXPECT_TRUE(is_open);
  host.advance(5min);
  EXPECT_FALSE(is_open);
  host.advance(24h);
  EXPECT_EQ(times_opened, 1 + 24 * 60 / 35);
  EXPECT_EQ(host.stop(), 0);
  EXPECT_FALSE(is_open);
}
// [/day]

TEST_F(Watering, AStopClosesTheValve) {
  moisture = 20;
  Host host{app};
  EXPECT_TRUE(is_open);
  EXPECT_EQ(host.stop(), 0);
  EXPECT_FALSE(is_open);
}

// [trouble]
TEST_F(Watering, ASensorThatComesBackWithinHoursEndsNothing) {
  Host host{app};
  is_broken = true;
  host.advance(1h);
  EXPECT_THAT(host.log(), HasSubstr("worker \"water\" failed: the sensor is gone"));
  is_broken = false;
  host.advance(10min);
  moisture = 20;
  host.advance(1h);
  EXPECT_GT(times_opened, 0);
  EXPECT_EQ(host.exit_code(), std::nullopt);
}

TEST_F(Watering, ABadConfigurationChangesNothing) {
  Host host{app, {.config = "every = 10 min\n"}};
  EXPECT_THAT(host.reload("every = -1\n").message, HasSubstr("the settings stay as they were"));
  moisture = 20;
  host.advance(10min);
  EXPECT_EQ(times_opened, 1);
  EXPECT_EQ(host.reload("open = 1 min\n").message, "OK");
}
// [/trouble]

TEST_F(Watering, TheProgramItselfWatersAndStops) {
  perdure::testing::TempDir dir;
  perdure::testing::write_file(dir / "moisture", "20\n");
  perdure::testing::Process program{
      {EXAMPLE_PROGRAM, "--foreground", "--moisture", dir / "moisture", "--valve", dir / "valve"},
      {.env = {{"RUNTIME_DIRECTORY", dir.path()}}, .working_directory = dir.path()}};
  EXPECT_TRUE(perdure::testing::eventually([&] { return perdure::testing::read_file(dir / "valve") == "open\n"; }))
      << program.output();
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().text(), "exited with 0");
  EXPECT_EQ(perdure::testing::read_file(dir / "valve"), "closed\n");
}

}  // namespace
