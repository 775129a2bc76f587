#include "supervisor/denial_pacing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::supervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::Instant start{1000s};
constexpr uid_t nobody = 65534;

TEST(DenialPacing, TheFirstOfASecondIsALineWithEverythingThatIsKnown) {
  DenialPacing pacing;
  EXPECT_TRUE(pacing.note(start, nobody));
  EXPECT_TRUE(pacing.note(start, 7));
  EXPECT_EQ(DenialPacing::line({nobody, 812, "stop web.service"}),
            "permission denied: uid 65534 (pid 812) may not stop web.service; nothing was changed");
  EXPECT_EQ(DenialPacing::line({7, 0, "shutdown"}), "permission denied: uid 7 may not shutdown; nothing was changed")
      << "nobody knows a pid of another namespace";
  EXPECT_EQ(pacing.next_deadline(), std::nullopt) << "nothing is left to tell, so nobody wakes up";
}

TEST(DenialPacing, AFloodIsOneLineAndANumberPerSecond) {
  DenialPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(pacing.note(start + 999ms, nobody));
  ASSERT_EQ(pacing.next_deadline(), start + 1s);
  EXPECT_THAT(pacing.take_due(start + 999ms), IsEmpty());
  EXPECT_THAT(pacing.take_due(start + 1s), ElementsAre("permission denied: 1000 more requests were refused, of uid 65534"));
  EXPECT_EQ(pacing.next_deadline(), std::nullopt);
  EXPECT_TRUE(pacing.note(start + 1s, nobody)) << "a new second";
  EXPECT_FALSE(pacing.note(start + 1s, nobody));
  EXPECT_THAT(pacing.take_due(start + 2s), ElementsAre("permission denied: 1 more request was refused, of uid 65534"));
}

TEST(DenialPacing, WhoIsCountedAndNotToldOfYetStaysCounted) {
  DenialPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  EXPECT_FALSE(pacing.note(start, nobody));
  EXPECT_FALSE(pacing.note(start + 5s, nobody)) << "take_due() comes late";
  EXPECT_THAT(pacing.take_due(start + 5s), ElementsAre("permission denied: 2 more requests were refused, of uid 65534"));
}

TEST(DenialPacing, ASilentSecondIsForgottenWithoutBeingAskedFor) {
  DenialPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  EXPECT_TRUE(pacing.note(start + 1s, nobody));
}

TEST(DenialPacing, ManyUsersShareOneLineBeyondTheLimit) {
  DenialPacing pacing;
  for (uid_t uid = 0; uid < DenialPacing::users_max; ++uid) EXPECT_TRUE(pacing.note(start, uid));
  EXPECT_TRUE(pacing.note(start, 1'000));
  for (uid_t uid = 1'001; uid < 2'000; ++uid) EXPECT_FALSE(pacing.note(start, uid));
  EXPECT_THAT(pacing.take_due(start + 1s),
              ElementsAre("permission denied: 999 more requests were refused, of further users"));
}

}  // namespace
}  // namespace perdure::supervisor
