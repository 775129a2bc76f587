#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using namespace perdure::testing;

/// The first child of a process, 0 where it has none.
pid_t child_of(pid_t pid) {
  const auto children = read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  return children ? std::atoi(children->c_str()) : 0;
}

std::string link_of(pid_t pid, const std::string& name) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/" + name, ignored).string();
}

TEST(Heartbeat, BeatsOnTheTerminalUntilTerm) {
  Process program{{EXAMPLE_PROGRAM, "--foreground", "--period-ms", "10"}};
  EXPECT_TRUE(program.wait_for_output("heartbeat: started at "));
  EXPECT_TRUE(program.wait_for_output("heartbeat: alive at "));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait(), perdure::ExitStatus::killed(SIGTERM));
}

TEST(Heartbeat, LivesOnDetachedAndEndsByTerm) {
  adopt_orphans();
  const TempDir dir;
  const auto launcher = run({EXAMPLE_PROGRAM, "--pid-file", dir / "hb.pid"});
  ASSERT_EQ(launcher.status, perdure::ExitStatus::exited(0)) << launcher.output;

  const pid_t parent = std::atoi(read_file(dir / "hb.pid").value_or("").c_str());
  ASSERT_GT(parent, 0);
  const pid_t worker = child_of(parent);
  ASSERT_GT(worker, 0);
  EXPECT_NE(::getsid(worker), ::getsid(0));
  EXPECT_NE(::getsid(worker), worker);
  EXPECT_EQ(link_of(worker, "cwd"), "/");
  for (const char* fd : {"fd/0", "fd/1", "fd/2"}) EXPECT_EQ(link_of(worker, fd), "/dev/null");

  EXPECT_EQ(run({EXAMPLE_PROGRAM, "--pid-file", dir / "hb.pid"}).status, perdure::ExitStatus::exited(75));

  EXPECT_EQ(kill_adopted(parent, SIGTERM), perdure::ExitStatus::exited(0));
  EXPECT_TRUE(has_ended(worker));
  EXPECT_FALSE(read_file(dir / "hb.pid").has_value());
}

TEST(Heartbeat, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(run({EXAMPLE_PROGRAM, "--period-ms", "0"}).status, perdure::ExitStatus::exited(64));
  EXPECT_EQ(run({EXAMPLE_PROGRAM, "--loud"}).status, perdure::ExitStatus::exited(64));
}

}  // namespace
