// Compiled units as text: testdata/launches.txt. PERDURE_REWRITE_GOLDEN=1 rewrites it from what the code does now.
#include "supervisor/launch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using wire::SpawnSpec;

class LaunchTest : public ::testing::Test {
 protected:
  LaunchTest() {
    directory.put("passwd", "root:x:0:0:root:/root:/bin/bash\nweb:x:33:34::/srv/web:/bin/sh\n");
    directory.put("group", "root:x:0:\nweb:x:34:\nlogs:x:50:web\ncerts:x:60:\n");
    surroundings.environment = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8"};
    surroundings.nofile_soft = 1024;
    surroundings.nofile_hard = 4096;
    surroundings.search_path = "/bin:/usr/bin";  // a shell is in the first on every machine
  }
  static unit::UnitSpec load(const std::string& lines) {
    const unit::UnitName name = unit::UnitName::parse("web.service").value();
    const unit::UnitSource source{"/etc/web.service", "[Service]\n" + lines};
    auto loaded = unit::load_unit(name, {&source, 1}, unit::Specifiers{});
    EXPECT_TRUE(loaded.value.is_startable) << lines;
    return std::move(loaded.value);
  }
  Result<CompiledLaunch> compile_text(const std::string& lines) const { return compile_unit(load(lines)); }
  Result<CompiledLaunch> compile_unit(const unit::UnitSpec& unit, CommandRole role = CommandRole::Start,
                                      const std::vector<std::string>& extra = {}) const {
    const Accounts accounts = Accounts::read(directory / "passwd", directory / "group").value();
    return compile(unit, unit.service.exec_start.front(), role, accounts, surroundings, extra);
  }
  os::testing::ScratchDirectory directory;
  LaunchSurroundings surroundings;
};

const SpawnSpec& spec_of(const CompiledLaunch& launch) { return *reinterpret_cast<const SpawnSpec*>(launch.bytes.data()); }

