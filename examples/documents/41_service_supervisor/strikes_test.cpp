#include "strikes.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

constexpr Strikes::TimePoint start{};

TEST(Strikes, ReplaceAtTheThirdFailureInARow) {
  Strikes strikes{{}};
  EXPECT_EQ(strikes.failed(start), Verdict::Warn);
  EXPECT_EQ(strikes.count(), 1u);
  EXPECT_EQ(strikes.failed(start), Verdict::Warn);
  EXPECT_EQ(strikes.failed(start), Verdict::Replace);
  EXPECT_EQ(strikes.count(), 0u) << "the replacement starts with a clean slate";
}

TEST(Strikes, AreForgivenByOneGoodReading) {
  Strikes strikes{{}};
  strikes.failed(start);
  strikes.failed(start);
  EXPECT_EQ(strikes.healthy(), Verdict::Recovered);
  EXPECT_EQ(strikes.healthy(), Verdict::Nothing);
  EXPECT_EQ(strikes.failed(start), Verdict::Warn);
  EXPECT_EQ(strikes.failed(start), Verdict::Warn);
  EXPECT_EQ(strikes.failed(start), Verdict::Replace);
}

TEST(Strikes, GiveUpAfterTooManyReplacementsInTheWindow) {
  Strikes strikes{{.strikes = 1, .replacements = 2, .within = 1h}};
  EXPECT_EQ(strikes.failed(start), Verdict::Replace);
  EXPECT_EQ(strikes.failed(start + 30min), Verdict::Replace);
  EXPECT_EQ(strikes.failed(start + 40min), Verdict::GiveUp);
}

TEST(Strikes, ForgetReplacementsOutsideTheWindow) {
  Strikes strikes{{.strikes = 1, .replacements = 2, .within = 1h}};
  EXPECT_EQ(strikes.failed(start), Verdict::Replace);
  EXPECT_EQ(strikes.failed(start + 30min), Verdict::Replace);
  EXPECT_EQ(strikes.failed(start + 61min), Verdict::Replace);
}

}  // namespace
