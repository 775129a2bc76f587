#include <cerrno>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/ini.hpp"
#include "perdure/settings.hpp"

namespace perdure::detail {
namespace {

template <class T>
std::string complaint(const Result<T>& result) {
  return result ? "no complaint" : result.error().message();
}

TEST(ParseBool, KnowsTheUsualWordsInAnyCase) {
  for (const char* word : {"yes", "true", "TRUE", "On", "1"}) EXPECT_TRUE(*parse_bool(word)) << word;
  for (const char* word : {"no", "False", "OFF", "0"}) EXPECT_FALSE(*parse_bool(word)) << word;
  EXPECT_EQ(complaint(parse_bool("maybe")), "\"maybe\" is neither yes nor no");
}

TEST(ParseInteger, RefusesWhatIsNoIntegerAndWhatDoesNotFit) {
  EXPECT_EQ(*parse_integer("-128", -128, 127), -128);
  EXPECT_EQ(complaint(parse_integer("128", -128, 127)), "128 is out of range: -128 to 127");
  EXPECT_EQ(parse_integer("128", -128, 127).error().code(), ERANGE);
  EXPECT_EQ(complaint(parse_integer("99999999999999999999", -128, 127)),
            "99999999999999999999 is out of range: -128 to 127");
  for (const char* bad : {"abc", "", "1.5", "10s", "0x10", "1 2", "-", "+1"})
    EXPECT_EQ(complaint(parse_integer(bad, -128, 127)), '"' + std::string{bad} + "\" is not an integer");
  EXPECT_EQ(complaint(parse_unsigned("-5", 10)), "-5 is out of range: 0 to 10");
  EXPECT_EQ(*parse_unsigned("18446744073709551615", std::numeric_limits<std::uint64_t>::max()),
            std::numeric_limits<std::uint64_t>::max());
}

TEST(ParseDouble, TakesFiniteNumbersOnly) {
  EXPECT_EQ(*parse_double("-1.5e3"), -1500.0);
  for (const char* bad : {"nan", "inf", "-infinity", "1,5", "1.5x", "", "0x1p3"})
    EXPECT_EQ(complaint(parse_double(bad)), '"' + std::string{bad} + "\" is not a number");
  EXPECT_EQ(complaint(parse_double("1e999")), "\"1e999\" is too large or too small");
}

TEST(ParseSize, HasPowersOf1024) {
  EXPECT_EQ(*parse_size("0"), 0u);
  EXPECT_EQ(*parse_size("64K"), 65536u);
  EXPECT_EQ(*parse_size("10 M"), 10u << 20);
  EXPECT_EQ(*parse_size("512B"), 512u);
  EXPECT_EQ(*parse_size("15E"), std::uint64_t{15} << 60);
  EXPECT_EQ(complaint(parse_size("16E")), "\"16E\" is too large");
  for (const char* bad : {"", "K", "-1", "1.5K", "10MB", "10k", "10 M B"})
    EXPECT_THAT(complaint(parse_size(bad)), testing::HasSubstr("is not a size; write bytes, or a number with K, M, G or T"));
}

TEST(ParseWord, SuggestsTheNearestWord) {
  const std::vector<std::string_view> levels{"debug", "info", "warning"};
  EXPECT_EQ(*parse_word("INFO", levels), 1u);
  EXPECT_EQ(complaint(parse_word("warnign", levels)), "\"warnign\" is none of debug, info, warning; did you mean warning?");
  EXPECT_EQ(complaint(parse_word("loud", levels)), "\"loud\" is none of debug, info, warning");
}

TEST(PrintString, QuotesOnlyWhereItMust) {
  EXPECT_EQ(print_string("/var/run/x.pid"), "/var/run/x.pid");
  EXPECT_EQ(print_string("it's a \"test\"#1"), "it's a \"test\"#1");
  EXPECT_EQ(print_string(""), "\"\"");
  EXPECT_EQ(print_string(" a"), "\" a\"");
  EXPECT_EQ(print_string("#fff"), "\"#fff\"");
  EXPECT_EQ(print_string("a #b"), "\"a #b\"");
  EXPECT_EQ(print_string("a\n\\\""), "\"a\\n\\\\\\\"\"");
  EXPECT_EQ(print_string("\xff"), "\"\\xff\"");
}

std::string read_back(const std::string& printed) {
  const auto parsed = config::parse_ini("k = " + printed + "\n", "f");
  RC_ASSERT(parsed.diagnostics.empty());
  return parsed.value.sections.at(0).entries.at(0).value;
}

RC_GTEST_PROP(PrintString, IsReadBackAsTheSameBytes, ()) {
  auto text = *rc::gen::container<std::string>(
      rc::gen::oneOf(rc::gen::elementOf(std::string{"\"'#\\ \t\n\r=;[]x"}), rc::gen::arbitrary<char>()));
  std::erase(text, '\0');  // a text file has none
  RC_ASSERT(read_back(print_string(text)) == text);
}

RC_GTEST_PROP(PrintDouble, IsReadBackAsTheSameNumber, (double value)) {
  RC_ASSERT(*parse_double(print_double(value)) == value);
}

RC_GTEST_PROP(PrintFloat, IsReadBackAsTheSameNumber, (float value)) {
  RC_ASSERT(*parse_value<float>(print_float(value)) == value);
}

RC_GTEST_PROP(PrintSize, IsReadBackAsTheSameSize, ()) {
  const auto value = *rc::gen::arbitrary<std::uint64_t>() << *rc::gen::inRange(0, 60);
  RC_ASSERT(*parse_size(print_size(value)) == value);
}

TEST(PrintDouble, IsShort) {
  EXPECT_EQ(print_double(0.1), "0.1");
  EXPECT_EQ(print_float(0.1F), "0.1");
}

}  // namespace
}  // namespace perdure::detail
