#include "client/arguments.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<Arguments> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "perdure");
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return parse_arguments(static_cast<int>(words.size()), pointers.data());
}

std::string refusal(const std::vector<std::string>& words) {
  const auto arguments = parse(words);
  return arguments ? "ACCEPTED" : arguments.error().message();
}

TEST(Arguments, OptionsMayStandBeforeBetweenAndAfterTheWords) {
  const auto arguments = parse({"--runtime-dir=/r", "show", "-p", "MainPID,NRestarts", "web", "--value", "-p", "Id", "db"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_EQ(arguments->verb, Verb::Show);
  EXPECT_THAT(arguments->words, ElementsAre("web", "db"));
  EXPECT_THAT(arguments->properties, ElementsAre("MainPID", "NRestarts", "Id"));
  EXPECT_EQ(arguments->runtime_dir, "/r");
  EXPECT_TRUE(arguments->value_only);
}

TEST(Arguments, NoVerbIsListUnits) {
  const auto arguments = parse({"--all"});
  ASSERT_TRUE(arguments);
  EXPECT_EQ(arguments->verb, Verb::ListUnits);
  EXPECT_TRUE(arguments->all);
  EXPECT_FALSE(arguments->has_command);
}

TEST(Arguments, ACommandIsToldFromUnits) {
  EXPECT_TRUE(parse({"run", "--", "sleep", "5"})->has_command);
  EXPECT_FALSE(parse({"run", "a.service"})->has_command);
  EXPECT_THAT(parse({"stop", "--", "-odd.service"})->words, ElementsAre("-odd.service"));
}

TEST(Arguments, HelpIsForTheVerbWhereverItStands) {
  EXPECT_EQ(parse({"--help"})->verb, Verb::Help);
  EXPECT_THAT(parse({"--help"})->words, IsEmpty());
  EXPECT_THAT(parse({"start", "--help"})->words, ElementsAre("start"));
  EXPECT_EQ(parse({"start", "--version"})->verb, Verb::Version);
}

TEST(Arguments, LinesAreANumberOrAll) {
  EXPECT_EQ(parse({"logs", "-u", "web", "-n", "5"})->lines, 5U);
  EXPECT_EQ(parse({"logs", "-u", "web", "-n", "all"})->lines, UINT64_MAX);
  EXPECT_THAT(refusal({"logs", "-u", "web", "-n", "-5"}), HasSubstr("-n wants a number of lines, or \"all\", not \"-5\""));
}

TEST(Arguments, WhatIsWrongIsNamedAndWhatWasMeantIsGuessed) {
  const std::string advice = "; see \"perdure --help\"";
  EXPECT_EQ(refusal({"--bogusopt"}), "unknown option --bogusopt" + advice);
  EXPECT_EQ(refusal({"--propery=x", "show"}), "unknown option --propery=x; did you mean --property?" + advice);
  EXPECT_EQ(refusal({"-aZ"}), "unknown option -Z" + advice);
  EXPECT_EQ(refusal({"show", "-p"}), "option -p needs a value" + advice);
  EXPECT_EQ(refusal({"show", "--property"}), "option --property needs a value" + advice);
  EXPECT_EQ(refusal({"--quiet=yes", "show"}), "option --quiet takes no value" + advice);
  EXPECT_EQ(refusal({"statsu"}), "unknown verb statsu; did you mean status?" + advice);
  EXPECT_EQ(refusal({"x\x1b[31m"}), "unknown verb x\\x1b[31m" + advice);
  EXPECT_EQ(refusal({"start"}), "start needs at least one unit" + advice);
  EXPECT_EQ(refusal({"logs"}), "logs needs one unit: -u UNIT" + advice);
  EXPECT_EQ(refusal({"logs", "-u", "a", "-u", "b"}), "logs needs one unit: -u UNIT" + advice);
}

TEST(Arguments, ABareWordIsAService) {
  EXPECT_EQ(unit_name_of("web"), "web.service");
  EXPECT_EQ(unit_name_of("web.service"), "web.service");
  EXPECT_EQ(unit_name_of("default.target"), "default.target");
  EXPECT_EQ(unit_name_of("web.1"), "web.1.service");
}

TEST(Arguments, EveryVerbHasHelp) {
  const auto all = help_text("");
  ASSERT_TRUE(all);
  for (const char* verb : {"run", "start", "stop", "restart", "status", "show", "is-active", "is-failed", "list-units",
                           "reset-failed", "logs", "exit", "help"}) {
    EXPECT_THAT(*all, HasSubstr(std::string{"\n  "} + verb));
    EXPECT_TRUE(help_text(verb)) << verb;
  }
  EXPECT_FALSE(help_text("bogus"));
}

}  // namespace
}  // namespace perdure::client
