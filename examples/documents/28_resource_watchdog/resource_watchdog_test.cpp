// Planted leaks are reported in the document's words, and nothing else is.
#include <csignal>
#include <string>
#include <string_view>
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

TEST_F(ResourceWatchdog, WarnsBeforeTheLastDescriptorIsGoneAndSurvivesThat) {
  perdure::testing::write_file(dir / "work", "");
  std::vector<std::string> words{"/bin/sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh", EXAMPLE_PROGRAM};
  for (const std::string& word : {"--pid-file=" + dir.path() + "/pid", std::string{"--control=none"}, "--log-file=" + log,
                                  std::string{"--check-every=1ms"}, std::string{"--round=20ms"}, std::string{"--leak-fds=5"},
                                  std::string{"--fds-max=40"}, "--work-file=" + dir.path() + "/work"})
    words.push_back(word);
  perdure::testing::Process daemon{words};
  const std::string exhausted = "cannot open /dev/null: Too many open files (EMFILE)";
  ASSERT_TRUE(trial::file_says(log, exhausted)) << daemon.output();
  EXPECT_THAT(*read_file(log), ContainsRegex("FD WARNING: [0-9]+ file descriptors open, limit=40[^\n]*\n(.*\n)*.*" +
                                             std::string{"cannot open /dev/null: Too many open files"}));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0") << "it lived on";
  const std::string said = *read_file(log);
  EXPECT_EQ(said.find(exhausted), said.rfind(exhausted)) << "said once";
}

TEST_F(ResourceWatchdog, AThousandCorrectRoundsHoldNoDescriptor) {
  const std::string file = dir / "data.log";
  perdure::testing::write_file(file, "");
  auto daemon = start(
      {"--work-file=" + file, "--round=1ms", "--check-every=1ms", "--growing-looks=3", "--fds-max=10", "--log-level=debug"});
  const auto rounds = [&] { return read_file(file).value_or("").size() / std::string_view{"tick\n"}.size(); };
  ASSERT_TRUE(perdure::testing::eventually([&] { return rounds() >= 1000; })) << rounds();
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  EXPECT_THAT(*read_file(log), HasSubstr("Open FDs: "));
  EXPECT_THAT(*read_file(log), Not(HasSubstr("WARNING:")));
}

TEST_F(ResourceWatchdog, FlagsGrowthAlsoBelowTheLimit) {
  auto daemon =
      start({"--leak-fds=1", "--round=2ms", "--check-every=30ms", "--growing-looks=3", "--fds-max=900", "--memory-max=1G"});
  EXPECT_TRUE(trial::file_says(log, "more in each of the last 3 looks"));
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
}

TEST_F(ResourceWatchdog, AFileThatIsNotThereIsSaidOnceInWords) {
  const std::string file = dir / "missing.log";
  auto daemon = start({"--work-file=" + file, "--round=1ms"});
  const std::string fault = "cannot open " + file + ": No such file or directory (ENOENT)";
  ASSERT_TRUE(trial::file_says(log, fault));
  perdure::testing::write_file(file, "");
  EXPECT_TRUE(trial::file_says(file, "tick\n")) << "it goes on as soon as it can";
  daemon.signal(SIGTERM);
  EXPECT_EQ(daemon.wait().text(), "exited with 0");
  const std::string said = *read_file(log);
  EXPECT_EQ(said.find(fault), said.rfind(fault)) << "not in each round";
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
