#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/load_unit_testing.hpp"

namespace perdure::unit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;

const ManagedDirectories& directories(const ServiceSpec& s, DirectoryKind kind) {
  return s.directories[static_cast<std::size_t>(kind)];
}

TEST(ExecSection, TakesAWholeLineForAnEnvironmentFile) {
  const ServiceSpec s = service("EnvironmentFile=-/etc/default/%p\nEnvironmentFile=/etc//a b\n");
  EXPECT_THAT(s.environment_files, ElementsAre(EnvironmentFile{.path = "/etc/default/web", .ignores_missing = true},
                                               EnvironmentFile{.path = "/etc/a b"}));
  EXPECT_THAT(service("EnvironmentFile=/a\nEnvironmentFile=\n").environment_files, IsEmpty());
  EXPECT_THAT(texts(load_service("EnvironmentFile=a\n")), ElementsAre(HasSubstr("\"a\" is no absolute path")));
}

TEST(ExecSection, PassesAndUnsetsVariablesByName) {
  const ServiceSpec s = service("PassEnvironment=A B\nPassEnvironment=A 9C D=x\nUnsetEnvironment=X=1 Y 9Z\n");
  EXPECT_THAT(s.pass_environment, ElementsAre("A", "B"));
  EXPECT_THAT(s.unset_environment, ElementsAre("X=1", "Y"));
  EXPECT_THAT(service("PassEnvironment=A\nPassEnvironment=\n").pass_environment, IsEmpty());
}

TEST(ExecSection, ReadsTheDirectoriesThatAreMadeForAService) {
  const ServiceSpec s = service(
      "RuntimeDirectory=web web/%p\nRuntimeDirectoryMode=0750\nStateDirectory=a:b c a d:e\nCacheDirectory=x/./y\n"
      "LogsDirectory=l\nLogsDirectoryMode=2755\nConfigurationDirectory=conf\n");
  EXPECT_THAT(directories(s, DirectoryKind::Runtime).names, ElementsAre("web", "web/web"));
  EXPECT_EQ(directories(s, DirectoryKind::Runtime).mode, 0750U);
  EXPECT_THAT(directories(s, DirectoryKind::State).names, ElementsAre("a", "c", "d"));
  EXPECT_THAT(directories(s, DirectoryKind::State).links,
              ElementsAre(DirectoryLink{.path = "b", .directory = "a"}, DirectoryLink{.path = "e", .directory = "d"}));
  EXPECT_EQ(directories(s, DirectoryKind::State).mode, 0755U);
  EXPECT_THAT(directories(s, DirectoryKind::Cache).names, ElementsAre("x/y"));
  EXPECT_THAT(directories(s, DirectoryKind::Logs).names, ElementsAre("l"));
  EXPECT_EQ(directories(s, DirectoryKind::Logs).mode, 02755U);
  EXPECT_THAT(directories(s, DirectoryKind::Configuration).names, ElementsAre("conf"));
  const ServiceSpec reset = service("StateDirectory=a:b\nStateDirectory=\n");
  EXPECT_THAT(directories(reset, DirectoryKind::State).names, IsEmpty());
  EXPECT_THAT(directories(reset, DirectoryKind::State).links, IsEmpty());
}

TEST(ExecSection, MakesNoDirectoryOutsideOfItsPlace) {
  for (const char* word : {"/x", "../x", "a/../x", ".", "private", "private/x", "a:/b", "a:../b", "a:private/b", "a/.."}) {
    const Loaded loaded = load_service("StateDirectory=" + std::string{word} + "\n");
    EXPECT_THAT(directories(loaded.value.service, DirectoryKind::State).names, IsEmpty()) << word;
    EXPECT_THAT(directories(loaded.value.service, DirectoryKind::State).links, IsEmpty()) << word;
    EXPECT_THAT(texts(loaded), ElementsAre(HasSubstr("it is left out"))) << word;
  }
  EXPECT_THAT(directories(service("StateDirectory=privateer\n"), DirectoryKind::State).names, ElementsAre("privateer"));
  EXPECT_THAT(directories(service("ConfigurationDirectory=a:b\n"), DirectoryKind::Configuration).names, IsEmpty());
}

TEST(ExecSection, LeavesOutAnEmptyMode) {
  EXPECT_EQ(directories(service("StateDirectoryMode=0700\nStateDirectoryMode=\n"), DirectoryKind::State).mode, 0700U);
  EXPECT_EQ(service("UMask=0077\nUMask=\n").umask, 0077U);
}

TEST(ExecSection, TakesNoPathThatLeadsUpAgain) {
  EXPECT_FALSE(load_service("WorkingDirectory=/a/../b\n").value.is_startable);
  EXPECT_FALSE(load_service("RootDirectory=/a/../b\n").value.is_startable);
  EXPECT_THAT(service("EnvironmentFile=/a/../b\n").environment_files, IsEmpty());
  EXPECT_EQ(service("PIDFile=/run/../x\n").pid_file, "");
  EXPECT_THAT(load_lines("ConditionPathExists=/a/../b\n").value.conditions, IsEmpty());
  EXPECT_EQ(service("ExecStop=/bin/../sbin/x\n").exec_stop.at(0).path, "/bin/../sbin/x");
}