/// The spec as a person would write it down.
std::string text_of(const CompiledLaunch& launch) {
  const SpawnSpec& spec = spec_of(launch);
  const char* const bytes = launch.bytes.data();
  EXPECT_TRUE(wire::is_sound(spec, bytes, launch.bytes.size()));
  std::ostringstream out;
  const auto number_at = [bytes](std::uint32_t list, std::uint32_t index) {
    std::uint32_t number = 0;
    std::memcpy(&number, bytes + list + 4 * index, sizeof number);
    return number;
  };
  out << "program " << bytes + spec.program << '\n';
  for (std::uint32_t i = 0; i < spec.argument_count; ++i)
    out << "argument <" << bytes + number_at(spec.arguments, i) << ">\n";
  for (std::uint32_t i = 0; i < spec.environment_count; ++i)
    out << "environment <" << bytes + number_at(spec.environment, i) << ">\n";
  if ((spec.flags & wire::spec_set_ids) != 0) {
    out << "ids " << spec.user << ':' << spec.group << " groups";
    for (std::uint32_t i = 0; i < spec.group_count; ++i) out << ' ' << number_at(spec.groups, i);
    out << '\n';
  }
  if (spec.working_directory != 0) out << "directory " << bytes + spec.working_directory << '\n';
  constexpr std::array<std::pair<std::uint32_t, const char*>, 7> flags{{{wire::spec_watchdog_pid, "watchdog_pid"},
                                                                        {wire::spec_no_invocation_id, "no_invocation_id"},
                                                                        {wire::spec_no_exec_pid, "no_exec_pid"},
                                                                        {wire::spec_no_new_privileges, "no_new_privileges"},
                                                                        {wire::spec_ignore_sigpipe, "ignore_sigpipe"},
                                                                        {wire::spec_cwd_may_fail, "cwd_may_fail"},
                                                                        {wire::spec_gate, "gate"}}};
  for (const auto& [flag, name] : flags) {
    if ((spec.flags & flag) != 0) out << name << '\n';
  }
  if ((spec.flags & wire::spec_has_nice) != 0) out << "nice " << spec.nice << '\n';
  if ((spec.flags & wire::spec_has_oom_score) != 0) out << "oom_score_adjust " << spec.oom_score_adjust << '\n';
  if (spec.root_directory != 0) out << "root " << bytes + spec.root_directory << '\n';
  for (std::uint32_t i = 0; i < spec.mount_count; ++i)
    out << "mount " << bytes + number_at(spec.mounts, 3 * i) << " at " << bytes + number_at(spec.mounts, 3 * i + 1)
        << " flags " << number_at(spec.mounts, 3 * i + 2) << '\n';
  if ((spec.flags & wire::spec_has_cpu_scheduling) != 0)
    out << "cpu " << std::hex << spec.cpu_policy << std::dec << ' ' << spec.cpu_priority << '\n';
  if ((spec.flags & wire::spec_has_io_priority) != 0) out << "io " << spec.io_priority << '\n';
  if ((spec.flags & wire::spec_has_bounding_set) != 0) out << "bounding " << spec.bounding_set << '\n';
  if ((spec.flags & wire::spec_has_ambient_set) != 0) out << "ambient " << spec.ambient_set << '\n';
  if ((spec.flags & wire::spec_has_secure_bits) != 0) out << "secure bits " << spec.secure_bits << '\n';
  out << (spec.filter_count > 0 ? "filters " + std::to_string(spec.filter_count) + "\n" : "");
  out << "umask " << std::oct << spec.umask << std::dec << '\n';
  for (std::uint32_t i = 0; i < wire::spec_limits; ++i) {
    if ((spec.limits_set >> i & 1U) != 0)
      out << "limit " << i << ' ' << spec.limits[i].soft << ':' << spec.limits[i].hard << '\n';
  }
  out << "streams " << spec.stdin_index << ' ' << spec.stdout_index << ' ' << spec.stderr_index << '\n';
  std::uint32_t index = 1;
  const auto file = [&](std::size_t i) {
    const StreamFile& stream = launch.launch.files[i];
    out << "descriptor " << index++ << ' ' << stream.path
        << ((stream.flags & O_ACCMODE) == O_RDWR     ? " read-write"
            : (stream.flags & O_ACCMODE) == O_RDONLY ? " read"
                                                     : " write")
        << ((stream.flags & O_CREAT) != 0 ? " create" : "") << ((stream.flags & O_APPEND) != 0 ? " append" : "")
        << ((stream.flags & O_TRUNC) != 0 ? " truncate" : "") << '\n';
  };
  for (std::size_t i = 0; i < launch.launch.files_before_log; ++i) file(i);
  if (launch.launch.has_log)
    out << "descriptor " << index++ << " log of " << launch.launch.log_owner << ':' << launch.launch.log_group << '\n';
  for (std::size_t i = launch.launch.files_before_log; i < launch.launch.files.size(); ++i) file(i);
  if (launch.launch.has_gate) out << "descriptor " << index << " gate\n";
  return out.str();
}

