#include "supervisor/accounts.hpp"

#include <sys/stat.h>

#include <cerrno>

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
  EXPECT_EQ(read(users).user("mallory").error().message(), "User=mallory: no such user in /etc/passwd (ESRCH)");
  EXPECT_EQ(read(users).group("mallory").error().message(), "Group=mallory: no such group in /etc/group (ESRCH)");
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

}  // namespace
}  // namespace perdure::supervisor
