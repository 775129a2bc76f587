#include <fstream>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/text.hpp"
#include "perdure/settings.hpp"

namespace perdure::detail {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(ParseDuration, AddsItsParts) {
  EXPECT_EQ(*parse_duration("1min 30s", 1s), 90s);
  EXPECT_EQ(*parse_duration("2h30m", 1s), 150min);
  EXPECT_EQ(*parse_duration(" 5 minutes ", 1s), 5min);
  EXPECT_EQ(*parse_duration("1d 1w", 1s), 192h);
  EXPECT_EQ(*parse_duration("1y 1month", 1s), 34'187'400s);
  EXPECT_EQ(*parse_duration("1M", 1s), 2'629'800s);
  EXPECT_EQ(*parse_duration("3ms 4us 5ns", 1s), 3'004'005ns);
  EXPECT_EQ(*parse_duration("7µs 1μs", 1s), 8us);
}

TEST(ParseDuration, CountsABareNumberInTheUnitOfTheSetting) {
  EXPECT_EQ(*parse_duration("90", 1s), 90s);
  EXPECT_EQ(*parse_duration("90", 1ms), 90ms);
  EXPECT_EQ(*parse_duration("0.5", 1min), 30s);
}

TEST(ParseDuration, HasFractions) {
  EXPECT_EQ(*parse_duration("1.5h", 1s), 90min);
  EXPECT_EQ(*parse_duration(".25s", 1s), 250ms);
  EXPECT_EQ(*parse_duration("0.000000001s", 1s), 1ns);
}

TEST(ParseDuration, RefusesWhatItCannotCount) {
  EXPECT_EQ(*parse_duration("9223372036854775807ns", 1s), nanoseconds::max());
  for (const char* text : {"9223372036854775808ns", "300y", "99999999999999999999s", "292y 99d", "9223372036.9s"})
    EXPECT_THAT(parse_duration(text, 1s).error().message(),
                testing::HasSubstr("is too long; at most 292 years can be counted"));
}

TEST(ParseDuration, SaysWhatIsWrong) {
  const auto complaint = [](const char* text) { return parse_duration(text, 1s).error().message(); };
  EXPECT_EQ(complaint("soon"), "\"soon\" is not a duration; write for example 90s, 1min 30s or 250ms");
  EXPECT_EQ(complaint(""), "\"\" is not a duration; write for example 90s, 1min 30s or 250ms");
  EXPECT_EQ(complaint("."), "\".\" is not a duration; write for example 90s, 1min 30s or 250ms");
  EXPECT_EQ(complaint("5 parsecs"),
            "\"5 parsecs\" has an unknown unit, \"parsecs\"; there are ns us ms s min h d w month y");
  EXPECT_EQ(complaint("-5s"), "\"-5s\" is negative");
  EXPECT_EQ(complaint("infinity"), "\"infinity\" is not allowed here; write a duration such as 30s");
}

TEST(ParseDuration, AgreesWithSystemd252) {
  std::ifstream golden{PERDURE_TIME_SPANS};
  if (!golden) GTEST_SKIP() << "the time spans recorded from systemd 252 are not beside this source tree";
  int compared = 0;
  for (std::string line; std::getline(golden, line);) {
    const std::size_t arrow = line.find(" => ");
    ASSERT_NE(arrow, std::string::npos) << line;
    const std::string text = line.substr(0, arrow);
    const auto parsed = parse_duration(text, 1s);
    ++compared;
    if (text == "infinity") {
      EXPECT_FALSE(parsed);
      continue;
    }
    ASSERT_TRUE(parsed) << line;
    EXPECT_EQ(*parsed,
              std::chrono::microseconds{*base::parse_number<std::int64_t>(std::string_view{line}.substr(arrow + 4))})
        << line;
  }
  EXPECT_GT(compared, 50);
}

TEST(PrintDuration, NamesEveryPart) {
  EXPECT_EQ(print_duration(0ns), "0s");
  EXPECT_EQ(print_duration(90s), "1min 30s");
  EXPECT_EQ(print_duration(26h + 250ms), "1d 2h 250ms");
  EXPECT_EQ(print_duration(-5s), "-5s");
  EXPECT_EQ(print_duration(nanoseconds::min()), "-106751d 23h 47min 16s 854ms 775us 808ns");
}

RC_GTEST_PROP(PrintDuration, IsReadBackAsTheSameDuration, ()) {
  const auto count = *rc::gen::inRange<std::int64_t>(0, std::numeric_limits<std::int64_t>::max());
  const nanoseconds value{count >> *rc::gen::inRange(0, 62)};
  RC_ASSERT(*parse_duration(print_duration(value), 1s) == value);
}

RC_GTEST_PROP(ParseDuration, TakesAnyBytes, (const std::string& text)) { (void)parse_duration(text, 1s); }

TEST(ParseValue, KeepsToTheDurationOfTheField) {
  EXPECT_EQ(*parse_value<std::chrono::seconds>("2000ms"), 2s);
  EXPECT_EQ(parse_value<std::chrono::seconds>("1500ms").error().message(),
            "\"1500ms\" is finer than this setting's unit, 1s");
  EXPECT_EQ(*parse_value<std::chrono::duration<double>>("1500ms"), 1.5s);
  using Small = std::chrono::duration<std::int8_t>;
  EXPECT_EQ(*parse_value<Small>("2min"), Small{120});
  EXPECT_EQ(parse_value<Small>("3min").error().message(), "\"3min\" is too long");
}

TEST(PrintValue, HoldsTheLongestDurations) {
  EXPECT_EQ(print_value(std::chrono::hours::max()), print_value(std::chrono::hours{24 * 365 * 292}));
  EXPECT_EQ(print_value(std::chrono::seconds{90}), "1min 30s");
  EXPECT_EQ(print_value(std::chrono::duration<double>{0.25}), "250ms");
}

}  // namespace
}  // namespace perdure::detail