TEST_F(LaunchTest, UnitsAreCompiledAsTheyWereReviewed) {
  std::string texts;
  for (const char* const lines : {
           "ExecStart=/bin/sleep 10\n",
           "ExecStart=/bin/echo \"a b\" $LANG ${LANG}x $MISSING '' %%\nEnvironment=LANG=de A=1 \"B=b b\"\nEnvironment=A=2\n",
           "ExecStart=sh -c true\nType=exec\n",
           "ExecStart=/bin/x\nUser=web\n",
           "ExecStart=/bin/x\nUser=web\nGroup=certs\nSupplementaryGroups=logs "
           "70\nEnvironment=HOME=/mine\nWorkingDirectory=~\n",
           "ExecStart=/bin/x\nUser=4711\nUMask=0077\n",
           "ExecStart=/bin/x\nGroup=certs\n",
           "ExecStart=+/bin/x\nUser=web\n",
           "ExecStart=/bin/x\nNoNewPrivileges=yes\nIgnoreSIGPIPE=no\nNice=-5\nOOMScoreAdjust=-1000\nWorkingDirectory=-/"
           "srv\n",
           "ExecStart=/bin/x\nLimitNOFILE=100:200\nLimitCORE=0\nLimitAS=infinity\n",
           "ExecStart=/bin/x\nStandardOutput=null\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\nStandardOutput=append:/log/out\nStandardError=journal\nType=exec\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\nStandardOutput=inherit\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\nStandardOutput=file:/in\nStandardError=file:/err\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\nStandardOutput=null\nStandardError=file:/in\n",
           "ExecStart=/bin/x\nStandardInput=file:/in\nStandardOutput=append:/in\n",
           "ExecStart=/bin/x\nStandardOutput=file:/log\nStandardError=inherit\n",
           "ExecStart=/bin/x\nStandardOutput=truncate:/log\nStandardError=truncate:/log\n",
           "ExecStart=/bin/x\nStandardOutput=null\nStandardError=append:/err\n",
       }) {
    const auto compiled = compile_text(lines);
    ASSERT_TRUE(compiled) << compiled.error().message();
    texts += std::string{"[Service]\n"} + lines + "---\n" + text_of(*compiled) + "\n";
  }
  const std::string path = std::string{PERDURE_SUPERVISOR_TESTDATA} + "/launches.txt";
  if (std::getenv("PERDURE_REWRITE_GOLDEN") != nullptr) std::ofstream{path, std::ios::binary} << texts;
  std::ostringstream golden;
  golden << std::ifstream{path, std::ios::binary}.rdbuf();
  EXPECT_EQ(texts, golden.str());
}

TEST_F(LaunchTest, AUserOrGroupThatDoesNotExistIsNeverReplacedByRoot) {
  EXPECT_EQ(compile_text("ExecStart=/bin/x\nUser=mallory\n").error().code(), ESRCH);
  EXPECT_EQ(compile_text("ExecStart=/bin/x\nGroup=mallory\n").error().code(), ESRCH);
  EXPECT_EQ(compile_text("ExecStart=/bin/x\nSupplementaryGroups=mallory\n").error().code(), ESRCH);
}

