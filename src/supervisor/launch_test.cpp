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

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::HasSubstr;
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
  Result<CompiledLaunch> compile_text(const std::string& lines) const {
    const Accounts accounts = Accounts::read(directory / "passwd", directory / "group").value();
    const unit::UnitName name = unit::UnitName::parse("web.service").value();
    const unit::UnitSource source{"/etc/web.service", "[Service]\n" + lines};
    const auto loaded = unit::load_unit(name, {&source, 1}, unit::Specifiers{});
    EXPECT_TRUE(loaded.value.is_startable) << lines;
    return compile(loaded.value, accounts, surroundings);
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
  constexpr std::array<std::pair<std::uint32_t, const char*>, 4> flags{{{wire::spec_no_new_privileges, "no_new_privileges"},
                                                                        {wire::spec_ignore_sigpipe, "ignore_sigpipe"},
                                                                        {wire::spec_cwd_may_fail, "cwd_may_fail"},
                                                                        {wire::spec_gate, "gate"}}};
  for (const auto& [flag, name] : flags) {
    if ((spec.flags & flag) != 0) out << name << '\n';
  }
  if ((spec.flags & wire::spec_has_nice) != 0) out << "nice " << spec.nice << '\n';
  if ((spec.flags & wire::spec_has_oom_score) != 0) out << "oom_score_adjust " << spec.oom_score_adjust << '\n';
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
  EXPECT_THAT(compile_text(many + "\n").error().message(), HasSubstr("has more than 4096 entries (E2BIG)"));
}

TEST_F(LaunchTest, AUnitWithoutAProgramIsAnError) {
  const Accounts accounts = Accounts::read(directory / "passwd", directory / "group").value();
  unit::UnitSpec empty{.name = unit::UnitName::parse("web.service").value()};
  EXPECT_EQ(compile(empty, accounts, surroundings).error().message(), "ExecStart= is not set");
}

TEST_F(LaunchTest, SpecsStandOneBehindTheOther) {
  SpecFile file = SpecFile::open().value();
  const std::vector<char> first(100, 'a');
  const std::vector<char> second(7, 'b');
  const auto text_at = [&file](off_t offset) {
    char text[8]{};
    return ::pread(file.fd(), text, sizeof text - 1, offset) < 0 ? "?" : std::string{text};
  };
  EXPECT_EQ(file.add(first)->offset, 0U);
  const SpecPlace place = file.add(second).value();
  EXPECT_EQ(place.offset, 100U);
  EXPECT_EQ(place.size, 7U);
  EXPECT_EQ(text_at(100), "") << "written together, and not yet";
  EXPECT_TRUE(file.flush());
  EXPECT_EQ(text_at(100), "bbbbbbb");
  EXPECT_EQ(file.add(first)->offset, 107U);
  EXPECT_TRUE(file.flush());
  EXPECT_EQ(text_at(107), "aaaaaaa");
  EXPECT_TRUE(file.flush()) << "nothing to do";
}

TEST_F(LaunchTest, SpecsThatCannotBeWrittenAreWrittenTheNextTime) {
  SpecFile file = SpecFile::open().value();
  ASSERT_TRUE(file.add(std::vector<char>(10, 'a')));
  {
    const os::testing::FaultPlan plan{{.call = os::Call::pwrite, .error = ENOMEM}};
    EXPECT_EQ(file.flush().error().message(),
              "cannot write the memory file of spawn specs: Cannot allocate memory (ENOMEM)");
  }
  EXPECT_EQ(file.add(std::vector<char>(5, 'b'))->offset, 10U);
  EXPECT_TRUE(file.flush());
  char text[16]{};
  EXPECT_EQ(::pread(file.fd(), text, sizeof text, 0), 15);
  EXPECT_STREQ(text, "aaaaaaaaaabbbbb");
}

}  // namespace
}  // namespace perdure::supervisor
