#include "requests.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Request, AVerbBeginsWithASlashAndEndsWithABlank) {
  EXPECT_EQ(parse("/ask me twice").verb, "/ask");
  EXPECT_EQ(parse("/ask me twice").text, "me twice");
  EXPECT_EQ(parse("/ask").verb, "/ask");
  EXPECT_EQ(parse("/ask").text, "");
  EXPECT_EQ(parse("/ask  x\r").text, " x");
}

TEST(Request, EveryOtherLineIsItself) {
  for (const char* line : {"", "hello", " /ask x", "\r", "a\r"}) {
    EXPECT_EQ(parse(line).verb, "");
    EXPECT_EQ(parse(line).text, line);
  }
}

TEST(CountPrimes, KnowsHowManyThereAre) {
  EXPECT_EQ(count_primes("0"), "0");
  EXPECT_EQ(count_primes("1"), "0");
  EXPECT_EQ(count_primes("2"), "1");
  EXPECT_EQ(count_primes("1000"), "168");
  EXPECT_EQ(count_primes("10000000"), "664579");
}

TEST(CountPrimes, TakesANumberAndNothingElse) {
  for (const char* text : {"", "x", "-1", "1 ", " 1", "1.5", "10000001", "99999999999999999999"})
    EXPECT_EQ(count_primes(text), "error: /primes takes a number, 10000000 at most") << text;
}

}  // namespace
