#include "client/unit_text.hpp"

#include <sys/stat.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::client {
namespace {

using os::testing::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UnitText, WordsOfACommandStandForThemselves) {
  EXPECT_EQ(command_text({"/bin/sleep", "5"}), "/bin/sleep 5");
  EXPECT_EQ(command_text({"/bin/sh", "-c", "echo \"$HOME\" 50%; exit 1"}), R"(/bin/sh -c "echo \"$$HOME\" 50%%; exit 1")");
  EXPECT_EQ(command_word(""), R"("")");
  EXPECT_EQ(command_word(";"), R"(";")") << "alone it would end the command";
  EXPECT_EQ(command_word("#x"), R"("#x")");
  EXPECT_EQ(command_word("it's"), R"("it's")");
  EXPECT_EQ(command_word("a\\b"), R"("a\\b")");
  EXPECT_EQ(command_word("a\nb\tc\x7f"), R"("a\x0ab\x09c\x7f")");
  EXPECT_EQ(command_word("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
  EXPECT_EQ(command_word("\xff"), R"("\xff")");
  EXPECT_EQ(setting_word("A=50% of $5"), R"("A=50%% of $5")");
}

TEST(UnitText, NamesAreMadeOutOfAnything) {
  EXPECT_EQ(unit_stem_of("python3.11"), "python3.11");
  EXPECT_EQ(unit_stem_of("my prog@2"), "my_prog_2");
  EXPECT_EQ(unit_stem_of(".hidden"), "_.hidden");
  EXPECT_EQ(unit_stem_of(""), "_");
  EXPECT_EQ(unit_stem_of(std::string(300, 'x')).size(), 200U);
}

TEST(UnitText, AProgramIsFoundAsAShellFindsIt) {
  const ScratchDirectory directory;
  directory.put("tool", "#!/bin/sh\n");
  EXPECT_THAT(program_path("tool", directory.path()).error().message(),
              HasSubstr("no directory of PATH has such a program"));
  ::chmod((directory / "tool").c_str(), 0755);
  EXPECT_EQ(*program_path("tool", "/nowhere::" + directory.path()), directory / "tool");
  EXPECT_EQ(*program_path(directory / "tool", ""), directory / "tool");
  EXPECT_THAT(program_path("/no/such", "").error().message(),
              HasSubstr("cannot run /no/such: No such file or directory (ENOENT)"));
  EXPECT_THAT(program_path("/tmp", "").error().message(), HasSubstr("it is no program that may be executed"));
}

TEST(UnitText, ATransientUnitIsAWholeUnitFile) {
  const ScratchDirectory directory;
  directory.put("server", "#!/bin/sh\n");
  ::chmod((directory / "server").c_str(), 0755);
  const auto unit = transient_unit({"server", "--name", "50% off"}, directory.path(), "/srv/a%b");
  ASSERT_TRUE(unit) << unit.error().message();
  EXPECT_EQ(unit->name, "server.service");
  EXPECT_EQ(unit->text,
            "# Written by \"perdure run -- COMMAND\", and again by the next one of this name.\n"
            "[Unit]\nDescription=server --name 50%% off\n\n"
            "[Service]\nExecStart=" +
                directory / "server" +
                " --name \"50%% off\"\nWorkingDirectory=/srv/a%%b\nRestart=no\n\n"
                "[X-Perdure]\nEssential=yes\n");
}

TEST(UnitText, WhatCannotBeWrittenDownIsRefused) {
  EXPECT_THAT(transient_unit({"/bin/sh"}, "", "/odd\ndirectory").error().message(),
              HasSubstr("cannot run a command in \"/odd\\ndirectory\""));
  EXPECT_THAT(transient_unit({"/bin/sh"}, "", "/odd ").error().message(), HasSubstr("cannot stand in a unit file"));
  EXPECT_THAT(transient_unit({"/bin/sh", std::string(70'000, 'x')}, "", "/").error().message(),
              HasSubstr("and 65536 is the most"));
}

}  // namespace
}  // namespace perdure::client
