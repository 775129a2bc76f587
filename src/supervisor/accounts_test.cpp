#include "supervisor/accounts.hpp"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/scratch_directory.hpp"

namespace perdure::supervisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class AccountsTest : public ::testing::Test {
 protected:
  Accounts read(const std::string& passwd, const std::string& group = {}) {
    directory.put("passwd", passwd);
    directory.put("group", group);
    return Accounts::read(directory / "passwd", directory / "group").value();
  }
  os::testing::ScratchDirectory directory;
};

constexpr const char* users =
    "root:x:0:0:root:/root:/bin/bash\n"
    "www-data:x:33:34:www:/var/www:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
constexpr const char* groups =
    "root:x:0:\n"
    "adm:x:4:syslog,www-data\n"
    "www-data:x:34:www-data\n"
    "ssl-cert:x:110:postgres,www-data,nobody\n";

TEST_F(AccountsTest, AUserIsKnownByName) {
  const User user = read(users, groups).user("www-data").value();
  EXPECT_EQ(user.uid, 33U);
  EXPECT_EQ(user.gid, 34U);
  EXPECT_EQ(user.home, "/var/www");
  EXPECT_EQ(user.shell, "/usr/sbin/nologin");
}

TEST_F(AccountsTest, AUserIsKnownByNumber) { EXPECT_EQ(read(users, groups).user("33").value().name, "www-data"); }

TEST_F(AccountsTest, ANumberWithoutAnEntryIsAUserInTheGroupOfTheSameNumber) {
  const User user = read(users).user("4294967294").value();
  EXPECT_EQ(user.uid, 4294967294U);
  EXPECT_EQ(user.gid, 4294967294U);
  EXPECT_EQ(user.name, "");
}

TEST_F(AccountsTest, WhatIsNoPlainDecimalNumberIsNeverTakenForOne) {
  const Accounts accounts = read(users, groups);
  for (const char* const word : {"0x0", "0x21", "0day", "-1", "+0", " 0", "0 ", "00", "033", "4294967295", "4294967296",
                                 "18446744073709551616", "3.3", "٣", ""}) {
    const auto user = accounts.user(word);
    ASSERT_FALSE(user) << word;
    EXPECT_EQ(user.error().code(), ESRCH) << word;
    EXPECT_FALSE(accounts.group(word)) << word;
  }
}

TEST_F(AccountsTest, AMissingUserIsSaidWithTheDirective) {
  EXPECT_EQ(read(users).user("mallory").error().message(),
            "User=mallory: no such user in " + directory.path() + "/passwd (ESRCH)");
  EXPECT_EQ(read(users).group("mallory").error().message(),
            "Group=mallory: no such group in " + directory.path() + "/group (ESRCH)");
}

