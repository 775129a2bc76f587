#include "client/supervisord_file.hpp"

#include <sys/stat.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::client {
namespace {

using os::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

SupervisordFile read(const ScratchDirectory& directory, const std::string& text) {
  directory.put("s.conf", text);
  return read_supervisord_file(directory / "s.conf", {});
}

std::string value(const SupervisordFile& file, std::string_view section, std::string_view setting) {
  const auto* const found = file.find(section);
  const auto* const value = found == nullptr ? nullptr : found->find(setting);
  return value == nullptr ? "MISSING" : value->value;
}

// The expected values are what Python's RawConfigParser made of the same text, as supervisord 4.2.5 sets it up.
TEST(SupervisordFile, ItIsReadAsSupervisordReadsIt) {
  const ScratchDirectory directory;
  const SupervisordFile file =
      read(directory,
           "; comment\n# comment\n[program:web]  ; comment\nCommand = /bin/web --port=80 ; no longer\n"
           "quoted=a;b #c\nenvironment=A=1,\n  B=2,\n\n  C=3\n\ncolon: x=y\nempty=\n"
           "url=http://x/#frag\n[program:web]\nquoted=later\n  [not:asection]\n");
  EXPECT_THAT(file.errors, IsEmpty());
  EXPECT_EQ(value(file, "program:web", "command"), "/bin/web --port=80");
  EXPECT_EQ(value(file, "program:web", "quoted"), "later\n[not:asection]");
  EXPECT_EQ(value(file, "program:web", "environment"), "A=1,\nB=2,\n\nC=3");
  EXPECT_EQ(value(file, "program:web", "colon"), "x=y");
  EXPECT_EQ(value(file, "program:web", "empty"), "");
  EXPECT_EQ(value(file, "program:web", "url"), "http://x/#frag");
  EXPECT_EQ(file.find("program:web")->find("command")->place, directory / "s.conf:4");
}

TEST(SupervisordFile, WhatIsNoSettingIsNamedWithItsLine) {
  const ScratchDirectory directory;
  EXPECT_THAT(read(directory, "x=1\n[a]\nnonsense\n[]\n").errors,
              ElementsAre(directory / "s.conf:1: a setting stands before the first section",
                          directory / "s.conf:3: \"nonsense\" is neither a section nor NAME=VALUE",
                          directory / "s.conf:4: a section is written [NAME]"));
  EXPECT_THAT(read_supervisord_file(directory / "none", {}).errors,
              ElementsAre(HasSubstr("No such file or directory (ENOENT)")));
}

TEST(SupervisordFile, WhatIsIncludedIsReadInOrderAndKnowsItsOwnDirectory) {
  const ScratchDirectory directory;
  ASSERT_EQ(::mkdir((directory / "conf.d").c_str(), 0700), 0);
  directory.put("conf.d/b.conf", "[program:b]\ncommand=%(here)s/b\n[program:a]\nuser=b\n");
  directory.put("conf.d/a.conf", "[program:a]\ncommand=%(here)s/a\nuser=a\n");
  directory.put("conf.d/.hidden.conf", "[broken\n");
  const SupervisordFile file =
      read(directory, "[supervisord]\nlogfile=%(here)s/log\n[include]\nfiles = conf.d/*.conf none/*.conf " +
                          directory / "s.conf" + "\n");
  EXPECT_THAT(file.errors, IsEmpty());
  EXPECT_EQ(value(file, "supervisord", "logfile"), directory / "log");
  EXPECT_EQ(value(file, "program:b", "command"), directory / "conf.d/b");
  EXPECT_EQ(value(file, "program:a", "user"), "b") << "the later file wins";
  EXPECT_THAT(file.remarks, ElementsAre(directory / "s.conf:4: no file matches \"none/*.conf\""));
  EXPECT_THAT(read(directory, "[include]\n").errors, ElementsAre(directory / "s.conf:1: [include] has no files="));
  EXPECT_THAT(read(directory, "[include]\nfiles=*/x.conf\n").errors, ElementsAre(HasSubstr("only the last part of")));
}

TEST(SupervisordFile, NamesArePutInAsPythonDoes) {
  const Variables variables{{"program_name", "web"}, {"process_num", "7"}, {"ENV_HOME", "/h"}};
  const auto expanded = [&](std::string_view text) {
    const auto result = expand_supervisord(text, variables);
    return result ? *result : "ERROR " + result.error().message();
  };
  EXPECT_EQ(expanded("%(program_name)s_%(process_num)02d"), "web_07");
  EXPECT_EQ(expanded("%(process_num)d|%(process_num)3d|%(process_num)-3d|%(process_num)s"), "7|  7|7  |7");
  EXPECT_EQ(expanded("100%% of %(ENV_HOME)s"), "100% of /h");
  EXPECT_THAT(expanded("%H"), HasSubstr("ERROR \"%\" is followed by neither"));
  EXPECT_THAT(expanded("50%"), HasSubstr("ERROR \"%\" is followed by neither"));
  EXPECT_THAT(expanded("%(program_name)"), HasSubstr("is not followed by \"s\" or \"d\""));
  EXPECT_THAT(expanded("%(program_name)d"), HasSubstr("%(program_name)d wants a number"));
  EXPECT_THAT(expanded("%(nothing)s"), HasSubstr("%(nothing)s is not known"));
  EXPECT_THAT(expanded("%(ENV_NO)s"), HasSubstr("stands for the variable NO, which is not set here"));
}

TEST(SupervisordFile, AnEnvironmentIsCutAsSupervisordCutsIt) {
  const auto pairs = split_supervisord_environment("A=1,B=\"two, three\",\n C='x',D=/a/b.c-d:e,A=last");
  ASSERT_TRUE(pairs) << pairs.error().message();
  EXPECT_THAT(*pairs, ElementsAre(Pair("B", "two, three"), Pair("C", "x"), Pair("D", "/a/b.c-d:e"), Pair("A", "last")));
  EXPECT_THAT(*split_supervisord_environment(""), IsEmpty());
  for (const char* wrong : {"A", "A=", "A=b@c", "A=\"1", "A=1;B=2", "A=\"1\"\nB=\"2\""})
    EXPECT_FALSE(split_supervisord_environment(wrong)) << wrong;
}

TEST(SupervisordFile, ACommandIsCutAsAShellCutsWords) {
  const auto words = [](std::string_view text) {
    const auto result = split_supervisord_command(text);
    return result ? *result : std::vector<std::string>{"ERROR"};
  };
  EXPECT_THAT(words("/bin/sh -c 'echo \"$A\"; x'  --y=\"a \\\" \\n b\"z"),
              ElementsAre("/bin/sh", "-c", "echo \"$A\"; x", "--y=a \" \\n bz"));
  EXPECT_THAT(words("a\\ b '' \"\"\nc"), ElementsAre("a b", "", "", "c"));
  EXPECT_THAT(words("a 'b"), ElementsAre("ERROR"));
  EXPECT_THAT(words("a \\"), ElementsAre("ERROR"));
}

}  // namespace
}  // namespace perdure::client