TEST_F(LaunchTest, AnOrdinaryUserCannotStartServicesOfOthers) {
  surroundings.our_uid = 1000;
  surroundings.our_gid = 1000;
  const auto refused = compile_text("ExecStart=/bin/x\nUser=web\n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EPERM);
  EXPECT_EQ(refused.error().message(),
            "User=, Group= or SupplementaryGroups= ask for other rights than those of uid 1000, who runs this instance "
            "(EPERM); run it as root");
  EXPECT_FALSE(compile_text("ExecStart=/bin/x\nGroup=certs\n"));
  EXPECT_FALSE(compile_text("ExecStart=/bin/x\nSupplementaryGroups=certs\n"));
}

TEST_F(LaunchTest, AnOrdinaryUserMayNameHimself) {
  surroundings.our_uid = 33;
  surroundings.our_gid = 34;
  const auto compiled = compile_text("ExecStart=/bin/x\nUser=web\n");
  ASSERT_TRUE(compiled);
  EXPECT_EQ(spec_of(*compiled).flags & wire::spec_set_ids, 0U);
  EXPECT_EQ(compiled->launch.log_owner, 33U);
}

TEST_F(LaunchTest, ABareNameIsFoundInTheSearchPath) {
  directory.put("tool", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((directory / "tool").c_str(), 0755), 0);
  surroundings.search_path = "/nowhere:" + directory.path() + ":/bin";
  EXPECT_EQ(compile_text("ExecStart=tool\n").value().launch.program, directory / "tool");
  EXPECT_EQ(compile_text("ExecStart=no-such-tool\n").value().launch.program, "/nowhere/no-such-tool");
}

TEST_F(LaunchTest, TooMuchIsRefusedAndNotCutOff) {
  std::string lines = "ExecStart=/bin/x\n";
  for (char name = 'A'; name < 'A' + 6; ++name)
    lines += std::string{"Environment="} + name + "=" + std::string(50'000, 'x') + "\n";
  const auto large = compile_text(lines);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().message(), "ExecStart= and Environment= together are larger than 256 KiB (E2BIG)");
  std::string many = "ExecStart=/bin/x";
  for (std::uint32_t i = 0; i < wire::spec_strings_max; ++i) many += " a";
  EXPECT_THAT(compile_text(many + "\n").error().message(), HasSubstr("have more than 4096 entries (E2BIG)"));
}

TEST_F(LaunchTest, AUnitWithoutAProgramIsAnError) {
  const Accounts accounts = Accounts::read(directory / "passwd", directory / "group").value();
  unit::UnitSpec empty{.name = unit::UnitName::parse("web.service").value()};
  EXPECT_EQ(compile(empty, accounts, surroundings).error().message(), "ExecStart= is not set");
}

// ---- what no directive of this version of `unit` gives yet: the spec itself

TEST_F(LaunchTest, IsolationIsCompiledAndPlusCommandsHaveNone) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\nUser=web\nNoNewPrivileges=yes\nLimitCORE=0\n");
  unit::ServiceSpec& service = unit.service;
  service.root_directory = "/srv/root";
  service.bind_mounts = {{.source = "/b", .destination = "/data/sub", .is_read_only = true},
                         {.source = "/a", .destination = "/data", .is_recursive = false, .ignores_missing = true}};
  service.directories[1].names = {"web"};
  service.cpu_scheduling = unit::CpuScheduling{.policy = 3, .resets_on_fork = true};
  service.io_scheduling = unit::IoScheduling{.io_class = 2, .priority = 7};
  service.capability_bounding_set = 0x400;
  service.ambient_capabilities = 0x400;
  service.secure_bits = 4;
  service.system_call_filter = unit::SystemCallFilter{.rules = {{"ptrace", -1}}, .architectures = {"native"}};
  const std::string sandboxed = text_of(compile_unit(unit).value());
  for (const char* const line :
       {"ids 33:34 groups 34 50\n", "no_new_privileges\n", "root /srv/root\n",
        "mount /a at /data flags 4\nmount /b at /data/sub flags 3\nmount /var/lib/web at /var/lib/web flags 2\n",
        "cpu 40000003 0\n", "io 16391\n", "bounding 1024\n", "ambient 1024\n", "secure bits 4\n", "filters 2\n",
        "limit 4 0:0\n", "environment <STATE_DIRECTORY=/var/lib/web>\n"})
    EXPECT_THAT(sandboxed, HasSubstr(line));

  service.exec_start.front().rights = unit::Rights::Full;
  const std::string full = text_of(compile_unit(unit).value());
  for (const char* const line :
       {"ids ", "no_new_privileges", "mount", "bounding", "ambient", "secure", "filters", "limit 4"})
    EXPECT_THAT(full, Not(HasSubstr(line)));
  for (const char* const line :
       {"root /srv/root\n", "cpu 40000003 0\n", "environment <USER=web>\n", "log of 33:34\n", "limit 7 "})
    EXPECT_THAT(full, HasSubstr(line)) << "as systemd: these are no privilege";

  service.exec_start.front().rights = unit::Rights::KeepUser;
  const std::string as_root = text_of(compile_unit(unit).value());
  EXPECT_THAT(as_root, Not(HasSubstr("ids ")));
  EXPECT_THAT(as_root, HasSubstr("filters 2\n"));
  service.exec_start.front().rights = unit::Rights::KeepUserIfNeeded;
  EXPECT_EQ(text_of(compile_unit(unit).value()), sandboxed);
}

