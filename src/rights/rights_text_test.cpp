#include "rights/rights_text.hpp"

#include <gtest/gtest.h>

namespace perdure::rights {
namespace {

TEST(RightsText, IsEmptyWhereNothingIsAskedFor) { EXPECT_EQ(text_of({}), ""); }

TEST(RightsText, DiffersWhereAnyRightDiffers) {
  const Rights rights{.user = "www-data", .sandbox = Sandbox::NetworkServer, .writable = {"/srv"}};
  EXPECT_EQ(text_of(rights), text_of(Rights{rights}));
  const auto changed = [&](auto change) {
    Rights other{rights};
    change(other);
    return text_of(other) != text_of(rights);
  };
  EXPECT_TRUE(changed([](Rights& r) { r.user = "nobody"; }));
  EXPECT_TRUE(changed([](Rights& r) { r.group = "adm"; }));
  EXPECT_TRUE(changed([](Rights& r) { r.chroot = "/srv"; }));
  EXPECT_TRUE(changed([](Rights& r) { r.keep_caps = {Capability::Chown}; }));
  EXPECT_TRUE(changed([](Rights& r) { r.ambient_caps = {Capability::Chown}; }));
  EXPECT_TRUE(changed([](Rights& r) { r.no_new_privs = true; }));
  EXPECT_TRUE(changed([](Rights& r) { r.sandbox = Sandbox::SelfContained; }));
  EXPECT_TRUE(changed([](Rights& r) { r.forbidden_calls = ForbiddenCall::Kills; }));
  EXPECT_TRUE(changed([](Rights& r) { r.writable.emplace_back("/var"); }));
  EXPECT_TRUE(changed([](Rights& r) { r.limits.open_files = 64; }));
  EXPECT_TRUE(changed([](Rights& r) { r.limits.core_bytes = 0; }));
  EXPECT_TRUE(changed([](Rights& r) { r.limits.address_space_bytes = 1; }));
  EXPECT_TRUE(changed([](Rights& r) { r.limits.processes = 9; }));
  EXPECT_TRUE(changed([](Rights& r) { r.namespaces.mount = true; }));
  EXPECT_TRUE(changed([](Rights& r) { r.namespaces.network = true; }));
  EXPECT_TRUE(changed([](Rights& r) { r.namespaces.ipc = true; }));
  EXPECT_TRUE(changed([](Rights& r) { r.namespaces.host_name = true; }));
}

TEST(RightsText, ValuesCannotPassForOtherRights) {
  EXPECT_NE(text_of({.user = "a group=1:b"}), text_of({.user = "a", .group = "b"}));
}

TEST(RightsText, OnlyAmbientCapabilitiesOutliveAnExecution) {
  EXPECT_TRUE(loses_capabilities_at_exec({.user = "nobody", .keep_caps = {Capability::NetBindService}}));
  EXPECT_FALSE(loses_capabilities_at_exec(
      {.user = "nobody", .keep_caps = {Capability::NetBindService}, .ambient_caps = {Capability::NetBindService}}));
  EXPECT_FALSE(loses_capabilities_at_exec({.user = "nobody"}));
}

}  // namespace
}  // namespace perdure::rights
