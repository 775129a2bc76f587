// Fifty children that end at once, seen from outside.
#include <csignal>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../support/trial.hpp"
#include "perdure/testing/process.hpp"

namespace {

using perdure::testing::Process;
using perdure::testing::read_file;

struct ChildReaper : testing::Test {
  perdure::testing::TempDir dir;
  Process start(std::vector<std::string> more) const {
    std::vector<std::string> words{EXAMPLE_PROGRAM, "--pid-file=" + dir.path() + "/pid", "--control=none",
                                   "--log-file=" + log};
    words.insert(words.end(), more.begin(), more.end());
    return Process{words};
  }
  /// Of the process, running and zombies alike.
  static std::string children_of(const Process& parent) {
    const std::string pid = std::to_string(parent.pid());
    return read_file("/proc/" + pid + "/task/" + pid + "/children").value_or("");
  }
  std::string log = dir / "log";
};

TEST_F(ChildReaper, EveryStatusReachesItsOwnerAndNoZombieIsLeft) {
  auto reaper = start({});
  ASSERT_TRUE(trial::file_says(log, "50 of 50 statuses are those that were expected; the shell's was 3\n"))
      << read_file(log).value_or("");
  EXPECT_EQ(children_of(reaper), "") << "neither running nor Z";

  const std::string text = *read_file(log);
  std::multiset<int> codes;
  std::set<std::string> pids;
  const std::regex line{"Child process ([0-9]+) exited with ([0-9]+)\n"};
  for (std::sregex_iterator match{text.begin(), text.end(), line}; match != std::sregex_iterator{}; ++match) {
    pids.insert((*match)[1]);
    codes.insert(std::stoi((*match)[2]));
  }
  EXPECT_EQ(pids.size(), 50u);
  for (int code = 0; code < 50; ++code) EXPECT_EQ(codes.count(code), 1u) << code;
}

TEST_F(ChildReaper, RoundAfterRound) {
  auto reaper = start({"--children=20", "--every=1ms"});
  const std::string line = "20 of 20 statuses are those that were expected; the shell's was 3\n";
  EXPECT_TRUE(perdure::testing::eventually([&] {
    std::size_t rounds = 0;
    const std::string text = read_file(log).value_or("");
    for (auto at = text.find(line); at != std::string::npos; at = text.find(line, at + 1)) ++rounds;
    return rounds >= 10;
  })) << read_file(log).value_or("");
  reaper.signal(SIGTERM);
  EXPECT_EQ(reaper.wait().text(), "exited with 0");
}

TEST_F(ChildReaper, HasFiftyChildrenByDefault) {
  EXPECT_THAT(perdure::testing::run({EXAMPLE_PROGRAM, "--print-config"}).output, testing::HasSubstr("children = 50\n"));
}

}  // namespace
