#include "client/arguments.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// With the name of the program in front.
Result<Arguments> parse_as(std::vector<std::string> words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return parse_arguments(static_cast<int>(words.size()), pointers.data());
}

Result<Arguments> parse(std::vector<std::string> words) {
  words.insert(words.begin(), "perdure");
  return parse_as(std::move(words));
}

std::string refusal_as(const std::vector<std::string>& words) {
  const auto arguments = parse_as(words);
  return arguments ? "ACCEPTED" : arguments.error().message();
}
std::string refusal(std::vector<std::string> words) {
  words.insert(words.begin(), "perdure");
  return refusal_as(words);
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
  EXPECT_EQ(refusal({"logs", "-fr"}), "logs cannot both follow and begin with the newest line" + advice);
  EXPECT_EQ(refusal({"logs", "-b-1"}), "only this boot is known: -b, and not \"-1\"" + advice);
  EXPECT_EQ(refusal({"run", "--syslog=log"}), "--syslog wants auto, off or an absolute path, not \"log\"" + advice);
  EXPECT_EQ(refusal({"run", "--console=loud"}), "--console wants one of prefix, json, off, not \"loud\"" + advice);
  EXPECT_EQ(refusal({"run", "--isolation="}), "--isolation wants one of as-systemd, strict, not \"\"" + advice);
  EXPECT_EQ(refusal({"run", "web", "--", "sleep", "1"}),
            "run takes units, or a command after \"--\", and not both" + advice);
  EXPECT_EQ(refusal({"run", "--"}), "run needs a command after \"--\"" + advice);
  EXPECT_EQ(refusal({"kill", "web", "-s", "SIGFOO"}), "\"SIGFOO\" is no signal" + advice);
  EXPECT_EQ(refusal({"kill", "web", "--kill-whom=some"}),
            "--kill-whom wants one of main, control, all, not \"some\"" + advice);
  EXPECT_EQ(refusal({"cancel", "web"}), "cancel needs numbers of jobs, not \"web\"" + advice);
  EXPECT_EQ(refusal({"exit", "256"}), "exit needs an exit code from 0 to 255, or nothing" + advice);
  EXPECT_EQ(refusal({"import", "runit", "x"}), "import needs what is imported: \"import supervisord FILE\"" + advice);
  EXPECT_EQ(refusal({"list-jobs", "7"}), "list-jobs needs no words" + advice);
}

