// A service that the kernel has ended for want of memory: what is proved is told, and what is likely is told as likely.
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "instance.hpp"

namespace supervisor_test {
namespace {

using perdure::testing::eventually;
using ::testing::HasSubstr;
using ::testing::Not;

/// The machine's counts are those of `file`.
InstanceOptions counted_by(const std::string& file) {
  return {.run_options = {"--cgroup-root=/nowhere"},  // nobody counts by run
          .under = {"/usr/bin/unshare", "--mount", "/bin/sh", "-c", "mount --bind " + file + " /proc/vmstat && exec \"$@\"",
                    "sh"}};
}

TEST(OutOfMemory, WhereNobodyCountsByRunItIsToldAsLikely) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can put a file in the place of /proc/vmstat";
  const perdure::testing::TempDir directory;
  const std::string counts = directory / "vmstat";
  perdure::testing::write_file(counts, "pgfault 5\noom_kill 7\n");
  Instance instance{Owner::Ourselves, Parent::Test, counted_by(counts)};
  Service& first = instance.add("first.service", "idle");
  Service& second = instance.add("second.service", "idle");
  instance.start();
  for (const Service* service : {&first, &second}) ASSERT_TRUE(instance.wait_for(service->name, "running"));

  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(instance.show(first.name).main_pid), SIGKILL));
  ASSERT_TRUE(instance.wait_for(first.name, "failed"));
  EXPECT_EQ(instance.remarks(first.name), "") << "somebody killed it, and memory had nothing to do with it";

  perdure::testing::write_file(counts, "pgfault 5\noom_kill 9\n");
  ASSERT_TRUE(signal_descendant(static_cast<pid_t>(instance.show(second.name).main_pid), SIGKILL));
  ASSERT_TRUE(instance.wait_for(second.name, "failed"));
  const std::string line =
      "killed with SIGKILL; the kernel has killed 2 processes of this machine for want of memory since they were last "
      "counted: "
      "that it is one of them is likely and cannot be proved here";
  EXPECT_THAT(instance.remarks(second.name), HasSubstr(line));
  EXPECT_TRUE(instance.wait_for_output("perdure: second.service: " + line + "\n")) << instance.output();
  EXPECT_EQ(instance.unit(second.name).at("Result"), "signal");
  EXPECT_EQ(instance.stop(), perdure::ExitStatus::exited(0)) << instance.output();
  EXPECT_EQ(instance.leftovers(), "");
}

}  // namespace
}  // namespace supervisor_test
