#include "unit/words.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::unit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Words, AreSeparatedByBlanksAndKeptTogetherByQuotes) {
  EXPECT_THAT(*split_words(" a\tb  'c d' \"e 'f'\" "), ElementsAre("a", "b", "c d", "e 'f'"));
  EXPECT_THAT(*split_words(R"(a"b c"d '' x'' )"), ElementsAre("ab cd", "", "x"));
  EXPECT_THAT(*split_words("  "), IsEmpty());
}

TEST(Words, DecodeTheEscapesOfC) {
  EXPECT_THAT(*split_words(R"(\x41\102\u00e9\U0001F600 \s \\ '\'' "\n")"),
              ElementsAre("AB\xC3\xA9\xF0\x9F\x98\x80", " ", "\\", "'", "\n"));
  EXPECT_THAT(*split_words(R"(a\ b)", Escapes::Keep), ElementsAre(R"(a\)", "b"));
  EXPECT_THAT(*split_words(R"(a\ b \"c)", Escapes::DropMark), ElementsAre("a b", "\"c"));
}

TEST(Words, LeaveWhatIsNoEscapeAsItIs) {
  WordReader words{R"(\q \x4 \x00 \400 \ud800 \d)"};
  std::vector<std::string> all;
  while (auto word = words.next()) all.push_back(*word);
  EXPECT_THAT(all, ElementsAre(R"(\q)", R"(\x4)", R"(\x00)", R"(\400)", R"(\ud800)", R"(\d)"));
  EXPECT_TRUE(words.has_unknown_escape());
  EXPECT_FALSE(words.has_failed());
}

TEST(Words, RefuseAnOpenQuoteAndABackslashAtTheEnd) {
  for (const char* text : {"a 'b", "a \"b\\\"", "a\\"}) EXPECT_FALSE(split_words(text)) << text;
  WordReader lenient{"a 'b c", Escapes::DropMark, OpenQuote::CloseAtEnd};
  EXPECT_EQ(lenient.next(), "a");
  EXPECT_EQ(lenient.next(), "b c");
  EXPECT_FALSE(lenient.next());
  EXPECT_FALSE(lenient.has_failed());
}

RC_GTEST_PROP(Words, TakeAnyBytesInAnyMode, (const std::string& text)) {
  for (const Escapes escapes : {Escapes::Decode, Escapes::Keep, Escapes::DropMark}) {
    (void)split_words(text, escapes);
    WordReader words{text, escapes, OpenQuote::CloseAtEnd};
    while (words.next()) {
    }
    RC_ASSERT(words.rest().empty());
  }
}

}  // namespace
}  // namespace perdure::unit
