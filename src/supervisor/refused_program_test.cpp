// The words themselves are in testdata/failure_texts.txt; here is what they depend on: rights, directories, machines.
#include "supervisor/refused_program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "wire/spawn_spec.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RefusedProgram : public ::testing::Test {
 protected:
  RefusedProgram() { EXPECT_EQ(::chmod(directory.path().c_str(), 0755), 0); }
  std::string make(const std::string& name, const std::string& content, mode_t mode = 0755) {
    directory.put(name, content);
    EXPECT_EQ(::chmod((directory / name).c_str(), mode), 0);
    return directory / name;
  }
  void make_directory(const std::string& name, mode_t mode) {
    ASSERT_EQ(::mkdir((directory / name).c_str(), 0700), 0);
    ASSERT_EQ(::chmod((directory / name).c_str(), mode), 0);
  }
  std::string closed(const std::string& name, const std::string& mode) {
    return fmt::format("the directory {} (mode {}, uid {}, gid {}) does not let uid {} through", directory / name, mode,
                       ::geteuid(), ::getegid(), stranger.user);
  }
  os::testing::ScratchDirectory directory;
  const Rights stranger{::geteuid() + 1000, {::getegid() + 1000}};
};

TEST_F(RefusedProgram, TheClosedDirectoryIsNamedAlsoBehindLinks) {
  make_directory("open", 0755);
  make_directory("open/closed", 0700);
  make_directory("open/closed/deep", 0755);
  make("open/closed/deep/x", "#!/bin/sh\n");
  EXPECT_EQ(why_not_executed(EACCES, directory / "open/closed/deep/x", stranger), closed("open/closed", "700"));
  ASSERT_EQ(::symlink("closed/deep/../deep//./x", (directory / "open/relative").c_str()), 0);
  EXPECT_EQ(why_not_executed(EACCES, directory / "open/relative", stranger), closed("open/closed", "700"));
  ASSERT_EQ(::symlink((directory / "open/relative").c_str(), (directory / "absolute").c_str()), 0);
  EXPECT_EQ(why_not_executed(EACCES, directory / "absolute", stranger), closed("open/closed", "700"));
  ASSERT_EQ(::symlink("loop", (directory / "loop").c_str()), 0);
  EXPECT_THAT(why_not_executed(EACCES, directory / "loop", stranger), HasSubstr("look right"));
  EXPECT_THAT(why_not_executed(EACCES, "/../../x/..", stranger), HasSubstr("look right"));
}

TEST_F(RefusedProgram, TheInterpretersDirectoryCountsToo) {
  make_directory("closed", 0750);
  make("closed/sh", "\177ELF");
  const std::string script = make("script", "#! " + (directory / "closed/sh") + " -e\n");
  EXPECT_EQ(why_not_executed(EACCES, script, stranger),
            fmt::format("the interpreter \"{}\" of its first line: {}", directory / "closed/sh", closed("closed", "750")));
  EXPECT_THAT(why_not_executed(EACCES, script, {stranger.user, {::getegid()}}), HasSubstr("look right"));
}

// What access(2) answers to a process that has become the owner, a member of the group, or neither, is what we say for it.
TEST_F(RefusedProgram, PermissionsAreWeighedAsTheKernelDoes) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  constexpr uid_t owner = 41000;
  constexpr gid_t group = 42000;
  constexpr int could_not_become = 0xFF;  // file 0 is executable for nobody, so no answer has all bits
  std::array<std::string, 8> programs;
  for (mode_t bits = 0; bits < programs.size(); ++bits) {
    const mode_t mode = (bits & 4U) << 4U | (bits & 2U) << 2U | (bits & 1U);
    programs[bits] = make("x" + std::to_string(bits), "\177ELF", 0644 | mode);
    ASSERT_EQ(::chown(programs[bits].c_str(), owner, group), 0);
  }
  const std::array<Rights, 5> all{Rights{owner, {group}}, Rights{owner, {1}}, Rights{7, {group}}, Rights{7, {1, group}},
                                  Rights{7, {1}}};
  for (const Rights& rights : all) {
    const pid_t copy = ::fork();
    ASSERT_GE(copy, 0);
    if (copy == 0) {
      if (::setgroups(rights.groups.size(), rights.groups.data()) != 0 || ::setgid(rights.groups[0]) != 0 ||
          ::setuid(rights.user) != 0)
        ::_exit(could_not_become);
      int allowed = 0;
      for (unsigned bits = 0; bits < programs.size(); ++bits) {
        if (::access(programs[bits].c_str(), X_OK) == 0) allowed |= 1 << bits;
      }
      ::_exit(allowed);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(copy, &status, 0), copy);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_NE(WEXITSTATUS(status), could_not_become);
    for (unsigned bits = 0; bits < programs.size(); ++bits) {
      const bool is_allowed = (WEXITSTATUS(status) >> bits & 1) != 0;
      EXPECT_EQ(why_not_executed(EACCES, programs[bits], rights).find("look right") != std::string::npos, is_allowed)
          << bits << " for uid " << rights.user << " gid " << rights.groups[0];
    }
  }
}

