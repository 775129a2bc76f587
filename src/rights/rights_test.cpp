// What can be said without giving anything up in the test's own process; the rest is tests/integration/rights_test.cpp.
#include "perdure/rights.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/file.hpp"
#include "os/scratch_directory.hpp"
#include "os/system.hpp"
#include "perdure/exit_code.hpp"
#include "rights/proof.hpp"
#include "rights/write_fence.hpp"

namespace perdure {
namespace {

using ::testing::HasSubstr;

TEST(RightsDrop, NothingWantedIsNothingDone) {
  const auto drop = RightsDrop::prepare({});
  ASSERT_TRUE(drop);
  EXPECT_FALSE(drop->is_asked_for());
  EXPECT_FALSE(drop->new_user());
  const auto report = drop->carry_out({});
  ASSERT_TRUE(report);
  EXPECT_EQ(report->summary, "");
}

TEST(RightsDrop, ASuccessorGivesUpWhatIsStillThereAndNothingTwice) {
  const std::string own = std::to_string(::geteuid()), group = std::to_string(::getegid());
  // A new root directory that does not exist: whoever has nothing left to do never looks for it.
  const auto again = RightsDrop::prepare_successor({.user = own, .group = group, .chroot = "/nowhere"});
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_TRUE(again->is_asked_for());
  EXPECT_FALSE(again->new_user());
  const auto report = again->carry_out({});
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->summary, HasSubstr("as its predecessor left it"));

  EXPECT_EQ(RightsDrop::prepare_successor({.user = "no-such-user"}).error().exit_code(), exit_configuration);
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto other = RightsDrop::prepare_successor({.user = "61234", .group = "61235"});
  ASSERT_TRUE(other);
  EXPECT_EQ(other->new_user(), 61234U) << "its predecessor ran as root";
}

TEST(RightsDrop, WhatIsWrongIsToldFromWhatIsForbidden) {
  const auto unknown = RightsDrop::prepare({.user = "no-such-user"});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().exit_code(), exit_configuration);
  const auto relative = RightsDrop::prepare({.chroot = "jail"});
  ASSERT_FALSE(relative);
  EXPECT_EQ(relative.error().exit_code(), exit_configuration);
  EXPECT_EQ(relative.error().message(), "cannot make \"jail\" the root directory: an absolute path is wanted");
  EXPECT_FALSE(RightsDrop::prepare({.writable = {"here"}}));
  if (::geteuid() == 0) return;
  const auto forbidden = RightsDrop::prepare({.user = "root"});
  ASSERT_FALSE(forbidden);
  EXPECT_EQ(forbidden.error().exit_code(), exit_rights);
  EXPECT_THAT(forbidden.error().message(), HasSubstr("start it as root"));
}

TEST(RightsDrop, ADirectoryIsMadeForTheNewUserOnly) {
  const os::testing::ScratchDirectory dir;
  const std::string place = dir / "own";
  const auto itself = RightsDrop::prepare({.user = std::to_string(::geteuid()), .group = std::to_string(::getegid())});
  ASSERT_TRUE(itself) << itself.error().message();
  EXPECT_FALSE(*itself->make_directory(place));
  EXPECT_NE(::access(place.c_str(), F_OK), 0);
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const auto other = RightsDrop::prepare({.user = "61234", .group = "61235"});
  EXPECT_TRUE(*other->make_directory(place));
  EXPECT_FALSE(*other->make_directory(place)) << "there already";
  struct stat status {};
  ASSERT_EQ(::stat(place.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 61234U);
  EXPECT_EQ(status.st_gid, 61235U);
  EXPECT_EQ(status.st_mode & 07777U, 0755U);
  EXPECT_FALSE(other->make_directory(dir / "a/b"));
}

TEST(RightsDrop, GivenAwayIsOnlyWhatIsOursAndHasOneName) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  const os::testing::ScratchDirectory dir;
  const auto other = RightsDrop::prepare({.user = "61234", .group = "61235"});
  ASSERT_TRUE(other);
  const auto owner_after_giving = [&](const std::string& path) {
    EXPECT_TRUE(other->give(path));
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_uid : 99U;
  };
  const auto file = [&](const char* name) {
    const std::string path = dir / name;
    EXPECT_TRUE(os::write_file_atomically(path, "x", 0600));
    return path;
  };
  EXPECT_EQ(owner_after_giving(file("own")), 61234U);
  const std::string precious = file("precious"), linked = dir / "linked", link = dir / "link", theirs = file("theirs");
  ASSERT_EQ(::link(precious.c_str(), linked.c_str()), 0);
  EXPECT_EQ(owner_after_giving(linked), 0U) << "a second name of something else";
  ASSERT_EQ(::symlink(theirs.c_str(), link.c_str()), 0);
  EXPECT_EQ(owner_after_giving(link), 0U);
  ASSERT_EQ(::chown(theirs.c_str(), 4321, 4321), 0);
  EXPECT_EQ(owner_after_giving(theirs), 4321U);
  EXPECT_EQ(owner_after_giving(dir.path()), 0U) << "a directory";
  EXPECT_FALSE(other->give(dir / "missing"));
}

TEST(Proof, RootThatIsStillThereIsFound) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  os::sys::CapabilitySets sets;
  ASSERT_EQ(os::sys::capget(&sets), 0);
  EXPECT_THAT(rights::prove_no_way_back(0).error().message(), HasSubstr("and not no capabilities"));
  const rights::Identity nobody{.user = 61234, .group = 61235, .user_name = "x"};
  EXPECT_THAT(rights::prove_identity(nobody, rights::Groups::AsFound).error().message(),
              HasSubstr("the user is 0/0/0 and not 61234"));
}

TEST(WriteFence, FencesWhatTheKernelKnowsAndNothingElse) {
  // linux/landlock.h: MAKE_SYM is 12, REFER 13 (ABI 2), TRUNCATE 14 (ABI 3); 0, 2 and 3 execute and read.
  EXPECT_EQ(rights::fenced_rights(1), 0x1FF2U);
  EXPECT_EQ(rights::fenced_rights(2), 0x3FF2U);
  EXPECT_EQ(rights::fenced_rights(3), 0x7FF2U);
  EXPECT_EQ(rights::fenced_rights(7), 0x7FF2U);
}

}  // namespace
}  // namespace perdure
