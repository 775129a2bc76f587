// Planted leaks are reported in the document's words, and nothing else is.
#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::read_file;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

struct ResourceWatchdog : testing::Test {
  perdure::testing::TempDir dir;
  std::string log = dir / "log";

  perdure::testing::Process start(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM,      "--pid-file=" + dir.path() + "/pid",
                                   "--control=none",     "--log-file=" + log,
                                   "--check-every=20ms", "--round=20ms"};
    words.insert(words.end(), more.begin(), more.end());
    return perdure::testing::Process{words};
  }
};

TEST_F(ResourceWatchdog, WarnsWhenDescriptorsLeak) {
  auto daemon = start({"--leak-fds=30", "--memory-max=1G"});
  EXPECT_TRUE(trial::file_says(log, " file descriptors open, limit=100"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), ContainsRegex("FD WARNING: [1-9][0-9][0-9]+ file descriptors open, limit=100"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("MEMORY WARNING")));
}

TEST_F(ResourceWatchdog, WarnsWhenMemoryLeaks) {
  auto daemon = start({"--leak-memory=60M", "--memory-max=100M"});
  EXPECT_TRUE(trial::file_says(log, " KB exceeds limit 102400 KB"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), ContainsRegex("MEMORY WARNING: RSS=[1-9][0-9]+ KB exceeds limit 102400 KB"));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("FD WARNING")));
}

TEST_F(ResourceWatchdog, TellsTheFiguresAtLevelDebugAndWarnsAboutNothingBelowTheLimits) {
  auto daemon = start({"--log-level=debug", "--memory-max=1G"});
  EXPECT_TRUE(trial::file_says(log, "Memory usage: "));
  EXPECT_TRUE(trial::file_says(log, "Open FDs: "));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), Not(HasSubstr("WARNING:")));
}

TEST_F(ResourceWatchdog, HasTheDocumentsLimitsByDefault) {
  const auto printed = perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"});
  EXPECT_THAT(printed.output, HasSubstr("memory_max = 50M"));
  EXPECT_THAT(printed.output, HasSubstr("fds_max = 100"));
  EXPECT_THAT(printed.output, HasSubstr("check_every = 1min"));
}

}  // namespace