TEST_F(RefusedProgram, RootIsStoppedByNoDirectoryAndNeedsAnyExecuteBit) {
  const Rights root{0, {0}};
  make_directory("closed", 0700);
  EXPECT_THAT(why_not_executed(EACCES, make("closed/x", "\177ELF", 0711), root), HasSubstr("look right"));
  EXPECT_EQ(why_not_executed(EACCES, make("closed/y", "\177ELF", 0644), root), "it has no execute permission; chmod +x it");
}

enum Mounted : int { Told = 0, NotPermitted = 2, NotRefused = 3, OtherWords = 4 };

Mounted execute_on_a_noexec_mount(const std::string& place) {
  if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0) return NotPermitted;
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return NotPermitted;
  if (::mount("tmpfs", place.c_str(), "tmpfs", MS_NOEXEC, "size=64k,mode=0755") != 0) return NotPermitted;
  const std::string program = place + "/x";
  std::ofstream{program} << "#!/bin/sh\n";
  if (::chmod(program.c_str(), 0755) != 0) return NotPermitted;
  std::array<char*, 1> nothing{nullptr};
  ::execve(program.c_str(), nothing.data(), nothing.data());
  if (errno != EACCES) return NotRefused;
  return why_not_executed(EACCES, program, our_rights()) == "its file system is mounted noexec" ? Told : OtherWords;
}

TEST_F(RefusedProgram, AFileSystemThatIsMountedNoexecIsSaid) {
  make_directory("disk", 0755);
  const pid_t copy = ::fork();
  ASSERT_GE(copy, 0);
  if (copy == 0) ::_exit(execute_on_a_noexec_mount(directory / "disk"));
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == NotPermitted) GTEST_SKIP() << "mounting needs root";
  EXPECT_EQ(WEXITSTATUS(status), Told);
}

TEST_F(RefusedProgram, AFileSystemThatCannotBeAskedIsNoReason) {
  const os::testing::FaultPlan plan{{.call = os::Call::statvfs, .error = ENOSYS}};
  EXPECT_THAT(why_not_executed(EACCES, make("x", "\177ELF"), our_rights()), HasSubstr("look right"));
}

struct Elf {
  bool is_64_bit = true;
  bool is_big_endian = false;
  unsigned machine = EM_X86_64;
  unsigned type = ET_EXEC;
  std::uint64_t programs = 1;
};

/// 4 KiB that begin with an ELF header in which what matters is filled in.
std::string bytes_of(const Elf& elf) {
  std::string bytes(4096, '\0');
  std::memcpy(bytes.data(), ELFMAG, SELFMAG);
  bytes[EI_CLASS] = elf.is_64_bit ? ELFCLASS64 : ELFCLASS32;
  bytes[EI_DATA] = elf.is_big_endian ? ELFDATA2MSB : ELFDATA2LSB;
  const auto put = [&](std::size_t offset, std::size_t width, std::uint64_t value) {
    for (std::size_t i = 0; i < width; ++i)
      bytes[offset + (elf.is_big_endian ? width - 1 - i : i)] = static_cast<char>(value >> 8 * i);
  };
  put(16, 2, elf.type);
  put(18, 2, elf.machine);
  put(elf.is_64_bit ? 32 : 28, elf.is_64_bit ? 8 : 4, elf.is_64_bit ? 64 : 52);
  put(elf.is_64_bit ? 54 : 42, 2, elf.is_64_bit ? 56 : 32);
  put(elf.is_64_bit ? 56 : 44, 2, elf.programs);
  return bytes;
}

TEST_F(RefusedProgram, AProgramForAnotherMachineIsToldByItsName) {
  const auto told = [this](const Elf& elf) { return why_not_executed(ENOEXEC, make("elf", bytes_of(elf)), our_rights()); };
  EXPECT_THAT(told({.is_big_endian = true, .machine = EM_S390}),
              HasSubstr("the ELF file is made for s390 (64 bit, big-endian), and this machine runs "));
  EXPECT_THAT(told({.machine = EM_RISCV}), HasSubstr("is made for RISC-V (64 bit), "));
  EXPECT_THAT(told({.is_64_bit = false, .is_big_endian = true, .machine = EM_MIPS}),
              HasSubstr("is made for MIPS (32 bit, big-endian), "));
  EXPECT_THAT(told({.is_64_bit = false, .machine = 0x7777}), HasSubstr("is made for machine number 30583 (32 bit), "));
}

