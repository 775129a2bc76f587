#include "supervisor/unit_directories.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"
#include "os/scratch_directory.hpp"
#include "supervisor/safe_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using unit::DirectoryKind;

constexpr uid_t somebody = 41000;

class UnitDirectories : public ::testing::Test {
 protected:
  UnitDirectories() {
    EXPECT_EQ(::chmod(top.path().c_str(), 0755), 0);
    for (std::size_t i = 0; i < unit::directory_kind_count; ++i) bases[i] = top / std::string(1, static_cast<char>('a' + i));
  }
  unit::ManagedDirectories& of(DirectoryKind kind) { return service.directories[static_cast<std::size_t>(kind)]; }
  static unit::ManagedDirectories directories(std::vector<std::string> names, std::uint32_t mode) {
    return {.names = std::move(names), .mode = mode};
  }
  [[nodiscard]] std::string path(DirectoryKind kind, const std::string& name) const {
    return bases[static_cast<std::size_t>(kind)] + "/" + name;
  }
  static struct stat status_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status;
  }
  static bool exists(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
  }
  Error failure() {
    auto failed = make_directories(service, bases, owner, remarks);
    return failed ? failed->error : Error{"none"};
  }
  void expect_made() {
    const auto failed = make_directories(service, bases, owner, remarks);
    EXPECT_FALSE(failed) << failed->error.message();
  }
  os::testing::ScratchDirectory top;
  DirectoryBases bases;
  unit::ServiceSpec service;
  User owner{::geteuid() == 0 ? somebody : ::geteuid(), ::geteuid() == 0 ? somebody : ::getegid(), "web", "/", ""};
  std::vector<std::string> remarks;
};

TEST_F(UnitDirectories, AreMadeWithModeAndOwner) {
  of(DirectoryKind::Runtime) = directories({"web", "acme/web"}, 0750);
  of(DirectoryKind::State) = directories({"web"}, 0700);
  of(DirectoryKind::Configuration) = directories({"web"}, 0755);
  const mode_t before = ::umask(0077);
  expect_made();
  ::umask(before);
  EXPECT_EQ(status_of(path(DirectoryKind::Runtime, "web")).st_mode & 07777, 0750U);
  EXPECT_EQ(status_of(path(DirectoryKind::Runtime, "acme/web")).st_uid, owner.uid);
  EXPECT_EQ(status_of(path(DirectoryKind::Runtime, "acme")).st_uid, ::geteuid()) << "what is above it is not the unit's";
  EXPECT_EQ(status_of(path(DirectoryKind::State, "web")).st_mode & 07777, 0700U);
  EXPECT_EQ(status_of(path(DirectoryKind::State, "web")).st_gid, owner.gid);
  EXPECT_EQ(status_of(path(DirectoryKind::Configuration, "web")).st_uid, ::geteuid())
      << "no service writes its configuration";
  expect_made();
  EXPECT_THAT(remarks, IsEmpty());
}

TEST_F(UnitDirectories, WhatIsThereGetsModeAndOwnerButNotTheConfiguration) {
  for (const DirectoryKind kind : {DirectoryKind::Cache, DirectoryKind::Configuration}) {
    ASSERT_EQ(::mkdir(bases[static_cast<std::size_t>(kind)].c_str(), 0755), 0);
    ASSERT_EQ(::mkdir(path(kind, "web").c_str(), 0711), 0);
    of(kind) = directories({"web"}, 0750);
  }
  expect_made();
  EXPECT_EQ(status_of(path(DirectoryKind::Cache, "web")).st_mode & 07777, 0750U);
  EXPECT_EQ(status_of(path(DirectoryKind::Configuration, "web")).st_mode & 07777, 0711U);
  EXPECT_THAT(remarks, ElementsAre("ConfigurationDirectory=web: it is there with mode 711 and not 750, and stays so"));
}

