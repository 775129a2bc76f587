// A manager without memory is one that dies: with a line that says so, with a code of its own, and without a core dump.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace perdure {
namespace {

using ::testing::EndsWith;
using ::testing::StartsWith;

// The words of its command line, which it copies, are larger than all that it may allocate. There is no keeper: with memory enough
// it does not start either.
testing::Finished run_with_data_limit(unsigned kib) {
  const testing::TempDir directory;
  std::vector<std::string> command{"prlimit",
                                   "--data=" + std::to_string(std::size_t{kib} * 1024),
                                   PERDURE_MANAGER,
                                   "--runtime-dir=" + directory.path(),
                                   "--state-dir=" + directory.path(),
                                   "--log-dir=" + directory.path(),
                                   "--"};
  for (int i = 0; i < 12; ++i) command.emplace_back(100'000, 'x');
  return testing::run(std::move(command));
}

TEST(ManagerWithoutMemory, SaysSoAndExitsForTheKeeperToStartItAgain) {
  const testing::Finished ended = run_with_data_limit(1'024);
  if (ended.status == ExitStatus::exited(127))
    GTEST_SKIP() << "no prlimit(1), or not linked statically: the loader needs more than that";
  EXPECT_EQ(ended.status, ExitStatus::exited(70)) << ended.output;
  EXPECT_EQ(ended.output,
            "perdure: the manager gives up: out of memory (ENOMEM); services go on, and the keeper starts it anew\n");
}

TEST(ManagerWithoutMemory, NoLimitMakesItAbort) {
  bool was_short = false, was_enough = false;
  for (unsigned kib = 512; kib <= 8'192; kib += 256) {
    const testing::Finished ended = run_with_data_limit(kib);
    if (ended.status == ExitStatus::exited(127))
      GTEST_SKIP() << "no prlimit(1), or not linked statically: the loader needs more than that";
    EXPECT_EQ(ended.status, ExitStatus::exited(70)) << kib << ": " << ended.output;
    EXPECT_THAT(ended.output, StartsWith("perdure: the manager "));
    EXPECT_THAT(ended.output, EndsWith("\n"));
    (ended.output.find("cannot start") != std::string::npos ? was_enough : was_short) = true;
  }
  EXPECT_TRUE(was_short);
  EXPECT_TRUE(was_enough);
}

}  // namespace
}  // namespace perdure
