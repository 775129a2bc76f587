#include "rights/identity.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <gtest/gtest.h>

namespace perdure::rights {
namespace {

TEST(Identity, ANameStandsForUserGroupAndGroups) {
  const auto root = look_up("root", "");
  ASSERT_TRUE(root) << root.error().message();
  EXPECT_EQ(root->user, 0U);
  EXPECT_EQ(root->group, 0U);
  EXPECT_NE(std::find(root->groups.begin(), root->groups.end(), 0U), root->groups.end());
}

TEST(Identity, NumbersAreTakenAsNumbers) {
  EXPECT_EQ(look_up("0", "")->user, 0U);
  const auto without_entry = look_up("61234", "61235");
  ASSERT_TRUE(without_entry) << without_entry.error().message();
  EXPECT_EQ(without_entry->user, 61234U);
  EXPECT_EQ(without_entry->group, 61235U);
  EXPECT_EQ(without_entry->groups, (std::vector<gid_t>{61235}));
}

TEST(Identity, AGroupAloneKeepsTheUser) {
  const auto found = look_up("", "root");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->user, ::geteuid());
  EXPECT_EQ(found->group, 0U);
  EXPECT_EQ(found->groups, (std::vector<gid_t>{0}));
}

TEST(Identity, WhoIsUnknownIsNamed) {
  EXPECT_EQ(look_up("no such user", "").error().message(), "there is no user \"no such user\"");
  EXPECT_EQ(look_up("no such user", "").error().code(), ENOENT);
  EXPECT_EQ(look_up("root", "no such group").error().message(), "there is no group \"no such group\"");
  EXPECT_EQ(look_up("61234", "").error().message(), "there is no user \"61234\", so that a group has to be named, too");
  // The number that means "unchanged" to setresuid(2) is nobody's.
  EXPECT_FALSE(look_up("4294967295", "0"));
  EXPECT_FALSE(look_up("root", "4294967295"));
  for (const char* no_number : {"-1", "+0", "00", "0x0", "0 ", "4294967296"})
    EXPECT_FALSE(look_up(no_number, "0")) << no_number;
}

}  // namespace
}  // namespace perdure::rights