TEST_F(UnitDirectories, ATreeOfAnotherOwnerChangesHandsAndOneOfTheRightOwnerIsNotRead) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  of(DirectoryKind::State) = directories({"web"}, 0755);
  const std::string web = path(DirectoryKind::State, "web");
  ASSERT_EQ(::mkdir(bases[1].c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(web.c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((web + "/sub").c_str(), 0755), 0);
  top.put("b/web/sub/file", "x");
  top.put("outside", "x");
  ASSERT_EQ(::symlink((top / "outside").c_str(), (web + "/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((web + "/fifo").c_str(), 0600), 0);
  expect_made();
  for (const char* const name : {"", "/sub", "/sub/file", "/link", "/fifo"}) {
    EXPECT_EQ(status_of(web + name).st_uid, somebody) << name;
    EXPECT_EQ(status_of(web + name).st_gid, somebody) << name;
  }
  EXPECT_EQ(status_of(top / "outside").st_uid, 0U) << "a link is given, and not what it points to";
  top.put("b/web/later", "x");
  expect_made();
  EXPECT_EQ(status_of(web + "/later").st_uid, 0U);
}

TEST_F(UnitDirectories, AHardLinkOrADeviceIsNeverGivenAway) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  of(DirectoryKind::State) = directories({"web"}, 0755);
  const std::string web = path(DirectoryKind::State, "web");
  ASSERT_EQ(::mkdir(bases[1].c_str(), 0755), 0);
  ASSERT_EQ(::mkdir(web.c_str(), 0755), 0);
  top.put("shadow", "secret");
  ASSERT_EQ(::link((top / "shadow").c_str(), (web + "/mine").c_str()), 0);
  EXPECT_EQ(failure().code(), EMLINK);
  EXPECT_EQ(failure().message(),
            "StateDirectory=web: cannot prepare " + bases[1] +
                "/web: \"mine\" has a second name, under which it may be somebody else's (EMLINK); remove it, or change its "
                "owner by hand");
  EXPECT_EQ(status_of(top / "shadow").st_uid, 0U);
  EXPECT_EQ(status_of(web).st_uid, 0U) << "last of all, so that the next start tries again";
  ASSERT_EQ(::unlink((web + "/mine").c_str()), 0);
  if (::mknod((web + "/null").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0) {
    EXPECT_EQ(failure().code(), EPERM);
  }
}

TEST_F(UnitDirectories, NoLinkLeadsOutOfTheBase) {
  of(DirectoryKind::Logs) = directories({"web"}, 0755);
  ASSERT_EQ(::mkdir(bases[3].c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((top / "outside").c_str(), 0755), 0);
  ASSERT_EQ(::symlink((top / "outside").c_str(), path(DirectoryKind::Logs, "web").c_str()), 0);
  EXPECT_EQ(failure().code(), ELOOP);
  EXPECT_THAT(failure().message(), HasSubstr("is a symbolic link, which may lead anywhere (ELOOP)"));
  of(DirectoryKind::Logs) = directories({"web/sub"}, 0755);
  EXPECT_EQ(failure().code(), ELOOP);
  EXPECT_FALSE(exists(top / "outside/sub"));
  of(DirectoryKind::Logs) = directories({"../outside"}, 0700);
  EXPECT_EQ(failure().code(), EINVAL);
  of(DirectoryKind::Logs) = directories({".."}, 0700);
  EXPECT_EQ(failure().code(), EINVAL);
}

TEST_F(UnitDirectories, WithoutOpenat2TheSameHolds) {
  const os::testing::FaultPlan plan{{.call = os::Call::openat2, .error = ENOSYS, .times = 1000}};
  of(DirectoryKind::Runtime) = directories({"web/deep"}, 0755);
  expect_made();
  ASSERT_EQ(::symlink("/tmp", path(DirectoryKind::Runtime, "link").c_str()), 0);
  top.put("a/web/deep/file", "x");
  ASSERT_TRUE(remove_runtime_directories(service, bases));
  EXPECT_FALSE(exists(path(DirectoryKind::Runtime, "web/deep")));
  of(DirectoryKind::Runtime) = directories({"link"}, 0755);
  EXPECT_EQ(failure().code(), ELOOP);
  EXPECT_EQ(remove_runtime_directories(service, bases).error().code(), ELOOP);
}

TEST_F(UnitDirectories, AFileInTheWayIsSaid) {
  of(DirectoryKind::Cache) = directories({"web"}, 0755);
  ASSERT_EQ(::mkdir(bases[2].c_str(), 0755), 0);
  top.put("c/web", "x");
  EXPECT_EQ(failure().code(), ENOTDIR);
}

TEST_F(UnitDirectories, APlaceThatThisInstanceLacksIsSaid) {
  of(DirectoryKind::Runtime) = directories({"web"}, 0755);
  bases[0] = "";
  EXPECT_THAT(failure().message(), HasSubstr("set XDG_RUNTIME_DIR or HOME"));
  EXPECT_TRUE(remove_runtime_directories(service, bases));
}

TEST_F(UnitDirectories, NothingToMakeCostsNothing) {
  const os::testing::FaultPlan plan{{.nth = 0}};
  expect_made();
  EXPECT_TRUE(remove_runtime_directories(service, bases));
  EXPECT_EQ(plan.calls(), 0U);
}

TEST_F(UnitDirectories, EveryFailureIsAnErrorAndTheNextTryMakesThem) {
  of(DirectoryKind::State) = directories({"acme/web"}, 0750);
  for (unsigned n = 1; n < 100; ++n) {
    bool fired = false;
    {
      const os::testing::FaultPlan plan{{.nth = n, .error = EIO}};
      const auto failed = make_directories(service, bases, owner, remarks);
      fired = plan.fired();
      if (fired && !failed) continue;
      EXPECT_EQ(failed.has_value(), fired) << n;
    }
    if (!fired) break;
    ASSERT_LT(n, 99U);
  }
  expect_made();
}

TEST_F(UnitDirectories, OnlyTheRuntimeDirectoryIsRemovedWithAllInIt) {
  of(DirectoryKind::Runtime) = directories({"web", "acme/web", "never-made"}, 0755);
  of(DirectoryKind::State) = directories({"web"}, 0755);
  service.directories[0].names.pop_back();
  expect_made();
  service.directories[0].names.emplace_back("never/made");
  ASSERT_EQ(::mkdir((path(DirectoryKind::Runtime, "web") + "/x").c_str(), 0000), 0);
  top.put("a/web/file", "x");
  top.put("outside", "x");
  ASSERT_EQ(::symlink((top / "outside").c_str(), (path(DirectoryKind::Runtime, "web") + "/link").c_str()), 0);
  const Result<void> removed = remove_runtime_directories(service, bases);
  if (::geteuid() == 0) {
    EXPECT_TRUE(removed) << removed.error().message();
    EXPECT_FALSE(exists(path(DirectoryKind::Runtime, "web")));
  }
  EXPECT_FALSE(exists(path(DirectoryKind::Runtime, "acme/web")));
  EXPECT_TRUE(exists(path(DirectoryKind::Runtime, "acme")));
  EXPECT_TRUE(exists(path(DirectoryKind::State, "web")));
  EXPECT_TRUE(exists(top / "outside"));
}

TEST_F(UnitDirectories, WhatIsMountedInARuntimeDirectoryIsLeftAlone) {
  of(DirectoryKind::Runtime) = directories({"web"}, 0755);
  expect_made();
  const std::string web = path(DirectoryKind::Runtime, "web");
  ASSERT_EQ(::mkdir((web + "/data").c_str(), 0755), 0);
  ASSERT_EQ(::mkdir((top / "source").c_str(), 0755), 0);
  top.put("source/kept", "x");
  const pid_t copy = ::fork();
  ASSERT_GE(copy, 0);
  if (copy == 0) {
    if (::geteuid() != 0 || ::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount((top / "source").c_str(), (web + "/data").c_str(), nullptr, MS_BIND, nullptr) != 0)
      ::_exit(2);
    const auto removed = remove_runtime_directories(service, bases);
    ::_exit(!removed && removed.error().code() == EXDEV ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(copy, &status, 0), copy);
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "mounting needs root";
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(exists(top / "source/kept"));
}

TEST_F(UnitDirectories, LinksLeadToThemAndGoWithThem) {
  of(DirectoryKind::Runtime) = directories({"web", "acme/web"}, 0755);
  of(DirectoryKind::Runtime).links = {{"old-web", "web"}, {"links/deep/acme", "acme/web"}};
  expect_made();
  expect_made();
  char target[64]{};
  EXPECT_GT(::readlink(path(DirectoryKind::Runtime, "links/deep/acme").c_str(), target, sizeof target - 1), 0);
  EXPECT_STREQ(target, "../../acme/web");
  EXPECT_EQ(status_of(path(DirectoryKind::Runtime, "old-web") + "/.").st_ino,
            status_of(path(DirectoryKind::Runtime, "web")).st_ino);
  ASSERT_TRUE(remove_runtime_directories(service, bases));
  EXPECT_FALSE(exists(path(DirectoryKind::Runtime, "old-web")));
  EXPECT_FALSE(exists(path(DirectoryKind::Runtime, "links/deep/acme")));
}

TEST_F(UnitDirectories, WhatStandsWhereALinkIsWantedStays) {
  of(DirectoryKind::Runtime) = directories({"web"}, 0755);
  of(DirectoryKind::Runtime).links = {{"taken", "web"}};
  ASSERT_EQ(::mkdir(bases[0].c_str(), 0755), 0);
  ASSERT_EQ(::symlink("elsewhere", path(DirectoryKind::Runtime, "taken").c_str()), 0);
  EXPECT_EQ(failure().code(), EEXIST);
  EXPECT_TRUE(remove_runtime_directories(service, bases));
  EXPECT_TRUE(exists(path(DirectoryKind::Runtime, "taken")));
  ASSERT_EQ(::unlink(path(DirectoryKind::Runtime, "taken").c_str()), 0);
  top.put("a/taken", "x");
  EXPECT_EQ(failure().code(), EEXIST);
}

TEST_F(UnitDirectories, AnEndlessTreeIsGivenUp) {
  of(DirectoryKind::Runtime) = directories({"web"}, 0755);
  expect_made();
  UniqueFd at{::open(path(DirectoryKind::Runtime, "web").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  for (std::size_t depth = 0; depth < tree_depth_max + 5; ++depth) {
    ASSERT_EQ(::mkdirat(at.get(), "d", 0755), 0);
    at.reset(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  const auto removed = remove_runtime_directories(service, bases);
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), E2BIG);
  EXPECT_THAT(removed.error().message(), HasSubstr("RuntimeDirectory=web: cannot remove "));
}

TEST(DirectoryKinds, HaveSystemdsExitCodes) {
  EXPECT_EQ(directory_exit_code(DirectoryKind::Runtime), 233);
  EXPECT_EQ(directory_exit_code(DirectoryKind::State), 238);
  EXPECT_EQ(directory_exit_code(DirectoryKind::Cache), 239);
  EXPECT_EQ(directory_exit_code(DirectoryKind::Logs), 240);
  EXPECT_EQ(directory_exit_code(DirectoryKind::Configuration), 241);
}

}  // namespace
}  // namespace perdure::supervisor
