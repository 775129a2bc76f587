#include "supervisor/refusal_pacing.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::supervisor {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr base::Instant start{1000s};
const RefusalPacing::Refusal nobody{65534, 812, "stop web.service"};

TEST(RefusalPacing, TheFirstOfASecondIsALineWithEverythingThatIsKnown) {
  RefusalPacing pacing;
  EXPECT_EQ(pacing.note(start, nobody),
            "permission denied: uid 65534 (pid 812) may not stop web.service; nothing was changed");
  EXPECT_EQ(pacing.note(start, {7, 0, "shutdown"}), "permission denied: uid 7 may not shutdown; nothing was changed")
      << "nobody knows a pid of another namespace";
  EXPECT_EQ(pacing.next_deadline(), std::nullopt) << "nothing is left to tell, so nobody wakes up";
}

TEST(RefusalPacing, AFloodIsOneLineAndANumberPerSecond) {
  RefusalPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(pacing.note(start + 999ms, nobody), std::nullopt);
  ASSERT_EQ(pacing.next_deadline(), start + 1s);
  EXPECT_THAT(pacing.take_due(start + 999ms), IsEmpty());
  EXPECT_THAT(pacing.take_due(start + 1s), ElementsAre("permission denied: 1000 more requests were refused, of uid 65534"));
  EXPECT_EQ(pacing.next_deadline(), std::nullopt);
  EXPECT_TRUE(pacing.note(start + 1s, nobody)) << "a new second";
  EXPECT_EQ(pacing.note(start + 1s, nobody), std::nullopt);
  EXPECT_THAT(pacing.take_due(start + 2s), ElementsAre("permission denied: 1 more request was refused, of uid 65534"));
}

TEST(RefusalPacing, WhoIsCountedAndNotToldOfYetStaysCounted) {
  RefusalPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  EXPECT_EQ(pacing.note(start, nobody), std::nullopt);
  EXPECT_EQ(pacing.note(start + 5s, nobody), std::nullopt) << "take_due() comes late";
  EXPECT_THAT(pacing.take_due(start + 5s), ElementsAre("permission denied: 2 more requests were refused, of uid 65534"));
}

TEST(RefusalPacing, ASilentSecondIsForgottenWithoutBeingAskedFor) {
  RefusalPacing pacing;
  ASSERT_TRUE(pacing.note(start, nobody));
  EXPECT_TRUE(pacing.note(start + 1s, nobody));
}

TEST(RefusalPacing, ManyUsersShareOneLineBeyondTheLimit) {
  RefusalPacing pacing;
  for (uid_t uid = 0; uid < RefusalPacing::users_max; ++uid) EXPECT_TRUE(pacing.note(start, {uid, 1, "ping"}));
  EXPECT_EQ(pacing.note(start, {1'000, 2, "ping"}), "permission denied: uid 1000 (pid 2) may not ping; nothing was changed");
  for (uid_t uid = 1'001; uid < 2'000; ++uid) EXPECT_EQ(pacing.note(start, {uid, 3, "ping"}), std::nullopt);
  EXPECT_THAT(pacing.take_due(start + 1s),
              ElementsAre("permission denied: 999 more requests were refused, of further users"));
}

}  // namespace
}  // namespace perdure::supervisor
