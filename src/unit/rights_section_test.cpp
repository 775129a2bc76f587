#include <algorithm>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.hpp"
#include "unit/capabilities.hpp"
#include "unit/load_unit_testing.hpp"
#include "unit/system_call_groups.hpp"

namespace perdure::unit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace testing;

constexpr std::uint64_t chown = 1, kill = 1 << 5, net_admin = 1 << 12;

std::uint64_t bounding(const std::string& lines) {
  return service(lines).capability_bounding_set.value_or(all_capabilities);
}
std::uint64_t ambient(const std::string& lines) { return service(lines).ambient_capabilities; }

TEST(Capabilities, HaveNamesInAnyCaseAndNumbers) {
  EXPECT_EQ(parse_capabilities("CAP_CHOWN cap_kill 12").value(), chown | kill | net_admin);
  EXPECT_EQ(parse_capabilities("CAP_CHECKPOINT_RESTORE").value(), std::uint64_t{1} << 40);
  EXPECT_EQ(parse_capabilities("").value(), 0U);
  EXPECT_FALSE(parse_capabilities("CHOWN"));
  EXPECT_FALSE(parse_capabilities("63"));
  EXPECT_FALSE(parse_capabilities("-1"));
  EXPECT_THAT(parse_capabilities("CAP_NET_ADMN").error().message(), HasSubstr("did you mean cap_net_admin?"));
  EXPECT_EQ(capability_names(chown | kill), "cap_chown cap_kill");
  EXPECT_EQ(capability_names(all_capabilities), capability_names((std::uint64_t{1} << capability_count) - 1));
}

TEST(RightsSection, MergesCapabilitiesLineByLine) {
  EXPECT_FALSE(service("").capability_bounding_set);
  EXPECT_EQ(bounding("CapabilityBoundingSet=CAP_CHOWN\n"), chown);
  EXPECT_EQ(bounding("CapabilityBoundingSet=CAP_CHOWN\nCapabilityBoundingSet=CAP_KILL\n"), chown | kill);
  EXPECT_EQ(bounding("CapabilityBoundingSet=CAP_CHOWN CAP_KILL\nCapabilityBoundingSet=~CAP_KILL\n"), chown);
  EXPECT_EQ(bounding("CapabilityBoundingSet=~CAP_KILL\n"), ~kill);
  EXPECT_EQ(bounding("CapabilityBoundingSet=~CAP_KILL\nCapabilityBoundingSet=~CAP_CHOWN\n"), ~(kill | chown));
  EXPECT_EQ(bounding("CapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=~CAP_KILL\nCapabilityBoundingSet=~CAP_CHOWN\n"),
            0U);
  EXPECT_EQ(bounding("CapabilityBoundingSet=\n"), 0U);
  EXPECT_FALSE(service("CapabilityBoundingSet=CAP_KILL\nCapabilityBoundingSet=~\n").capability_bounding_set);
  EXPECT_EQ(ambient("AmbientCapabilities=CAP_CHOWN\nAmbientCapabilities=CAP_KILL\n"), chown | kill);
  EXPECT_EQ(ambient("AmbientCapabilities=CAP_CHOWN CAP_KILL\nAmbientCapabilities=~CAP_KILL\n"), chown);
  EXPECT_EQ(ambient("AmbientCapabilities=CAP_CHOWN\nAmbientCapabilities=\n"), 0U);
  EXPECT_EQ(ambient("AmbientCapabilities=~CAP_CHOWN\n"), ~chown);
}

TEST(RightsSection, AddsSecureBits) {
  EXPECT_EQ(service("SecureBits=noroot keep-caps\nSecureBits=noroot-locked\n").secure_bits, 0b010011U);
  EXPECT_EQ(service("SecureBits=no-setuid-fixup no-setuid-fixup-locked keep-caps-locked\n").secure_bits, 0b101100U);
  EXPECT_EQ(service("SecureBits=noroot\nSecureBits=\n").secure_bits, 0U);
}

// ---- system calls --------------------------------------------------------------------------------------------------------

SystemCallFilter filter(const std::string& lines) { return service(lines).system_call_filter.value_or(SystemCallFilter{}); }
const SystemCallRule* rule(const SystemCallFilter& filter, std::string_view name) {
  const auto at = std::find_if(filter.rules.begin(), filter.rules.end(), [&](const auto& r) { return r.name == name; });
  return at == filter.rules.end() ? nullptr : &*at;
}
bool has(const SystemCallFilter& filter, std::string_view name) { return rule(filter, name) != nullptr; }

TEST(SystemCallGroups, EndInSystemCalls) {
  EXPECT_EQ(system_call_groups().front().name, "@default");
  for (const SystemCallGroup& group : system_call_groups()) {
    EXPECT_EQ(find_system_call_group(group.name), &group);
    for (const std::string_view member : base::words(group.members)) {
      if (!member.starts_with('@')) {
        EXPECT_TRUE(is_system_call(member)) << member;
        continue;
      }
      const SystemCallGroup* const inner = find_system_call_group(member);
      ASSERT_NE(inner, nullptr) << member;
      // Of the inner ones, too, none leads back.
      for (const std::string_view deep : base::words(inner->members)) {
        if (!deep.starts_with('@')) continue;
        EXPECT_EQ(find_system_call_group(deep)->members.find('@'), std::string_view::npos) << deep;
      }
    }
  }
  EXPECT_FALSE(is_system_call("raed"));
  EXPECT_EQ(find_system_call_group("@nothing"), nullptr);
}

