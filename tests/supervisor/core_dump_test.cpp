// A service whose main process is writing its core when its time to end is over.
//
// A dump that takes as long as the test wants cannot be had everywhere: what the kernel says of the process is put in its place.
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using perdure::testing::has_ended;
using ::testing::HasSubstr;

TEST(CoreDump, IsNotCutOffByTheEndOfTheStopsTime) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can put a file in the place of /proc/PID/status";
  Instance instance{Owner::Ourselves, Parent::Test, {.under = {"/usr/bin/unshare", "--mount"}}};
  Service& deaf = instance.add("deaf.service", "deaf", "", "TimeoutStopSec=200ms\n");
  instance.start();
  ASSERT_TRUE(eventually([&] { return deaf.truth->lives == 1U; }));
  const auto pid = static_cast<pid_t>(instance.show(deaf.name).main_pid);
  const std::string status = "/proc/" + std::to_string(pid) + "/status";
  const std::string said = instance.path("status");
  perdure::testing::write_file(said, "Name:\tdeaf\nCoreDumping:\t1\nVoluntary:\t0\n");
  const auto in_its_place = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {"/usr/bin/nsenter", "--mount", "--target", std::to_string(instance.number("ManagerPID"))});
    return perdure::testing::run(words);
  };
  ASSERT_TRUE(in_its_place({"/bin/mount", "--bind", said, status}).status.success());

  instance.ask({{"verb", "stop"}, {"units", {deaf.name}}, {"wait", false}});
  EXPECT_TRUE(instance.wait_for_output("perdure: deaf.service: process " + std::to_string(pid) +
                                       " is writing a core dump; its stop waits for it, for 5 minutes at most\n"))
      << instance.output();
  EXPECT_FALSE(has_ended(pid));
  EXPECT_EQ(instance.show(deaf.name).sub_state, "stop-sigterm");
  EXPECT_THAT(instance.remarks(deaf.name), HasSubstr("its main process is writing a core dump"));
  ASSERT_TRUE(in_its_place({"/bin/umount", status}).status.success());
  EXPECT_TRUE(instance.wait_for(deaf.name, "failed"));
  EXPECT_TRUE(has_ended(pid));
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
}

}  // namespace
}  // namespace supervisor_test