TEST_F(AccountsTest, GarbageLinesAreNobody) {
  const Accounts accounts = read(
      "\n:::::::\n::0:0::/root:/bin/sh\n+::::::\n-@netgroup\nshort:x:0\nhex:x:0x0:0::/:/bin/sh\nbig:x:99999999999:1::/:/bin/"
      "sh\n"
      "none:x:4294967295:1::/:/bin/sh\nminus:x:-1:1::/:/bin/sh\nblank:x: 0:0::/:/bin/sh\n" +
          std::string(100'000, ':') + "\n" + users,
      "\n::::\n:x:0:\nshort:x\nhex:x:0x0:\n" + std::string(100'000, ',') + "\nend:x:7:");
  for (const char* const word : {"", "short", "hex", "big", "none", "minus", "blank", "+", "-@netgroup"}) {
    EXPECT_FALSE(accounts.user(word)) << word;
    EXPECT_FALSE(accounts.group(word)) << word;
  }
  EXPECT_EQ(accounts.user("nobody").value().uid, 65534U);
  EXPECT_EQ(accounts.group("end").value(), 7U) << "a last line without a newline counts";
}

TEST_F(AccountsTest, TheGroupsOfAUserAreItsOwnAndThoseThatListIt) {
  const Accounts accounts = read(users, groups);
  EXPECT_THAT(accounts.groups_of(accounts.user("www-data").value()), ElementsAre(4, 34, 110));
  EXPECT_THAT(accounts.groups_of(accounts.user("5000").value()), ElementsAre(5000));
}

TEST_F(AccountsTest, AFileThatCannotBeReadIsAnErrorAndNotAnEmptyList) {
  directory.put("passwd", users);
  ASSERT_EQ(::mkdir((directory / "group").c_str(), 0700), 0);
  const auto accounts = Accounts::read(directory / "passwd", directory / "group");
  ASSERT_FALSE(accounts);
  EXPECT_THAT(accounts.error().message(), HasSubstr("EISDIR"));
}

TEST_F(AccountsTest, WithoutTheFilesNobodyHasANameAndNumbersMeanThemselves) {
  const auto accounts = Accounts::read(directory / "passwd", directory / "group");
  ASSERT_TRUE(accounts) << accounts.error().message();
  EXPECT_EQ(accounts->user("root").error().code(), ESRCH);
  EXPECT_EQ(accounts->group("root").error().code(), ESRCH);
  EXPECT_EQ(accounts->user("33").value().gid, 33U);
  EXPECT_EQ(accounts->group("33").value(), 33U);
  directory.put("passwd", users);
  EXPECT_EQ(Accounts::read(directory / "passwd", directory / "group").value().user("root").value().uid, 0U);
}

TEST_F(AccountsTest, AChangeIsSeenAndNothingElseIsReadAgain) {
  Accounts accounts = read(users, groups);
  EXPECT_EQ(accounts.refresh().value(), false);
  directory.put("passwd", std::string{users} + "new:x:5:6::/:/bin/sh\n");
  EXPECT_EQ(accounts.refresh().value(), true);
  EXPECT_EQ(accounts.user("new").value().uid, 5U);
  EXPECT_EQ(accounts.refresh().value(), false);
  ASSERT_EQ(::rename((directory / "passwd").c_str(), (directory / "gone").c_str()), 0);
  EXPECT_EQ(accounts.refresh().value(), true);
  EXPECT_FALSE(accounts.user("new"));
  EXPECT_EQ(accounts.refresh().value(), false) << "it is still not there";
}

TEST_F(AccountsTest, AreOfAnotherGenerationWhereAnAnswerMayBeAnother) {
  Accounts accounts = read(users, groups);
  const std::uint64_t first = accounts.generation();
  EXPECT_TRUE(accounts.user("www-data"));
  EXPECT_FALSE(accounts.user("alice"));
  EXPECT_FALSE(accounts.refresh().value());
  EXPECT_EQ(accounts.generation(), first);
  directory.put("passwd", std::string{users} + "alice:x:7:7::/:/bin/sh\n");
  EXPECT_TRUE(accounts.refresh().value());
  EXPECT_NE(accounts.generation(), first);
  const std::uint64_t second = accounts.generation();
  accounts.ask_with([](const std::string&, const std::string&, std::chrono::milliseconds) -> Result<std::string> {
    return Error{"", ENOENT};
  });
  EXPECT_EQ(accounts.generation(), second);
  static_cast<void>(accounts.user("bob"));
  EXPECT_NE(accounts.generation(), second);
}

TEST_F(AccountsTest, WhatCannotBeReadAgainStaysKnown) {
  Accounts accounts = read(users, groups);
  ASSERT_EQ(::unlink((directory / "group").c_str()), 0);
  ASSERT_EQ(::mkdir((directory / "group").c_str(), 0700), 0);
  EXPECT_FALSE(accounts.refresh());
  EXPECT_EQ(accounts.group("adm").value(), 4U);
}

// ---- the name service

std::vector<std::string> questions;
Result<std::string> answer(const std::string& database, const std::string& key, std::chrono::milliseconds within) {
  questions.push_back(database + " " + key);
  if (key == "alice" && database == "passwd") return std::string{"alice:*:7000:7001:Alice:/home/alice:/bin/zsh"};
  if (key == "alice" && database == "initgroups") return std::string{"alice                 7001 4 7002 x -1"};
  if (key == "staff" && database == "group") return std::string{"staff:*:7005:"};
  if (key == "other") return std::string{"somebody:*:0:0::/:/bin/sh"};
  if (key == "slow") {
    EXPECT_LE(within, name_service_wait_max);
    return Error{"the name service did not answer in time (ETIMEDOUT)", ETIMEDOUT};
  }
  return Error{"there is no such entry (ESRCH)", ESRCH};
}

class NameServiceTest : public AccountsTest {
 protected:
  NameServiceTest() { questions.clear(); }
  Accounts asking() {
    Accounts accounts = read(users, groups);
    accounts.ask_with(&answer);
    return accounts;
  }
};

TEST_F(NameServiceTest, IsAskedForWhatNoFileHas) {
  const Accounts accounts = asking();
  const User alice = accounts.user("alice").value();
  EXPECT_EQ(alice.uid, 7000U);
  EXPECT_EQ(alice.home, "/home/alice");
  EXPECT_THAT(accounts.groups_of(alice), ElementsAre(4, 7001, 7002));
  EXPECT_EQ(accounts.group("staff").value(), 7005U);
  EXPECT_TRUE(accounts.user("alice"));
  EXPECT_TRUE(accounts.user("www-data"));
  EXPECT_TRUE(accounts.user("4711"));
  EXPECT_THAT(questions, ElementsAre("passwd alice", "initgroups alice", "group staff")) << "each once, and no number";
}

TEST_F(NameServiceTest, SaysSoWhereItHasNoAnswer) {
  const Accounts accounts = asking();
  EXPECT_EQ(accounts.user("mallory").error().message(),
            "User=mallory: no such user in " + directory.path() + "/passwd, and the name service has none (ESRCH)");
  const auto slow = accounts.group("slow");
  EXPECT_EQ(slow.error().code(), ETIMEDOUT);
  EXPECT_EQ(slow.error().message(), "Group=slow: no such group in " + directory.path() +
                                        "/group, and the name service did not answer in time (ETIMEDOUT)");
  EXPECT_FALSE(accounts.group("slow"));
  EXPECT_EQ(questions.size(), 2U) << "it is not asked again at once";
  EXPECT_EQ(accounts.user("other").error().code(), EINVAL) << "an answer about somebody else is none";
}

TEST_F(NameServiceTest, IsNeverAskedForWhatCanBeNoName) {
  const Accounts accounts = asking();
  for (const char* const word : {"", "-s", "a:b", "a b", "../x"}) EXPECT_FALSE(accounts.user(word)) << word;
  EXPECT_THAT(questions, ElementsAre());
}

TEST_F(NameServiceTest, KeepsNobodyWaitingLongerThanAllowedAltogether) {
  Accounts accounts = read(users, groups);
  static std::chrono::milliseconds allowed{0};
  allowed = {};
  accounts.ask_with([](const std::string&, const std::string&, std::chrono::milliseconds within) -> Result<std::string> {
    allowed += within;
    const timespec pause{0, 30'000'000};
    ::nanosleep(&pause, nullptr);
    return Error{"", ETIMEDOUT};
  });
  static_cast<void>(accounts.user("a"));
  EXPECT_EQ(allowed, name_service_wait_max);
  allowed = {};
  static_cast<void>(accounts.user("b"));
  EXPECT_LT(allowed, name_service_wait_max);
}

TEST(NameService, IsGetent) {
  if (::access("/usr/bin/getent", X_OK) != 0) GTEST_SKIP() << "no getent here";
  using namespace std::chrono_literals;
  EXPECT_THAT(ask_name_service("passwd", "root", 2s).value(), ::testing::StartsWith("root:"));
  EXPECT_EQ(ask_name_service("passwd", "no-such-user-here", 2s).error().code(), ESRCH);
  EXPECT_EQ(ask_name_service("no-such-database", "x", 2s).error().code(), EIO);
}

}  // namespace
}  // namespace perdure::supervisor