TEST(RightsSection, AllowsOnlyWhatIsListedAndWhatEveryProgramNeeds) {
  const SystemCallFilter f = filter("SystemCallFilter=@basic-io uname\n");
  EXPECT_TRUE(f.is_allow_list);
  for (const char* name : {"read", "uname", "exit_group"}) EXPECT_TRUE(has(f, name)) << name;
  EXPECT_FALSE(has(f, "mount"));
  EXPECT_TRUE(std::is_sorted(f.rules.begin(), f.rules.end(), [](const auto& a, const auto& b) { return a.name < b.name; }));
  EXPECT_TRUE(rule(f, "uname")->is_named);
  EXPECT_FALSE(rule(f, "read")->is_named);
  EXPECT_TRUE(rule(filter("SystemCallFilter=read @basic-io\n"), "read")->is_named);
}

TEST(RightsSection, RefusesWhatIsListedAfterATilde) {
  const SystemCallFilter f = filter("SystemCallFilter=~@mount ptrace:EPERM kexec_load:kill reboot:7\n");
  EXPECT_FALSE(f.is_allow_list);
  EXPECT_EQ(rule(f, "mount")->error, -1);
  EXPECT_EQ(rule(f, "ptrace")->error, EPERM);
  EXPECT_EQ(rule(f, "kexec_load")->error, 0);
  EXPECT_EQ(rule(f, "reboot")->error, 7);
  EXPECT_FALSE(has(f, "read"));
}

TEST(RightsSection, ChangesAListLineByLine) {
  const SystemCallFilter allowed =
      filter("SystemCallFilter=read write\nSystemCallFilter=~write\nSystemCallFilter=~read:EACCES\nSystemCallFilter=open\n");
  EXPECT_TRUE(allowed.is_allow_list);
  EXPECT_FALSE(has(allowed, "write"));
  EXPECT_EQ(rule(allowed, "read")->error, EACCES);  // it is refused with that
  EXPECT_EQ(rule(allowed, "open")->error, -1);
  const SystemCallFilter denied = filter("SystemCallFilter=~read write\nSystemCallFilter=write\n");
  EXPECT_FALSE(denied.is_allow_list);
  EXPECT_TRUE(has(denied, "read"));
  EXPECT_FALSE(has(denied, "write"));
  const SystemCallFilter fresh = filter("SystemCallFilter=read\nSystemCallFilter=\nSystemCallFilter=~write\n");
  EXPECT_FALSE(fresh.is_allow_list);
  EXPECT_EQ(fresh.rules.size(), 1U);
  EXPECT_FALSE(service("SystemCallFilter=read\nSystemCallFilter=\n").system_call_filter);
}

TEST(RightsSection, LeavesOutSystemCallsThatNobodyKnows) {
  const Loaded loaded = load_service("SystemCallFilter=raed @nothing read:EPERM uname\n");
  EXPECT_TRUE(loaded.value.is_startable);
  EXPECT_EQ(loaded.diagnostics.size(), 3U);
  const SystemCallFilter f = *loaded.value.service.system_call_filter;
  EXPECT_TRUE(f.is_allow_list);
  EXPECT_TRUE(has(f, "uname"));
  EXPECT_FALSE(has(f, "read"));
}

TEST(RightsSection, ReadsTheErrorAndTheArchitecturesOfAFilter) {
  const SystemCallFilter f =
      filter("SystemCallErrorNumber=EPERM\nSystemCallArchitectures=native x86\nSystemCallArchitectures=native\n");
  EXPECT_EQ(f.error, EPERM);
  EXPECT_THAT(f.architectures, ElementsAre("native", "x86"));
  EXPECT_FALSE(f.is_allow_list);
  EXPECT_THAT(f.rules, IsEmpty());
  EXPECT_EQ(filter("SystemCallErrorNumber=EWOULDBLOCK\n").error, EAGAIN);
  EXPECT_FALSE(service("SystemCallErrorNumber=1\nSystemCallErrorNumber=kill\n").system_call_filter);
  EXPECT_FALSE(service("SystemCallErrorNumber=1\nSystemCallErrorNumber=\n").system_call_filter);
  EXPECT_FALSE(service("SystemCallArchitectures=native\nSystemCallArchitectures=\n").system_call_filter);
}

TEST(RightsSection, ReadsBindMounts) {
  const ServiceSpec s = service("BindPaths=/a:/b:norbind -/c /d:/%p:rbind\nBindReadOnlyPaths=/e\n");
  EXPECT_THAT(s.bind_mounts, ElementsAre(BindMount{.source = "/a", .destination = "/b", .is_recursive = false},
                                         BindMount{.source = "/c", .destination = "/c", .ignores_missing = true},
                                         BindMount{.source = "/d", .destination = "/web"},
                                         BindMount{.source = "/e", .destination = "/e", .is_read_only = true}));
  EXPECT_THAT(service("BindPaths=/a\nBindReadOnlyPaths=\n").bind_mounts, IsEmpty());
  EXPECT_EQ(service("BindPaths=/a:/b:\n").bind_mounts.at(0).destination, "/b");
  for (const char* word : {"/a:", "/a::norbind", "a", "/a/../b", "/a:/b:/c", ":/a"})
    EXPECT_FALSE(load_service("BindPaths=" + std::string{word} + "\n").value.is_startable) << word;
}

}  // namespace
}  // namespace perdure::unit