TEST_F(LaunchTest, WithoutARootDirectoryDirectoriesAreSeenAsTheyAre) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\n");
  unit.service.directories[0].names = {"web", "web/sub"};
  unit.service.directories[3].names = {"web"};
  surroundings.directory_bases[3] = "";
  const std::string text = text_of(compile_unit(unit).value());
  EXPECT_THAT(text, HasSubstr("environment <RUNTIME_DIRECTORY=/run/web:/run/web/sub>\n"));
  EXPECT_THAT(text, Not(HasSubstr("LOGS_DIRECTORY")));
  EXPECT_THAT(text, Not(HasSubstr("mount")));
}

TEST_F(LaunchTest, AllCapabilitiesAreNoBoundAndInheritedOnesGo) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\n");
  unit.service.capability_bounding_set = ~std::uint64_t{0};
  EXPECT_THAT(text_of(compile_unit(unit).value()), Not(HasSubstr("bounding")));
  surroundings.inherited_ambient = 1;
  EXPECT_THAT(text_of(compile_unit(unit).value()), HasSubstr("ambient 0\n"));
}

TEST_F(LaunchTest, AFilterThatCannotBeCompiledKeepsTheUnitFromStarting) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\n");
  unit.service.system_call_filter = unit::SystemCallFilter{.architectures = {"pdp-11"}};
  EXPECT_THAT(compile_unit(unit).error().message(), HasSubstr("SystemCallArchitectures=pdp-11"));
  unit.service.system_call_filter = unit::SystemCallFilter{.rules = {{"no_such_call", -1}}};
  EXPECT_EQ(compile_unit(unit)->remarks.size(), 1U);
}

TEST_F(LaunchTest, TheEnvironmentIsPutTogetherInSystemdsOrder) {
  unit::UnitSpec unit = load("ExecStart=/bin/echo $A $B $C $D $E\nUser=web\nEnvironment=B=unit C=unit\n");
  directory.put("env", "C=file\nD=file\nBAD NAME=1\nE=\"two words\"\n");
  unit.service.environment_files = {{directory / "env", false}};
  unit.service.pass_environment = {"PASSED", "MISSING", "B", "NOTIFY_SOCKET"};
  unit.service.unset_environment = {"LANG", "D=other", "GONE=1"};
  surroundings.start_environment = {"PASSED=1", "B=passed", "SECRET=x", "NOTIFY_SOCKET=/n"};
  const auto compiled = compile_unit(unit, CommandRole::Start, {"A=moment", "B=moment", "GONE=1", "MAINPID=7"}).value();
  const std::string text = text_of(compiled);
  EXPECT_THAT(text, HasSubstr("argument </bin/echo>\nargument <moment>\nargument <unit>\nargument <file>\nargument "
                              "<file>\nargument <two>\nargument <words>\n"));
  EXPECT_THAT(text,
              HasSubstr("environment <PATH=/usr/bin:/bin>\nenvironment <USER=web>\nenvironment <LOGNAME=web>\nenvironment "
                        "<HOME=/srv/web>\nenvironment <SHELL=/bin/sh>\nenvironment <A=moment>\nenvironment "
                        "<B=unit>\nenvironment <MAINPID=7>\nenvironment <PASSED=1>\nenvironment <C=file>\nenvironment "
                        "<D=file>\nenvironment <E=two words>\nids "));
  EXPECT_EQ(compiled.remarks.size(), 2U) << "a bad name, and what is never passed";
  unit.service.environment_files = {{directory / "none", false}};
  EXPECT_THAT(compile_unit(unit).error().message(), HasSubstr("EnvironmentFile=" + (directory / "none") + ": "));
}

TEST_F(LaunchTest, HomeAndShellThatSayNothingAreNotSet) {
  directory.put("passwd", "web:x:33:34::/:/usr/sbin/nologin\n");
  const std::string text = text_of(compile_text("ExecStart=/bin/x\nUser=web\n").value());
  EXPECT_THAT(text, HasSubstr("<USER=web>"));
  EXPECT_THAT(text, Not(HasSubstr("HOME")));
  EXPECT_THAT(text, Not(HasSubstr("SHELL")));
}

