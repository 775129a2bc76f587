#include "base/hash.hpp"

#include <gtest/gtest.h>

namespace perdure::base {
namespace {

// Names on disk and in the kernel are made of it: it stays the same for ever. Vectors: draft-eastlake-fnv, appendix C.
TEST(Hash, IsTheOneThatEverybodyKnows) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325U);
  EXPECT_EQ(fnv1a("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8U);
}

TEST(Hash, GoesOnFromAnother) { EXPECT_EQ(fnv1a("bar", fnv1a("foo")), fnv1a("foobar")); }

}  // namespace
}  // namespace perdure::base
