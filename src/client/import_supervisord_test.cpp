// Configurations as they stand in real containers, and what becomes of them: testdata/supervisord/*.golden, rewritten with
// PERDURE_UPDATE_GOLDEN=1; read the difference before it is committed.
#include "client/import_supervisord.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::client {
namespace {

using os::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

const std::string data = std::string{PERDURE_CLIENT_TESTDATA} + "/supervisord/";

void compare(const std::string& name) {
  const ImportedUnits units = import_supervisord(data + name + ".conf", {{"PORT", "8000"}, {"PATH", "/usr/bin:/bin"}});
  std::string text;
  for (const auto& file : units.files) text += "==== " + file.name + "\n" + file.text + "\n";
  for (const auto& error : units.errors) text += "error: " + error + "\n";
  for (const auto& remark : units.remarks) text += "remark: " + remark + "\n";
  for (std::size_t at; (at = text.find(data)) != std::string::npos;) text.replace(at, data.size(), "HERE/");
  const std::string path = data + name + ".golden";
  if (std::getenv("PERDURE_UPDATE_GOLDEN") != nullptr) std::ofstream{path} << text;
  std::ostringstream golden;
  golden << std::ifstream{path}.rdbuf();
  EXPECT_EQ(text, golden.str());
}

/// With the sections that every file needs.
ImportedUnits imported(const std::string& text, const Variables& environment = {}) {
  const ScratchDirectory directory;
  directory.put("s.conf", "[supervisord]\n" + text);
  ImportedUnits units = import_supervisord(directory / "s.conf", environment);
  for (auto* const lines : {&units.errors, &units.remarks}) {
    for (std::string& line : *lines) {
      if (line.starts_with(directory.path() + '/')) line.erase(0, directory.path().size() + 1);
    }
  }
  return units;
}

std::string only_file(const std::string& settings) {
  const ImportedUnits units = imported("[program:x]\ncommand=/bin/x\n" + settings);
  EXPECT_THAT(units.errors, IsEmpty());
  return units.files.size() == 1 ? units.files.front().text : "";
}

TEST(ImportSupervisord, AShopInOneContainer) { compare("shop"); }
TEST(ImportSupervisord, ADjangoSiteWithAGroupAndIncludedFiles) { compare("django"); }

TEST(ImportSupervisord, DefaultsAreSupervisords) {
  const std::string text = only_file("");
  for (const char* line :
       {"\nExecStart=/bin/x\n", "\nRestart=on-failure\n", "\nRestartForceExitStatus=SIGHUP SIGINT SIGTERM SIGPIPE\n",
        "\nTimeoutStopSec=10\n", "\nKillMode=mixed\n", "\nStartLimitBurst=4\n", "\nStartLimitIntervalSec=8\n",
        "\nWantedBy=multi-user.target\n"})
    EXPECT_THAT(text, HasSubstr(line));
  EXPECT_LT(text.find("StartLimitBurst="), text.find("[Service]")) << "systemd reads it in [Unit]";
  EXPECT_THAT(text, Not(HasSubstr("StandardOutput=")));
}

TEST(ImportSupervisord, WhatAnEndMeansIsWhatItMeansToSupervisord) {
  EXPECT_THAT(only_file("exitcodes=2,7\n"),
              HasSubstr("RestartForceExitStatus=0 SIGHUP SIGINT SIGTERM SIGPIPE\nSuccessExitStatus=2 7\n"));
  EXPECT_THAT(only_file("autorestart=false\n"), Not(HasSubstr("StartLimit")));
  EXPECT_THAT(only_file("autorestart=true\nstartsecs=0\n"), HasSubstr("\nStartLimitIntervalSec=0\n"));
  EXPECT_THAT(only_file("startretries=0\n"), HasSubstr("\nStartLimitBurst=1\n"));
}

TEST(ImportSupervisord, OutputsGoWhereTheyWent) {
  EXPECT_THAT(only_file("stdout_logfile=/v/x.log\nredirect_stderr=true\n"),
              HasSubstr("\nStandardOutput=append:/v/x.log\nStandardError=inherit\n"));
  EXPECT_THAT(only_file("stdout_logfile=/v/x.log\n"), HasSubstr("\nStandardError=journal\n"));
  EXPECT_THAT(only_file("stdout_logfile=/v/50%%.log\n"), HasSubstr("append:/v/50%%.log\n"));
  EXPECT_THAT(only_file("stderr_logfile=NONE\n"), HasSubstr("\nStandardError=null\n"));
  EXPECT_THAT(only_file("redirect_stderr=true\n"), Not(HasSubstr("StandardError=")));
}

TEST(ImportSupervisord, AGroupThatIsCalledAsItsProgramIsOneTarget) {
  const ImportedUnits units =
      imported("[program:w]\ncommand=/bin/w\nnumprocs=2\nprocess_name=w%(process_num)d\n[group:w]\nprograms=w\n");
  EXPECT_THAT(units.errors, IsEmpty());
  ASSERT_THAT(units.files, SizeIs(3));
  EXPECT_EQ(units.files[2].name, "w.target");
  EXPECT_THAT(units.files[2].text, HasSubstr("Wants=w0.service\nWants=w1.service\n"));
}

TEST(ImportSupervisord, NothingComesOutOfAFileThatIsWrongAndEveryFaultIsNamed) {
  const ImportedUnits units = imported(
      "[program:a]\nautorestart=perhaps\ncommand=/bin/a '\nnumprocs=2\n[program:b]\nuser=%(ENV_NOBODY)s\ncommand=%H\n"
      "[program:c]\nstopsignal=FOO\n[group:g]\nprograms=a,zz\n[program:d]\ncommand=/bin/d\nstartsecs=soon\numask=9\n"
      "exitcodes=300\nenvironment=A\nstopasgroup=true\nkillasgroup=false\nautostart=maybe\n[program:e]\ncommand=-x\n");
  EXPECT_THAT(units.files, IsEmpty());
  EXPECT_THAT(
      units.errors,
      ElementsAre(
          "s.conf:21: autostart wants true or false, not \"maybe\"",
          "s.conf:12: [group:g] names \"zz\", and there is no such program",
          "s.conf:2: 2 processes need a process_name= with %(process_num)d",
          "s.conf:18: \"A\" is not KEY=\"value\",KEY2=\"value2\"; a value with other characters than letters, digits and "
          "_/.+-(): stands in quotes",
          HasSubstr("s.conf:7: user: %(ENV_NOBODY)s stands for the variable NOBODY, which is not set here"),
          HasSubstr("s.conf:8: command: \"%\" is followed by neither"), "s.conf:9: [program:c] has no command=",
          "s.conf:10: stopsignal: \"FOO\" is no signal", "s.conf:15: startsecs wants a number, not \"soon\"",
          "s.conf:16: umask wants an octal number, not \"9\"", "s.conf:20: stopasgroup=true goes with killasgroup=true only",
          "s.conf:17: exitcodes wants numbers from 0 to 255, not \"300\"",
          "s.conf:23: \"-x\" cannot be the name of a program in a unit file; write its path"));
}

TEST(ImportSupervisord, WhatSupervisordRefusesIsRefused) {
  const ScratchDirectory directory;
  directory.put("s.conf", "[program:x]\ncommand=/bin/x\n");
  EXPECT_THAT(import_supervisord(directory / "s.conf", {}).errors,
              ElementsAre(HasSubstr("there is no section [supervisord]")));
  EXPECT_THAT(imported("[program:x]\nuser=a\n").errors, ElementsAre("s.conf:2: [program:x] has no command="));
  EXPECT_THAT(imported("[program:x y]\ncommand=/bin/x\n").errors,
              ElementsAre(HasSubstr("has no name that supervisord accepts")));
  EXPECT_THAT(imported("[program:x]\ncommand=/bin/x\nnumprocs=2\nprocess_name=x\n").errors,
              ElementsAre("s.conf:5: two processes would both become x.service"));
}

TEST(ImportSupervisord, ThatNothingStartsByItselfIsMentioned) {
  EXPECT_THAT(imported("[program:x]\ncommand=/bin/x\nautostart=no\n").remarks,
              ElementsAre(HasSubstr("no program has autostart=true")));
}

}  // namespace
}  // namespace perdure::client
