#include "unit/command_line.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::unit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Specifiers machine{.hostname = "box", .runtime_directory = "/run"};

Result<CommandLine> parse(std::string_view text, std::string_view name = "web@a\\x2db-c.service") {
  const UnitName unit = UnitName::parse(name).value();
  return parse_command_line(text, {unit, machine, "/etc/systemd/system/web@.service"});
}
ExecCommand command(std::string_view text) { return parse(text).value().commands.at(0); }
std::string complaint(std::string_view text) { return parse(text).error().message(); }

TEST(CommandLine, IsAProgramAndItsArguments) {
  const ExecCommand echo = command(R"(/bin//./echo "a b"c $X  'd')");
  EXPECT_EQ(echo.path, "/bin/echo");
  EXPECT_THAT(echo.argv, ElementsAre("/bin//./echo", "a bc", "$X", "d"));
  EXPECT_EQ(command("sh -c x").path, "sh");
}

TEST(CommandLine, ReadsThePrefixesInAnyOrder) {
  const ExecCommand all = command("-@:/bin/sh me -x");
  EXPECT_TRUE(all.ignores_failure);
  EXPECT_FALSE(all.expands_variables);
  EXPECT_EQ(all.path, "/bin/sh");
  EXPECT_THAT(all.argv, ElementsAre("me", "-x"));
  EXPECT_EQ(all.rights, Rights::OfUnit);
  EXPECT_EQ(command("+/bin/sh").rights, Rights::Full);
  EXPECT_EQ(command("!/bin/sh").rights, Rights::KeepUser);
  EXPECT_EQ(command("!!-/bin/sh").rights, Rights::KeepUserIfNeeded);
}

TEST(CommandLine, HasSeveralCommandsWhereASemicolonStandsAlone) {
  const CommandLine line = parse(R"(/bin/a 1 ; /bin/b \; ";" x; ; )").value();
  ASSERT_EQ(line.commands.size(), 2U);
  EXPECT_THAT(line.commands[0].argv, ElementsAre("/bin/a", "1"));
  EXPECT_THAT(line.commands[1].argv, ElementsAre("/bin/b", ";", ";", "x;"));
}

TEST(CommandLine, ReplacesSpecifiersInEveryWord) {
  EXPECT_THAT(command("/bin/%p %i %I %n %N %f %P %%s 100% %t/x %H %y %Y %:").argv,
              ElementsAre("/bin/web", "a\\x2db-c", "a-b/c", "web@a\\x2db-c.service", "web@a\\x2db-c", "/a-b/c", "web", "%s",
                          "100%", "/run/x", "box", "/etc/systemd/system/web@.service", "/etc/systemd/system", "%:"));
  const CommandLine plain = parse("/bin/x %i%I %j", "a-b-c.service").value();
  EXPECT_THAT(plain.commands[0].argv, ElementsAre("/bin/x", "", "c"));
}

TEST(CommandLine, SaysWhatIsWrong) {
  EXPECT_THAT(complaint("/bin/x %F"), HasSubstr("%F is no specifier; write %%F"));
  EXPECT_THAT(complaint("/bin/x %m"), HasSubstr("the specifier %m (the machine id) is not known here"));
  EXPECT_THAT(complaint("bin/x"), HasSubstr("is a relative path"));
  EXPECT_THAT(complaint("/bin/"), HasSubstr("is a directory"));
  EXPECT_THAT(complaint("$X a"), HasSubstr("may not be a variable"));
  EXPECT_THAT(complaint("+"), HasSubstr("is missing"));
  EXPECT_THAT(complaint("@/bin/x"), HasSubstr("is missing"));
  EXPECT_THAT(complaint("/bin/x 'a"), HasSubstr("a quote is not closed"));
  EXPECT_THAT(complaint("'/bin/\\nx'"), HasSubstr("control character"));
  EXPECT_EQ(parse(R"(/bin/x \q)").value().warnings.size(), 1U);
}

