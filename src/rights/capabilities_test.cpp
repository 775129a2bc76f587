#include "rights/capabilities.hpp"

#include <gtest/gtest.h>

namespace perdure::rights {
namespace {

TEST(Capabilities, EachHasItsNameAndIsFoundByIt) {
  for (unsigned i = 0; i <= static_cast<unsigned>(Capability::CheckpointRestore); ++i) {
    const auto capability = static_cast<Capability>(i);
    EXPECT_EQ(parse_capability(capability_name(capability)), capability);
  }
  EXPECT_EQ(capability_name(Capability::NetBindService), "CAP_NET_BIND_SERVICE");
  EXPECT_EQ(parse_capability("net_bind_service"), Capability::NetBindService);
  EXPECT_EQ(parse_capability("Cap_Sys_Admin"), Capability::SysAdmin);
  for (const char* none : {"", "CAP_", "CAP_NET", "NET BIND SERVICE", "CAP_CAP_CHOWN"}) EXPECT_FALSE(parse_capability(none));
}

TEST(Capabilities, TheNumbersAreTheKernels) {
  // linux/capability.h
  EXPECT_EQ(bit_of(Capability::Chown), 1U);
  EXPECT_EQ(bit_of(Capability::Setpcap), 1U << 8);
  EXPECT_EQ(bit_of(Capability::NetBindService), 1U << 10);
  EXPECT_EQ(bit_of(Capability::SysAdmin), 1U << 21);
  EXPECT_EQ(bit_of(Capability::Syslog), std::uint64_t{1} << 34);
  EXPECT_EQ(bit_of(Capability::CheckpointRestore), std::uint64_t{1} << 40);
}

TEST(Capabilities, ASetIsNamedWhole) {
  EXPECT_EQ(names_of(0), "no capabilities");
  EXPECT_EQ(names_of(bits_of({Capability::NetRaw, Capability::Chown, Capability::NetRaw})), "CAP_CHOWN CAP_NET_RAW");
}

}  // namespace
}  // namespace perdure::rights