TEST(ExecSection, PreservesTheRuntimeDirectoryAsAsked) {
  EXPECT_EQ(service("").runtime_directory_preserve, Preserve::No);
  EXPECT_EQ(service("RuntimeDirectoryPreserve=restart\n").runtime_directory_preserve, Preserve::Restart);
  EXPECT_EQ(service("RuntimeDirectoryPreserve=yes\n").runtime_directory_preserve, Preserve::Yes);
}

TEST(ExecSection, TakesTheRootForNoRootDirectory) {
  EXPECT_EQ(service("RootDirectory=/srv/%p/\n").root_directory, "/srv/web");
  EXPECT_EQ(service("RootDirectory=/srv\nRootDirectory=/\n").root_directory, "");
  EXPECT_EQ(service("RootDirectory=/srv\nRootDirectory=\n").root_directory, "");
}

TEST(ExecSection, CountsIoSchedulingAsTheKernelDoes) {
  const auto io = [](const std::string& lines) { return service(lines).io_scheduling; };
  EXPECT_FALSE(io(""));
  EXPECT_EQ(io("IOSchedulingClass=idle\n")->io_class, 3);
  EXPECT_EQ(io("IOSchedulingClass=1\nIOSchedulingPriority=7\n")->io_class, 1);
  EXPECT_EQ(io("IOSchedulingPriority=7\nIOSchedulingClass=realtime\n")->priority, 7);
  EXPECT_EQ(io("IOSchedulingPriority=0\n")->io_class, 2);
  EXPECT_EQ(io("IOSchedulingPriority=0\nIOSchedulingClass=none\n")->priority, 4);
  EXPECT_EQ(io("IOSchedulingClass=none\n")->io_class, 2);
  EXPECT_FALSE(io("IOSchedulingClass=idle\nIOSchedulingClass=\n"));
}

TEST(ExecSection, KeepsThePriorityOfTheProcessorWithinItsPolicy) {
  const auto cpu = [](const std::string& lines) { return service(lines).cpu_scheduling; };
  EXPECT_FALSE(cpu(""));
  EXPECT_FALSE(cpu("CPUSchedulingResetOnFork=yes\n"));
  EXPECT_EQ(cpu("CPUSchedulingPolicy=idle\n")->policy, 5);
  EXPECT_EQ(cpu("CPUSchedulingPolicy=5\n")->policy, 5);
  EXPECT_EQ(cpu("CPUSchedulingPolicy=rr\n")->priority, 1);
  EXPECT_EQ(cpu("CPUSchedulingPriority=50\nCPUSchedulingPolicy=fifo\n")->priority, 50);
  EXPECT_EQ(cpu("CPUSchedulingPriority=50\nCPUSchedulingPolicy=batch\n")->priority, 0);
  EXPECT_TRUE(cpu("CPUSchedulingResetOnFork=yes\nCPUSchedulingPolicy=rr\n")->resets_on_fork);
  EXPECT_FALSE(cpu("CPUSchedulingPolicy=rr\nCPUSchedulingPolicy=\n"));
}

TEST(StreamSection, SendsToTheLogWhatIsInheritedFromNothing) {
  EXPECT_EQ(service("StandardOutput=inherit\n").standard_output.kind, OutputKind::Journal);
  EXPECT_EQ(service("StandardInput=file:/x\nStandardOutput=inherit\n").standard_output.kind, OutputKind::Journal);
  EXPECT_EQ(service("StandardOutput=null\n").standard_error.kind, OutputKind::Inherit);
}

TEST(StreamSection, NamesWhatBecomesOfEachDestination) {
  const auto outcome = [](const std::string& line) {
    const Loaded loaded = load_service(line + "\n");
    return std::pair{loaded.value.directives.back().outcome, loaded.value.is_startable};
  };
  for (const char* word : {"inherit", "null", "journal", "syslog", "file:/x", "append:/x", "truncate:/x"})
    EXPECT_EQ(outcome("StandardOutput=" + std::string{word}), (std::pair{Outcome::Enforced, true})) << word;
  for (const char* word : {"kmsg", "journal+console", "syslog+console", "kmsg+console"})
    EXPECT_EQ(outcome("StandardError=" + std::string{word}), (std::pair{Outcome::Emulated, true})) << word;
  for (const char* word : {"tty", "socket", "fd", "fd:x"})
    EXPECT_EQ(outcome("StandardOutput=" + std::string{word}), (std::pair{Outcome::NotYet, false})) << word;
  for (const char* word : {"tty", "tty-force", "tty-fail", "data", "socket", "fd:x"})
    EXPECT_EQ(outcome("StandardInput=" + std::string{word}), (std::pair{Outcome::NotYet, false})) << word;
  EXPECT_EQ(load_service("StandardOutput=kmsg+console\n").value.directives.back().note,
            "kmsg+console goes to the unit's log only");
}

TEST(StreamSection, ReadsHowLinesAreLogged) {
  EXPECT_EQ(service("SyslogIdentifier=%p-x\n").syslog_identifier, "web-x");
  EXPECT_EQ(service("SyslogIdentifier=a\nSyslogIdentifier=\n").syslog_identifier, "");
  EXPECT_TRUE(service("").syslog_level_prefix);
  EXPECT_FALSE(service("SyslogLevelPrefix=no\n").syslog_level_prefix);
}

}  // namespace
}  // namespace perdure::unit
