#include "daemon/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

struct Settings {
  int period = 1;
  bool verbose = false;
  std::vector<std::string> paths;
};
void describe(Fields& f, Settings& s) {
  f("period", s.period).flag("--period");
  f("verbose", s.verbose).flag("--verbose");
  f("path", s.paths).flag("--path");
}

Result<CommandLine> parse(const std::vector<std::string>& words, Options options = {}) {
  static Config<Settings> config;
  options.name = "thermod";
  options.config = config;
  return parse_command_line(words, options, config.fields());
}

TEST(CommandLine, NothingMeansRun) {
  const auto line = parse({});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->task, Task::Run);
  EXPECT_FALSE(line->detach.has_value());
  EXPECT_THAT(line->settings, IsEmpty());
}

TEST(CommandLine, AVerbIsRecognisedOnlyAsTheFirstWord) {
  EXPECT_EQ(parse({"status"})->task, Task::Verb);
  EXPECT_EQ(parse({"stop", "--pid-file", "x"})->pid_file, "x");
  const auto later = parse({"--foreground", "status"}, {.arguments = "WORD…"});
  ASSERT_TRUE(later);
  EXPECT_EQ(later->task, Task::Run);
  EXPECT_THAT(later->arguments, ElementsAre("status"));
  const auto off = parse({"status"}, {.arguments = "WORD…", .verbs = Verbs::Off});
  EXPECT_EQ(off->task, Task::Run);
}

TEST(CommandLine, StartIsADetachedRun) {
  const auto line = parse({"start", "--period=3"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->task, Task::Run);
  EXPECT_EQ(line->detach, true);
  EXPECT_TRUE(line->is_start);
  EXPECT_FALSE(parse({"start", "--foreground"}));
}

TEST(CommandLine, TwoDashesEndWhatIsOurs) {
  const auto line = parse({"--period", "2", "a", "--", "--period=9", "b"}, {.arguments = "WORD…"});
  ASSERT_TRUE(line);
  EXPECT_THAT(line->settings, ElementsAre(Pair("--period", "2")));
  EXPECT_THAT(line->arguments, ElementsAre("a", "--period=9", "b"));
}

TEST(CommandLine, SettingsAreTakenInTheirOrder) {
  const auto line = parse({"--path=a", "--path", "b", "--verbose", "--period=1", "--period=2"});
  ASSERT_TRUE(line) << line.error().message();
  EXPECT_THAT(line->settings, testing::UnorderedElementsAre(Pair("--path", "a"), Pair("--path", "b"),
                                                            Pair("--verbose", "true"), Pair("--period", "2")));
  EXPECT_THAT(parse({"--verbose=no"})->settings, ElementsAre(Pair("--verbose", "no")));
}

TEST(CommandLine, WhatIsUnknownIsNamedWithASuggestion) {
  EXPECT_THAT(parse({"--perido=3"}).error().message(), HasSubstr("did you mean --period?"));
  EXPECT_THAT(parse({"statsu"}).error().message(), HasSubstr("did you mean status?"));
  EXPECT_THAT(parse({"\x1b[31m"}).error().message(), HasSubstr("\\x1b"));
  EXPECT_FALSE(parse({"--period"})) << "without a value";
  EXPECT_FALSE(parse({"--foreground", "--daemon"}));
  EXPECT_FALSE(parse({"--log-level=loud"}));
  EXPECT_FALSE(parse({"--instance=../x"}));
}

TEST(CommandLine, ThePrintedUnitRepeatsTheInstancesOptions) {
  const auto line = parse({"--print-unit", "--pid-file=/run/x.pid", "--period=5", "--log-level=debug"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->task, Task::PrintUnit);
  EXPECT_THAT(line->instance_options,
              testing::UnorderedElementsAre("--pid-file=/run/x.pid", "--period=5", "--log-level=debug"));
}

TEST(CommandLine, EveryOptionOfTheManualIsInTheHelp) {
  const auto line = parse({"--help"});
  ASSERT_TRUE(line);
  for (const char* option : {"--version", "--foreground", "--daemon", "--pid-file", "--log-file", "--log-level", "--control",
                             "--instance", "--config", "--check-config", "--print-config", "--print-unit", "--period"})
    EXPECT_THAT(line->help, HasSubstr(option));
}

}  // namespace
}  // namespace perdure::daemon
