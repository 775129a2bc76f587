#include <perdure/testing/process.hpp>
#include <unistd.h>

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::write_file;
using ::testing::HasSubstr;

namespace {

struct Thermod : ::testing::Test {
  perdure::testing::TempDir dir;
  std::string sensor = dir / "sensor";
  std::string config = dir / "thermod.conf";
  perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};

  void SetUp() override {
    write_file(sensor, "21.5\n");
    write_file(config, "device = " + sensor + "\nperiod = 20ms\n");
  }
  Process start() { return Process{{EXAMPLE_PROGRAM, "--foreground", "--config", config}, here}; }
  std::string ask(const std::string& verb) { return perdure::testing::run({EXAMPLE_PROGRAM, verb}, here).output; }
  bool status_has(const std::string& text) {
    return perdure::testing::eventually([&] { return ask("status").find(text) != std::string::npos; });
  }
};

TEST_F(Thermod, ItsPartsAreShownAndAnswer) {
  Process thermod = start();
  ASSERT_TRUE(status_has("thermod 1.2.0: running")) << thermod.output();
  const std::string status = ask("status");
  EXPECT_THAT(status, HasSubstr("worker store: ready\nworker poll: ready\n"));
  EXPECT_THAT(status, HasSubstr("check sensor: passed\n"));
  EXPECT_EQ(ask("sample"), "21.500000\n");
  thermod.signal(SIGTERM);
  EXPECT_EQ(thermod.wait().text(), "exited with 0");
  EXPECT_THAT(thermod.output(), HasSubstr("store closed after "));
}

TEST_F(Thermod, IsNotReadyWithoutASensor) {
  ::unlink(sensor.c_str());
  Process thermod = start();
  ASSERT_TRUE(thermod.wait_for_output("check \"sensor\" fails: it says nothing")) << thermod.output();
  EXPECT_EQ(ask("health"), "not ready: starting\n");
  write_file(sensor, "3\n");
  EXPECT_TRUE(status_has("thermod 1.2.0: running")) << thermod.output();
}

TEST_F(Thermod, APollerThatFailsIsStartedAgain) {
  Process thermod = start();
  ASSERT_TRUE(status_has("thermod 1.2.0: running")) << thermod.output();
  ::unlink(sensor.c_str());
  ASSERT_TRUE(thermod.wait_for_output("worker \"poll\" failed: no reading from " + sensor)) << thermod.output();
  write_file(sensor, "20\n");
  EXPECT_TRUE(status_has("worker poll: ready, ")) << ask("status");
  EXPECT_THAT(ask("status"), HasSubstr("worker store: ready\n")) << "the other one has nothing to do with it";
  thermod.signal(SIGTERM);
  EXPECT_EQ(thermod.wait().text(), "exited with 0");
}

TEST_F(Thermod, ADeviceThatSaysNothingIsRefused) {
  Process thermod = start();
  ASSERT_TRUE(status_has("thermod 1.2.0: running")) << thermod.output();
  write_file(config, "device = /nowhere\nperiod = 20ms\n");
  EXPECT_THAT(ask("reload"), HasSubstr("/nowhere says nothing; the settings stay as they were"));
  EXPECT_EQ(ask("sample"), "21.500000\n");
}

}  // namespace