TEST(CommandLine, LeavesOutWhatMayFailAndCannotBeRead) {
  const CommandLine line = parse("/bin/a ; -bin/x ; /bin/y").value();
  ASSERT_EQ(line.commands.size(), 1U);
  EXPECT_EQ(line.commands[0].path, "/bin/a");
  EXPECT_THAT(line.warnings, ElementsAre(HasSubstr("is a relative path; write an absolute one, or only the program's name; "
                                                   "because of its \"-\", the command is left out")));
  EXPECT_THAT(parse("-").value().commands, testing::IsEmpty());
}

TEST(CommandLine, IsBounded) {
  std::string many = "/bin/x";
  for (std::size_t i = 0; i < arguments_max; ++i) many += " a";
  EXPECT_THAT(complaint(many), HasSubstr("more than 8192 arguments"));
  std::string commands;
  for (std::size_t i = 0; i <= commands_max; ++i) commands += "/bin/x ; ";
  EXPECT_THAT(complaint(commands), HasSubstr("more than 64 commands"));
}

// The examples of systemd.service(5), "Command lines".
TEST(ExpandArguments, FollowsTheManual) {
  const std::vector<std::string> first{"ONE=one", "TWO=two two"};
  EXPECT_THAT(expand_arguments(command("echo $ONE $TWO ${TWO}"), first),
              ElementsAre("echo", "one", "two", "two", "two two"));
  const std::vector<std::string> second{"ONE='one'", "TWO='two two' too", "THREE="};
  EXPECT_THAT(expand_arguments(command("/bin/echo ${ONE} ${TWO} ${THREE}"), second),
              ElementsAre("/bin/echo", "'one'", "'two two' too", ""));
  EXPECT_THAT(expand_arguments(command("/bin/echo $ONE $TWO $THREE"), second),
              ElementsAre("/bin/echo", "one", "two two", "too"));
}

TEST(ExpandArguments, LeavesAloneWhatIsNoVariable) {
  const std::vector<std::string> environment{"A=1", "A=2"};
  EXPECT_THAT(expand_arguments(command("/bin/x x$A $$A $$ a${A}b${ $5x ${B} --c=${A}$"), environment),
              ElementsAre("/bin/x", "x$A", "$A", "$", "a2b${", "", "--c=2$"));
  EXPECT_THAT(expand_arguments(command(":/bin/x $A ${A} $$"), environment), ElementsAre("/bin/x", "$A", "${A}", "$$"));
  EXPECT_THAT(expand_arguments(command("@/bin/x $NONE"), {}), ElementsAre("/bin/x"));
}

TEST(VariablesOf, NamesEachOnce) {
  EXPECT_THAT(variables_of(command("/bin/x $A ${B}${A} $$C x$D")), ElementsAre("A", "B"));
  EXPECT_TRUE(variables_of(command(":/bin/x $A")).empty());
}

RC_GTEST_PROP(CommandLine, TakesAnyBytes, (const std::string& text)) {
  const auto line = parse(text);
  if (!line) return;
  const std::vector<std::string> environment{"A=" + text};
  for (const ExecCommand& c : line->commands) {
    RC_ASSERT(!c.argv.empty() && !c.path.empty());
    RC_ASSERT(!expand_arguments(c, environment).empty());
  }
}

RC_GTEST_PROP(CommandLine, TakesAnyMixtureOfWhatMatters, ()) {
  const auto parts = *rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("/bin/x", " ", "'", "\"", "\\", "$", "{", "}", "%", "i", ";", "@", "-", "+", "!", ":",
                                    "A", "x41", "$$", "${A}", "$A"));
  std::string text;
  for (const std::string& part : parts) text += part;
  const auto line = parse(text);
  if (!line) return;
  for (const ExecCommand& c : line->commands) RC_ASSERT(!expand_arguments(c, {}).empty());
}

}  // namespace
}  // namespace perdure::unit
