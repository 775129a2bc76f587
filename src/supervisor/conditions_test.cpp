#include "supervisor/conditions.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using unit::Condition;

class ConditionsTest : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return directory.path() + "/" + name; }
  static bool is_met(const std::string& kind, const std::string& argument) {
    return holds({.kind = kind, .argument = argument});
  }
  os::testing::ScratchDirectory directory{};
};

TEST_F(ConditionsTest, FilesAreLookedAtAsTheyAreNow) {
  EXPECT_FALSE(is_met("PathExists", path("x")));
  std::ofstream{path("x")} << "text";
  std::ofstream{path("empty")};
  std::filesystem::create_directory(path("d"));
  std::filesystem::create_symlink("x", path("link"));
  EXPECT_TRUE(is_met("PathExists", path("x")));
  EXPECT_TRUE(is_met("PathExistsGlob", path("?")));
  EXPECT_FALSE(is_met("PathExistsGlob", path("y*")));
  EXPECT_TRUE(is_met("PathIsDirectory", path("d")));
  EXPECT_FALSE(is_met("PathIsDirectory", path("x")));
  EXPECT_TRUE(is_met("PathIsSymbolicLink", path("link")));
  EXPECT_FALSE(is_met("PathIsSymbolicLink", path("x")));
  EXPECT_FALSE(is_met("DirectoryNotEmpty", path("d")));
  EXPECT_TRUE(is_met("DirectoryNotEmpty", directory.path()));
  EXPECT_TRUE(is_met("FileNotEmpty", path("x")));
  EXPECT_FALSE(is_met("FileNotEmpty", path("empty")));
  EXPECT_FALSE(is_met("FileIsExecutable", path("x")));
  EXPECT_TRUE(is_met("FileIsExecutable", "/bin/sh"));
  EXPECT_TRUE(is_met("PathIsMountPoint", "/proc"));
  EXPECT_FALSE(is_met("PathIsMountPoint", path("d")));
  EXPECT_FALSE(is_met("PathIsReadWrite", "/proc/no/such"));
}

TEST_F(ConditionsTest, TheMachineIsWhatItIs) {
  utsname system{};
  ASSERT_EQ(::uname(&system), 0);
  EXPECT_TRUE(is_met("KernelVersion", ">=5.10"));
  EXPECT_FALSE(is_met("KernelVersion", "<4"));
  EXPECT_TRUE(is_met("KernelVersion", ">=5.10 <99"));
  EXPECT_TRUE(is_met("KernelVersion", system.release));
  EXPECT_TRUE(is_met("Host", system.nodename));
  EXPECT_FALSE(is_met("Host", "no-such-host-anywhere"));
  EXPECT_TRUE(is_met("Architecture", "native"));
  EXPECT_FALSE(is_met("Architecture", "s390"));
  EXPECT_TRUE(is_met("CPUs", ">=1"));
  EXPECT_FALSE(is_met("CPUs", ">100000"));
  EXPECT_TRUE(is_met("Memory", "1M"));
  EXPECT_FALSE(is_met("Memory", ">=1000T"));
  EXPECT_TRUE(is_met("User", std::to_string(::geteuid())));
  EXPECT_EQ(is_met("User", "@system"), ::geteuid() < 1000);
  EXPECT_FALSE(is_met("KernelCommandLine", "no-such-word-in-it"));
  EXPECT_FALSE(is_met("CPUFeature", "no-such-feature"));
  EXPECT_FALSE(is_met("Security", "no-such-module"));
}

TEST_F(ConditionsTest, AllMustHoldAndOfTheTriggersOne) {
  const Condition yes{.kind = "PathExists", .argument = "/proc"};
  const Condition no{.kind = "PathExists", .argument = "/no/such"};
  Condition not_no = no;
  not_no.is_negated = true;
  Condition maybe_no = no;
  maybe_no.is_trigger = true;
  Condition maybe_yes = yes;
  maybe_yes.is_trigger = true;
  EXPECT_TRUE(check({}).is_met);
  EXPECT_TRUE(check(std::vector{yes, not_no}).is_met);
  const ConditionReport missed = check(std::vector{yes, no});
  EXPECT_FALSE(missed.is_met);
  EXPECT_FALSE(missed.is_assert);
  EXPECT_EQ(missed.text, "ConditionPathExists=/no/such is not met");
  EXPECT_TRUE(check(std::vector{maybe_no, maybe_yes, yes}).is_met);
  EXPECT_FALSE(check(std::vector{maybe_no, yes}).is_met) << "a trigger must hold, too";
  EXPECT_FALSE(check(std::vector{maybe_yes, no}).is_met);
}

TEST_F(ConditionsTest, AnAssertionIsAnotherMatterAndAnUnknownKindNeverHolds) {
  const Condition asserted{.kind = "PathExists", .argument = "/no/such", .is_assert = true};
  const ConditionReport report = check(std::vector{asserted});
  EXPECT_TRUE(report.is_assert);
  EXPECT_EQ(report.text, "AssertPathExists=/no/such is not met");
  EXPECT_FALSE(is_met("PhaseOfTheMoon", "full"));
}

}  // namespace
}  // namespace perdure::supervisor
