#include "logbook/target.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

#include "logbook/logbook_testing.hpp"
#include "perdure/unique_fd.hpp"

namespace perdure::logbook {
namespace {

TEST(LogTargetRule, IsThisTable) {
  struct Row {
    bool stderr_is_journal, under_init, stderr_is_usable, syslog_exists;
    LogTarget target;
  };
  using enum LogTarget;
  const Row table[] = {
      // journal  init   stderr syslog
      {false, false, false, false, File}, {false, false, false, true, Syslog}, {false, false, true, false, Stderr},
      {false, false, true, true, Stderr}, {false, true, false, false, File},   {false, true, false, true, Syslog},
      {false, true, true, false, Init},   {false, true, true, true, Init},     {true, false, true, false, Init},
      {true, false, true, true, Init},    {true, true, true, false, Init},     {true, true, true, true, Init},
  };
  for (const Row& row : table) {
    const TargetFacts facts{row.stderr_is_journal, row.under_init, row.stderr_is_usable, row.syslog_exists};
    EXPECT_EQ(choose_target(facts), row.target)
        << row.stderr_is_journal << row.under_init << row.stderr_is_usable << row.syslog_exists;
  }
}

TEST(JournalStream, CountsOnlyWhereItNamesStderrItself) {
  EXPECT_TRUE(names_journal_stream("8:1234", 8, 1234));
  EXPECT_FALSE(names_journal_stream("8:1235", 8, 1234));
  EXPECT_FALSE(names_journal_stream("9:1234", 8, 1234));
  for (const char* nonsense : {"", ":", "8:", ":1234", "8:1234 ", "8 1234", "8:1234:1", "-8:1234", "x:y"}) {
    EXPECT_FALSE(names_journal_stream(nonsense, 8, 1234)) << nonsense;
  }
}

TEST(TargetFacts, AreReadFromDescriptorTwoAndTheEnvironment) {
  const testing::TempDirectory directory;
  const testing::FakeSyslog syslog{directory / "log"};
  const UniqueFd file{::open((directory / "stderr").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
  struct stat status {};
  ASSERT_EQ(::fstat(file.get(), &status), 0);
  const testing::Variable socket{"PERDURE_SYSLOG_SOCKET", directory / "log"};
  const testing::Variable stream{"JOURNAL_STREAM", std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino)};

  const UniqueFd null{::open("/dev/null", O_WRONLY | O_CLOEXEC)};
  TargetFacts attached;
  TargetFacts detached;
  {
    const testing::StderrReplaced replaced{file.get()};
    attached = gather_target_facts(true);
  }
  {
    const testing::StderrReplaced replaced{null.get()};
    detached = gather_target_facts(false);
  }
  EXPECT_TRUE(attached.stderr_is_journal);
  EXPECT_TRUE(attached.stderr_is_usable);
  EXPECT_TRUE(attached.under_init);
  EXPECT_TRUE(attached.syslog_exists);
  EXPECT_FALSE(detached.stderr_is_journal) << "an inherited JOURNAL_STREAM that is not about our stderr";
  EXPECT_FALSE(detached.stderr_is_usable);
  EXPECT_FALSE(detached.under_init);
}

TEST(TargetFacts, AFileInTheSyslogsPlaceIsNoSyslog) {
  const testing::TempDirectory directory;
  const UniqueFd file{::open((directory / "log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
  const testing::Variable socket{"PERDURE_SYSLOG_SOCKET", directory / "log"};
  EXPECT_FALSE(gather_target_facts(false).syslog_exists);
}

TEST(DefaultLogPath, IsThisTable) {
  struct Row {
    PathFacts facts;
    const char* path;
  };
  const Row table[] = {
      {{.is_root = true, .logs_directory = "/var/log/t", .state_home = "/s", .home = "/root"}, "/var/log/t/t.log"},
      {{.is_root = false, .logs_directory = "/a:/b", .state_home = "/s", .home = "/h"}, "/a/t.log"},
      {{.is_root = true, .logs_directory = "", .state_home = "/s", .home = "/root"}, "/var/log/t.log"},
      {{.is_root = true, .logs_directory = "relative", .state_home = "", .home = ""}, "/var/log/t.log"},
      {{.is_root = false, .logs_directory = "", .state_home = "/s", .home = "/h"}, "/s/t.log"},
      {{.is_root = false, .logs_directory = "", .state_home = "relative", .home = "/h"}, "/h/.local/state/t.log"},
      {{.is_root = false, .logs_directory = "", .state_home = "", .home = "/h"}, "/h/.local/state/t.log"},
  };
  for (const Row& row : table) EXPECT_EQ(default_log_path("t", row.facts), row.path);
  EXPECT_EQ(default_log_path("t", {}), std::nullopt);
  EXPECT_EQ(default_log_path("", {.is_root = true}), std::nullopt);
  EXPECT_EQ(default_log_path("../etc/x", {.is_root = true}), std::nullopt);
}

TEST(Colour, NoColorWinsThenForceThenTheTerminal) {
  EXPECT_TRUE(choose_colour({.is_terminal = true}));
  EXPECT_FALSE(choose_colour({.is_terminal = false}));
  EXPECT_FALSE(choose_colour({.is_terminal = true, .is_dumb = true}));
  EXPECT_TRUE(choose_colour({.is_terminal = false, .force = true, .is_dumb = true}));
  EXPECT_FALSE(choose_colour({.is_terminal = true, .no_color = true}));
  EXPECT_FALSE(choose_colour({.is_terminal = true, .no_color = true, .force = true}));
}

TEST(Colour, FactsComeFromTheEnvironment) {
  const testing::Variable no_color{"NO_COLOR", ""};
  const testing::Variable force{"CLICOLOR_FORCE", "0"};
  const testing::Variable term{"TERM", "dumb"};
  const ColourFacts quiet = gather_colour_facts(-1);
  EXPECT_FALSE(quiet.is_terminal || quiet.no_color || quiet.force);
  EXPECT_TRUE(quiet.is_dumb);
  const testing::Variable no_color_set{"NO_COLOR", "1"};
  const testing::Variable force_set{"CLICOLOR_FORCE", "1"};
  const testing::Variable term_set{"TERM", "xterm"};
  const ColourFacts loud = gather_colour_facts(-1);
  EXPECT_TRUE(loud.no_color && loud.force);
  EXPECT_FALSE(loud.is_dumb);
}

}  // namespace
}  // namespace perdure::logbook
