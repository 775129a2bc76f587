#include "perdure/result.hpp"

#include <cerrno>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/assert.hpp"
#include "perdure/version.hpp"

namespace perdure {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{"odd"};
  return n / 2;
}

Result<int> quarter(int n) {
  PERDURE_TRY(const int h, half(n));
  PERDURE_TRY(const int q, half(h));
  return q;
}

Result<void> must_be_even(int n) {
  PERDURE_CHECK(half(n));
  return {};
}

TEST(Error, FromErrnoNamesAttemptObjectWordsAndName) {
  const Error e = Error::from_errno(ENOENT, "open", "/etc/x.conf");
  EXPECT_EQ(e.message(), "cannot open /etc/x.conf: No such file or directory (ENOENT)");
  EXPECT_EQ(e.code(), ENOENT);
}

TEST(Error, FromErrnoWithoutAnObjectHasNoGap) {
  EXPECT_EQ(Error::from_errno(EAGAIN, "fork").message(), "cannot fork: Resource temporarily unavailable (EAGAIN)");
}

TEST(Error, AnUnknownCodeIsShownAsANumberOnce) {
  EXPECT_EQ(Error::from_errno(4242, "open", "x").message(), "cannot open x: Unknown error 4242");
}

TEST(Error, TheObjectCannotBreakTheLine) {
  EXPECT_EQ(Error::from_errno(EACCES, "open", "a\nb\x1b[31m").message(),
            "cannot open a\\nb\\x1b[31m: Permission denied (EACCES)");
}

TEST(Error, AdviceAndContextKeepTheCode) {
  const Error e = Error::from_errno(EPERM, "lock", "x").with_advice("nothing was started").in("thermod");
  EXPECT_EQ(e.message(), "thermod: cannot lock x: Operation not permitted (EPERM); nothing was started");
  EXPECT_EQ(e.code(), EPERM);
}

TEST(Result, HoldsAValueOrAnError) {
  EXPECT_EQ(*half(4), 2);
  EXPECT_TRUE(half(4).has_value());
  ASSERT_FALSE(half(3));
  EXPECT_EQ(half(3).error().message(), "odd");
  EXPECT_EQ(half(3).value_or(7), 7);
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().message(), "odd");
}

TEST(Result, CheckPassesAVoidOn) {
  EXPECT_TRUE(must_be_even(2));
  EXPECT_FALSE(must_be_even(1));
}

TEST(Result, CarriesMoveOnlyValues) {
  Result<std::unique_ptr<int>> r{std::make_unique<int>(5)};
  const std::unique_ptr<int> taken = *std::move(r);
  EXPECT_EQ(*taken, 5);
}

TEST(ResultDeathTest, UsingTheValueOfAnErrorEndsTheProcessWithItsText) {
  EXPECT_DEATH((void)half(3).value(), "although there is an error: odd");
  EXPECT_DEATH(must_be_even(1).value(), "although there is an error: odd");
}

TEST(AssertDeathTest, SaysWhereWhatAndWhy) {
  EXPECT_DEATH(PERDURE_ASSERT(1 > 2, "numbers are ordered"),
               "result_test.cpp:[0-9]+: numbers are ordered \\(1 > 2 is not true\\)");
}

TEST(Assert, LetsTrueThingsPass) { PERDURE_ASSERT(2 > 1, "numbers are ordered"); }

TEST(Version, OfTheLibraryIsThatOfItsHeaders) {
  EXPECT_EQ(version(), std::to_string(PERDURE_VERSION_MAJOR) + '.' + std::to_string(PERDURE_VERSION_MINOR) + '.' +
                           std::to_string(PERDURE_VERSION_PATCH));
}

}  // namespace
}  // namespace perdure