TEST_F(LaunchTest, WhatTheExecutorAddsGivesWayToWhatIsSetOrUnset) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\n");
  EXPECT_THAT(text_of(compile_unit(unit, CommandRole::Start, {"WATCHDOG_USEC=5"}).value()), HasSubstr("watchdog_pid\n"));
  EXPECT_THAT(text_of(compile_unit(unit, CommandRole::Stop, {"WATCHDOG_USEC=5"}).value()), Not(HasSubstr("watchdog_pid\n")));
  unit.service.unset_environment = {"WATCHDOG_PID", "SYSTEMD_EXEC_PID"};
  const std::string text = text_of(compile_unit(unit, CommandRole::Start, {"WATCHDOG_USEC=5", "INVOCATION_ID=0a"}).value());
  EXPECT_THAT(text, Not(HasSubstr("watchdog_pid\n")));
  EXPECT_THAT(text, HasSubstr("no_invocation_id\nno_exec_pid\n"));
}

TEST_F(LaunchTest, OnlyTheStartHasAGate) {
  const unit::UnitSpec unit = load("ExecStart=/bin/x\nType=exec\n");
  EXPECT_TRUE(compile_unit(unit)->launch.has_gate);
  for (const CommandRole role : {CommandRole::Condition, CommandRole::StartPre, CommandRole::StartPost, CommandRole::Reload,
                                 CommandRole::Stop, CommandRole::StopPost}) {
    EXPECT_FALSE(compile_unit(unit, role)->launch.has_gate) << directive_of(role);
  }
}

TEST_F(LaunchTest, ErrorsNameTheCommandsDirective) {
  unit::UnitSpec unit = load("ExecStart=/bin/x\n");
  unit.service.exec_start.front().argv.push_back(std::string(300'000, 'x'));
  EXPECT_EQ(compile_unit(unit, CommandRole::StartPre).error().message(),
            "ExecStartPre= and Environment= together are larger than 256 KiB (E2BIG)");
}

TEST_F(LaunchTest, WhatIsReadForEachSpawnIsKnown) {
  unit::UnitSpec unit = load("ExecStart=/bin/x $A\n");
  EXPECT_FALSE(wants_fresh_compile(unit));
  unit.service.environment_files = {{"/e", true}};
  EXPECT_TRUE(wants_fresh_compile(unit));
  unit = load("ExecStart=/bin/x ${INVOCATION_ID}\n");
  EXPECT_TRUE(wants_fresh_compile(unit));
}

TEST_F(LaunchTest, AUsersServicesBeginAtHome) {
  surroundings.our_uid = 33;
  surroundings.our_gid = 34;
  EXPECT_THAT(text_of(compile_text("ExecStart=/bin/x\n").value()),
              HasSubstr("directory /srv/web\nignore_sigpipe\ncwd_may_fail\n"));
  EXPECT_THAT(text_of(compile_text("ExecStart=/bin/x\nWorkingDirectory=/tmp\n").value()), Not(HasSubstr("cwd_may_fail")));
}

TEST_F(LaunchTest, ProgramsAreSearchedBelowTheRootDirectory) {
  unit::UnitSpec unit = load("ExecStart=sh -c true\n");
  ASSERT_EQ(::mkdir((directory / "bin").c_str(), 0755), 0);
  directory.put("bin/sh", "#!/bin/sh\n");
  ASSERT_EQ(::chmod((directory / "bin/sh").c_str(), 0755), 0);
  surroundings.search_path = "/nowhere:/bin";
  unit.service.root_directory = directory.path();
  EXPECT_EQ(compile_unit(unit)->launch.program, "/bin/sh");
}

}  // namespace
}  // namespace perdure::supervisor
