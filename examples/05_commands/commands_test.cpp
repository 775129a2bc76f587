#include <perdure/testing/process.hpp>

#include <gtest/gtest.h>

using perdure::testing::Process;
using perdure::testing::TempDir;

TEST(Commands, AreVerbsOfTheSameBinary) {
  TempDir dir;
  const perdure::testing::ProcessOptions here{.env = {{"RUNTIME_DIRECTORY", dir.path()}, {"LOGS_DIRECTORY", dir.path()}}};
  const auto ask = [&](std::vector<std::string> words) {
    words.insert(words.begin(), EXAMPLE_PROGRAM);
    return perdure::testing::run(words, here);
  };
  ASSERT_TRUE(ask({"start"}).status.success());
  EXPECT_EQ(ask({"get"}).output, "20\n");
  EXPECT_EQ(ask({"set", "25"}).output, "level 25\n");
  EXPECT_EQ(ask({"get"}).output, "25\n");
  const auto refused = ask({"set", "warm"});
  EXPECT_EQ(refused.status.value(), 1);
  EXPECT_NE(refused.output.find("stays 25"), std::string::npos) << refused.output;
  EXPECT_TRUE(ask({"stop"}).status.success());
}
