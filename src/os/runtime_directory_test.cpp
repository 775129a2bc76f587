#include "os/runtime_directory.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "os/system.hpp"

namespace perdure::os {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

constexpr uid_t nobody_here = 12345;

std::string error_of(const Result<std::string>& result) {
  return result ? "no error: " + *result : result.error().message();
}
std::string error_of(const Result<void>& result) { return result ? "no error" : result.error().message(); }

TEST(RuntimeDirectory, TheFirstDirectoryOfTheInitComesFirst) {
  EXPECT_EQ(runtime_directory({.runtime_directory = "/run/a:/run/b", .user = 0}).value(), "/run/a");
  EXPECT_EQ(runtime_directory({.runtime_directory = "/run/a/", .user = nobody_here}).value(), "/run/a");
}

TEST(RuntimeDirectory, ARelativeOneIsIgnored) {
  EXPECT_EQ(runtime_directory({.runtime_directory = "a:/run/b", .user = 0}).value(), "/run");
}

TEST(RuntimeDirectory, RootsIsRunWhateverItsSessionSays) {
  EXPECT_EQ(runtime_directory({.xdg_runtime_dir = "/tmp", .tmpdir = "/tmp", .user = 0}).value(), "/run");
}

TEST(RuntimeDirectory, AUsersIsThatOfTheSession) {
  const ScratchDirectory dir;
  uid_t user = ::geteuid();
  if (user == 0) {
    user = nobody_here;
    ASSERT_EQ(::chown(dir.path().c_str(), user, user), 0);
  }
  EXPECT_EQ(runtime_directory({.xdg_runtime_dir = dir.path() + "/", .user = user}).value(), dir.path());
}

TEST(RuntimeDirectory, ASessionOfSomebodyElseIsPassedOver) {
  const ScratchDirectory session;
  const ScratchDirectory temporary;
  const uid_t user = ::geteuid() == 0 ? nobody_here : ::geteuid();
  const std::string own = temporary / ("perdure-" + std::to_string(user));
  ASSERT_EQ(::mkdir(own.c_str(), 0700), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(own.c_str(), user, user), 0);
  }
  // The session is root's, or "/" for an ordinary user: not `user`'s either way.
  const std::string foreign = ::geteuid() == 0 ? session.path() : "/";
  EXPECT_EQ(runtime_directory({.xdg_runtime_dir = foreign, .tmpdir = temporary.path(), .user = user}).value(), own);
  EXPECT_EQ(runtime_directory({.xdg_runtime_dir = "relative", .tmpdir = temporary.path(), .user = user}).value(), own);
}

TEST(RuntimeDirectory, WithoutASessionAPrivateOneIsMade) {
  const uid_t user = ::geteuid();
  if (user == 0) GTEST_SKIP() << "root's is /run";
  const ScratchDirectory temporary;
  const std::string own = temporary / ("perdure-" + std::to_string(user));
  EXPECT_EQ(runtime_directory({.tmpdir = temporary.path(), .user = user}).value(), own);
  EXPECT_EQ(runtime_directory({.tmpdir = temporary.path(), .user = user}).value(), own) << "also when it is there already";
}

TEST(RuntimeDirectory, ATemporaryDirectoryWhereAnybodyCanRenameIsRefused) {
  const ScratchDirectory temporary;
  ASSERT_EQ(::chmod(temporary.path().c_str(), 0777), 0);
  EXPECT_THAT(error_of(runtime_directory({.tmpdir = temporary.path(), .user = nobody_here})), HasSubstr("no sticky bit"));
  EXPECT_THAT(temporary.names(), ElementsAre());
}

TEST(RuntimeDirectory, OfThisProcessTakesTheEnvironment) {
  ASSERT_EQ(::setenv("RUNTIME_DIRECTORY", "/run/of-a-test", 1), 0);
  EXPECT_EQ(RuntimeSurroundings::of_this_process().runtime_directory, "/run/of-a-test");
  ASSERT_EQ(::unsetenv("RUNTIME_DIRECTORY"), 0);
  EXPECT_EQ(RuntimeSurroundings::of_this_process().runtime_directory, "");
  EXPECT_EQ(RuntimeSurroundings::of_this_process().user, ::geteuid());
}

TEST(PrivateDirectory, IsMadeForItsOwnerOnlyAndAcceptedAgain) {
  const ScratchDirectory dir;
  const mode_t before = ::umask(0);
  EXPECT_TRUE(make_private_directory(dir / "own", ::geteuid()));
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat((dir / "own").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0700U);
  EXPECT_TRUE(make_private_directory(dir / "own", ::geteuid()));
}

TEST(PrivateDirectory, APlantedLinkIsRefusedEvenToADirectoryOfOurs) {
  const ScratchDirectory dir;
  ASSERT_EQ(::mkdir((dir / "elsewhere").c_str(), 0700), 0);
  ASSERT_EQ(::symlink("elsewhere", (dir / "own").c_str()), 0);
  EXPECT_EQ(
      error_of(make_private_directory(dir / "own", ::geteuid())),
      "cannot use the directory " + dir / "own" +
          ": it is a symbolic link, and could lead anywhere; remove it, or set XDG_RUNTIME_DIR to a directory of your own");
}

TEST(PrivateDirectory, ADanglingLinkIsNotFollowedToMakeOne) {
  const ScratchDirectory dir;
  ASSERT_EQ(::symlink("elsewhere", (dir / "own").c_str()), 0);
  EXPECT_THAT(error_of(make_private_directory(dir / "own", ::geteuid())), HasSubstr("it is a symbolic link"));
  EXPECT_THAT(dir.names(), ElementsAre("own"));
}

TEST(PrivateDirectory, AForeignOnesOwnerIsNamed) {
  const ScratchDirectory dir;
  ASSERT_TRUE(make_private_directory(dir / "own", ::geteuid()));
  EXPECT_THAT(error_of(make_private_directory(dir / "own", nobody_here)),
              HasSubstr("it belongs to uid " + std::to_string(::geteuid()) + ", not to uid 12345"));
}

TEST(PrivateDirectory, RightsForOthersAreRefused) {
  const ScratchDirectory dir;
  ASSERT_EQ(::mkdir((dir / "own").c_str(), 0700), 0);
  for (const mode_t mode : {0701U, 0710U, 0740U, 0755U, 0777U, 01777U}) {
    ASSERT_EQ(::chmod((dir / "own").c_str(), mode), 0);
    EXPECT_THAT(error_of(make_private_directory(dir / "own", ::geteuid())), HasSubstr("its mode lets others in"));
  }
}

TEST(PrivateDirectory, AFileInItsPlaceIsRefused) {
  const ScratchDirectory dir;
  dir.put("own", "");
  EXPECT_THAT(error_of(make_private_directory(dir / "own", ::geteuid())), HasSubstr("it is no directory"));
  EXPECT_THAT(error_of(make_private_directory("/nowhere/own", ::geteuid())), HasSubstr("(ENOENT)"));
}

}  // namespace
}  // namespace perdure::os