TEST(Arguments, LogsTakeUnitsAsWordsToo) {
  const auto arguments = parse({"-p", "warning", "logs", "web", "-t", "db", "-u", "a*", "--since", "-2h"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_THAT(arguments->units, ElementsAre("a*", "web"));
  EXPECT_THAT(arguments->identifiers, ElementsAre("db"));
  EXPECT_EQ(arguments->priority, "warning");
  EXPECT_EQ(arguments->since, "-2h");
  EXPECT_THAT(arguments->properties, IsEmpty());
  EXPECT_THAT(parse({"list-units", "-t", "service,target"})->types, ElementsAre("service", "target"));
  EXPECT_THAT(parse({"logs"})->units, IsEmpty());
}

TEST(Arguments, SignalsHaveOneName) {
  const auto signal = [](const char* word) { return parse({"kill", "web", "-s", word})->signal; };
  EXPECT_EQ(parse({"kill", "web"})->signal, "SIGTERM");
  EXPECT_EQ(parse({"kill", "web"})->kill_whom, "all");
  for (const char* word : {"HUP", "SIGHUP", "hup", "1"}) EXPECT_EQ(signal(word), "SIGHUP");
  EXPECT_EQ(signal("RTMIN+3"), "SIGRTMIN+3");
  EXPECT_EQ(signal("SIGRTMAX"), "SIGRTMAX");
  EXPECT_EQ(signal("40"), "40");
  for (const char* word : {"0", "65", "RTMIN+99", "RTMIN-1", "RTMIN+", ""})
    EXPECT_THAT(refusal({"kill", "web", "-s", word}), HasSubstr("is no signal")) << word;
}

TEST(Arguments, ACommandKeepsItsOwnOptions) {
  const auto arguments = parse({"run", "--pass-env", "--console=off", "--pass-env=LC_*", "--", "sleep", "-n", "--", "5"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_TRUE(arguments->has_command);
  EXPECT_THAT(arguments->words, ElementsAre("sleep", "-n", "--", "5"));
  EXPECT_THAT(arguments->pass_env, ElementsAre("*", "LC_*"));
  EXPECT_EQ(arguments->console, "off");
}

TEST(Arguments, CalledAsSystemctlItTakesSystemctlsWords) {
  const auto arguments = parse_as({"/usr/bin/systemctl", "-q", "--no-pager", "-l", "--now", "-f", "--no-ask-password",
                                   "--system", "restart", "web", "--no-block", "--job-mode=replace"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_EQ(arguments->command_line, CommandLine::Systemctl);
  EXPECT_EQ(arguments->verb, Verb::Restart);
  EXPECT_THAT(arguments->words, ElementsAre("web"));
  EXPECT_TRUE(arguments->no_block);
  EXPECT_FALSE(arguments->follow) << "-f is --force there";
  EXPECT_EQ(arguments->scope, Scope::System);
  const auto show = parse_as({"systemctl", "show", "-P", "MainPID", "web"});
  EXPECT_THAT(show->properties, ElementsAre("MainPID"));
  EXPECT_TRUE(show->value_only);
  EXPECT_EQ(parse_as({"systemctl"})->verb, Verb::ListUnits);
  EXPECT_EQ(
      refusal_as({"systemctl", "enable", "web"}),
      "unknown verb enable; as systemctl, perdure has: cancel cat daemon-reload exit help is-active is-failed "
      "is-system-running kill list-dependencies list-jobs list-units reload reload-or-restart reset-failed restart show "
      "show-environment start status stop try-restart; see \"systemctl --help\"");
  EXPECT_THAT(refusal_as({"systemctl", "run", "web"}), HasSubstr("unknown verb run"));
  EXPECT_THAT(refusal_as({"systemctl", "--root=/x", "cat", "web"}), HasSubstr("unknown option --root=/x"));
  EXPECT_THAT(refusal_as({"systemctl", "--job-mode=isolate", "start", "web"}), HasSubstr("--job-mode wants one of replace"));
}

TEST(Arguments, CalledAsJournalctlItTakesJournalctlsWords) {
  const auto arguments = parse_as({"journalctl", "-xeu", "web", "-b", "0", "-n", "20", "--no-pager",
                                   "_SYSTEMD_UNIT=db.service", "SYSLOG_IDENTIFIER=cron", "-a", "-p3"});
  ASSERT_TRUE(arguments) << arguments.error().message();
  EXPECT_EQ(arguments->verb, Verb::Logs);
  EXPECT_THAT(arguments->units, ElementsAre("web", "db.service"));
  EXPECT_THAT(arguments->identifiers, ElementsAre("cron"));
  EXPECT_EQ(arguments->lines, 20U);
  EXPECT_TRUE(arguments->this_boot);
  EXPECT_EQ(arguments->priority, "3");
  EXPECT_EQ(parse_as({"journalctl", "-n", "-f"})->lines, 10U);
  EXPECT_EQ(parse_as({"journalctl", "-e"})->lines, 1000U);
  EXPECT_EQ(parse_as({"journalctl", "-f", "--no-tail"})->lines, UINT64_MAX);
  EXPECT_THAT(refusal_as({"journalctl", "web"}),
              HasSubstr("cannot look for \"web\": only _SYSTEMD_UNIT=UNIT and SYSLOG_IDENTIFIER=NAME are known here"));
  EXPECT_THAT(refusal_as({"journalctl", "--vacuum-size=1G"}), HasSubstr("unknown option --vacuum-size=1G"));
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
  EXPECT_FALSE(help_text("run", CommandLine::Systemctl));
  EXPECT_THAT(*help_text("", CommandLine::Journalctl), HasSubstr("Usage: journalctl [OPTIONS]"));
}

}  // namespace
}  // namespace perdure::client