TEST_F(RefusedProgram, AProgramForThisMachineIsCutDamagedOrNone) {
  std::ifstream self{"/proc/self/exe", std::ios::binary};
  std::string head(64, '\0');
  ASSERT_TRUE(self.read(head.data(), static_cast<std::streamsize>(head.size())));
  const bool is_64_bit = head[EI_CLASS] == ELFCLASS64, is_big_endian = head[EI_DATA] == ELFDATA2MSB;
  const auto byte = [&head](std::size_t at) { return static_cast<unsigned char>(head[at]); };
  const unsigned machine = is_big_endian ? byte(18) << 8U | byte(19) : byte(19) << 8U | byte(18);
  const auto told = [&](unsigned type, std::uint64_t programs, std::size_t size) {
    const std::string program = make("elf", bytes_of({is_64_bit, is_big_endian, machine, type, programs}).substr(0, size));
    std::array<char*, 1> nothing{nullptr};
    ::execve(program.c_str(), nothing.data(), nothing.data());
    EXPECT_EQ(errno, ENOEXEC);
    return why_not_executed(ENOEXEC, program, our_rights());
  };
  EXPECT_EQ(told(ET_EXEC, 1, 20), "the ELF file is cut short: 20 bytes are less than its header");
  EXPECT_EQ(told(ET_EXEC, 9, 100), "the ELF file is cut short: its program headers lie behind its 100 bytes");
  EXPECT_EQ(told(ET_REL, 0, 4096), "it is an object file that has not been linked");
  EXPECT_EQ(told(ET_CORE, 1, 4096), "it is a core dump");
  EXPECT_THAT(told(ET_EXEC, 0, 4096), HasSubstr("the ELF file is damaged, or of a kind that this kernel does not run: "));
}

TEST_F(RefusedProgram, NoBytesCanHurt) {
  unsigned state = 7;
  for (int round = 0; round < 500; ++round) {
    std::string bytes = round % 2 == 0 ? bytes_of({}) : "#! /bin/sh -x\n";
    bytes.resize(state % 300);
    for (char& byte : bytes) {
      state = state * 1103515245U + 12345U;
      if ((state >> 16U) % 8 == 0) byte = static_cast<char>(state >> 20U);
    }
    state = state * 1103515245U + 12345U;
    const std::string program = make("x", bytes);
    for (const int error : {ENOENT, EACCES, ENOEXEC}) {
      const std::string told = why_not_executed(error, program, our_rights());
      ASSERT_EQ(told.find('\n'), std::string::npos);
    }
  }
}

class RightsInSpec : public ::testing::Test {
 protected:
  static std::string bytes_of(const wire::SpawnSpec& spec, const std::vector<std::uint32_t>& groups) {
    std::string bytes(sizeof spec + groups.size() * sizeof(std::uint32_t), '\0');
    std::memcpy(bytes.data(), &spec, sizeof spec);
    if (!groups.empty()) std::memcpy(bytes.data() + sizeof spec, groups.data(), groups.size() * sizeof(std::uint32_t));
    return bytes;
  }
  Rights rights_of(const std::string& bytes) {
    directory.put("specs", "before" + bytes);
    const UniqueFd file{::open((directory / "specs").c_str(), O_RDONLY | O_CLOEXEC)};
    return rights_in_spec(file.get(), {.offset = 6, .size = static_cast<std::uint32_t>(bytes.size())});
  }
  os::testing::ScratchDirectory directory;
};

TEST_F(RightsInSpec, AreThoseThatTheExecutorTakesOn) {
  wire::SpawnSpec spec;
  spec.flags = wire::spec_set_ids;
  spec.user = 1000;
  spec.group = 100;
  spec.groups = sizeof spec;
  spec.group_count = 2;
  const Rights rights = rights_of(bytes_of(spec, {7, 8}));
  EXPECT_EQ(rights.user, 1000U);
  EXPECT_THAT(rights.groups, ElementsAre(100U, 7U, 8U));
}

TEST_F(RightsInSpec, AreOursWhereNothingIsChangedOrNothingCanBeRead) {
  const Rights ours = our_rights();
  EXPECT_EQ(ours.user, ::geteuid());
  EXPECT_EQ(ours.groups.front(), ::getegid());
  wire::SpawnSpec spec;
  spec.user = ours.user + 1;
  EXPECT_EQ(rights_of(bytes_of(spec, {})).user, ours.user);
  spec.flags = wire::spec_set_ids;
  spec.groups = sizeof spec;
  spec.group_count = 2;
  EXPECT_EQ(rights_of(bytes_of(spec, {})).user, ours.user) << "the groups are missing";
  spec.group_count = ~0U;
  EXPECT_EQ(rights_of(bytes_of(spec, {})).user, ours.user);
  EXPECT_EQ(rights_in_spec(-1, {.offset = 0, .size = 4096}).user, ours.user);
  EXPECT_EQ(rights_in_spec(-1, {}).user, ours.user);
}

TEST_F(RightsInSpec, KnowWhetherTheServiceSeesOtherFiles) {
  wire::SpawnSpec spec;
  EXPECT_FALSE(rights_of(bytes_of(spec, {})).sees_other_files);
  spec.root_directory = sizeof spec;
  EXPECT_TRUE(rights_of(bytes_of(spec, {})).sees_other_files);
  spec.root_directory = 0;
  spec.mount_count = 1;
  spec.flags = wire::spec_set_ids;
  spec.groups = sizeof spec;
  const Rights rights = rights_of(bytes_of(spec, {}));
  EXPECT_TRUE(rights.sees_other_files);
  EXPECT_THAT(why_not_executed(ENOENT, "/bin/sh", rights), HasSubstr("RootDirectory="));
  EXPECT_THAT(why_not_executed(ETXTBSY, "/bin/sh", rights), HasSubstr("open for writing"));
}

}  // namespace
}  // namespace perdure::supervisor
