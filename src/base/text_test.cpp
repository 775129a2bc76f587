#include "base/text.hpp"

#include <cstdint>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::base {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Trim, TakesWhiteSpaceOffBothEnds) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n "), "");
  EXPECT_EQ(trim_end(" a "), " a");
}

TEST(Lines, EndInLfOrCrlfOrNothing) {
  EXPECT_THAT(lines("a\r\n\nb"), ElementsAre("a", "", "b"));
  EXPECT_THAT(lines("a\n"), ElementsAre("a"));
  EXPECT_THAT(lines("\n"), ElementsAre(""));
  EXPECT_THAT(lines(""), IsEmpty());
}

TEST(Words, AreNeverEmpty) {
  EXPECT_THAT(words("  a\tbc \n"), ElementsAre("a", "bc"));
  EXPECT_THAT(words("  "), IsEmpty());
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_THAT(split("a::b:", ':'), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ':'), ElementsAre(""));
}

TEST(EqualsIgnoringCase, IsAboutAsciiLetters) {
  EXPECT_TRUE(equals_ignoring_case("True", "tRUE"));
  EXPECT_FALSE(equals_ignoring_case("true", "true "));
  EXPECT_FALSE(equals_ignoring_case("@", "`"));
}

TEST(RemovePrefix, TakesItOffOnlyWhereItStands) {
  std::string_view text = "READY=1";
  EXPECT_FALSE(remove_prefix(text, "STOP"));
  EXPECT_TRUE(remove_prefix(text, "READY="));
  EXPECT_EQ(text, "1");
}

TEST(Escape, LeavesOneLineThatNoTerminalObeys) {
  EXPECT_EQ(escape("a\nb\r\t\x1b[0m\x7f"), "a\\nb\\r\\t\\x1b[0m\\x7f");
  EXPECT_EQ(escape(std::string_view{"\0", 1}), "\\x00");
  EXPECT_EQ(escape("\xc2\x9b"), "\\xc2\\x9b");           // CSI as one character of C1
  EXPECT_EQ(escape("\xe2\x80\xae"), "\\xe2\\x80\\xae");  // right-to-left override
}

TEST(Escape, PassesUtf8AndShowsTheRestAsBytes) {
  EXPECT_EQ(escape("grün €\xf0\x9f\x99\x82"), "grün €\xf0\x9f\x99\x82");
  EXPECT_EQ(escape("gr\xfcn"), "gr\\xfcn");
  EXPECT_EQ(escape("\xc0\xaf"), "\\xc0\\xaf");           // overlong '/'
  EXPECT_EQ(escape("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(escape("\xe2\x82"), "\\xe2\\x82");           // cut off
}

TEST(Escape, IsAlwaysItsOwnFixedPoint) {
  for (int first = 0; first < 256; ++first)
    for (int second = 0; second < 256; ++second) {
      const std::string once = escape(std::string{static_cast<char>(first), static_cast<char>(second)});
      EXPECT_EQ(escape(once), once);
      EXPECT_EQ(once.find('\n'), std::string::npos);
    }
}

TEST(Quote, CutsWhatIsLongBetweenCharacters) {
  EXPECT_EQ(quote("a\n"), "\"a\\n\"");
  EXPECT_EQ(quote(std::string(80, 'x')), '"' + std::string(80, 'x') + '"');
  EXPECT_EQ(quote(std::string(81, 'x')), '"' + std::string(80, 'x') + "…\"");
  EXPECT_EQ(quote(std::string(79, 'x') + "ü!"), '"' + std::string(79, 'x') + "…\"");
}

TEST(Closest, ForgivesAFewWrongLetters) {
  EXPECT_EQ(closest("prot", {"host", "port"}), "port");
  EXPECT_EQ(closest("log_levl", {"log_file", "log_level"}), "log_level");
  EXPECT_EQ(closest("relaod", {"reload", "restart"}), "reload");
  EXPECT_EQ(closest("INOF", {"error", "info"}), "info");
  EXPECT_EQ(closest("Port", {"post", "port"}), "port");
  EXPECT_EQ(closest("pid", {"pid_file", "pids"}), "pids");
}

TEST(Closest, IsSilentWhereNothingIsNear) {
  EXPECT_EQ(closest("colour", {"port", "host"}), std::nullopt);
  EXPECT_EQ(closest("x", {"y"}), std::nullopt);
  EXPECT_EQ(closest("", {"a", ""}), std::nullopt);
  EXPECT_EQ(closest(std::string(100'000, 'a'), {"aaa"}), std::nullopt);
  EXPECT_EQ(closest("word", {}), std::nullopt);
}

TEST(ParseNumber, IsStrict) {
  EXPECT_EQ(parse_number<int>("-12"), -12);
  EXPECT_EQ(parse_number<std::uint8_t>("255"), 255);
  EXPECT_EQ(parse_number<std::uint8_t>("256"), std::nullopt);
  EXPECT_EQ(parse_number<unsigned>("-1"), std::nullopt);
  EXPECT_EQ(parse_number<std::int64_t>("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  for (const char* bad : {"", " 1", "1 ", "+1", "0x10", "1e3", "1.0", "--1", "٣"})
    EXPECT_FALSE(parse_number<int>(bad)) << bad;
}

}  // namespace
}  // namespace perdure::base
