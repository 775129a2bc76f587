#include "unit/values.hpp"

#include <csignal>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace perdure::unit {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

TEST(Signal, HasANameANumberOrADistance) {
  EXPECT_EQ(*parse_signal("SIGTERM"), SIGTERM);
  EXPECT_EQ(*parse_signal("USR2"), SIGUSR2);
  EXPECT_EQ(*parse_signal("9"), 9);
  EXPECT_EQ(*parse_signal("RTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(*parse_signal("SIGRTMAX-1"), SIGRTMAX - 1);
  for (const char* text : {"", "0", "-1", "65", "SIG", "sigterm", "RTMIN-1", "RTMIN+99", "RTMIN+", "SIGTREM"})
    EXPECT_FALSE(parse_signal(text)) << text;
  EXPECT_EQ(parse_signal("SIGTREM").error().message(), "\"SIGTREM\" is no signal; did you mean SIGTERM?");
}

TEST(Status, IsACodeANameOrASignal) {
  StatusSet set;
  for (const char* text : {"255", "TEMPFAIL", "3", "3", "SIGUSR1", "KILL"}) EXPECT_TRUE(add_status(text, set)) << text;
  EXPECT_THAT(set.codes, ElementsAre(3, 75, 255));
  EXPECT_THAT(set.signals, ElementsAre(SIGKILL, SIGUSR1));
  for (const char* text : {"256", "-1", "", "SIGNONE", "tempfail"}) EXPECT_FALSE(add_status(text, set)) << text;
}

TEST(Span, CountsSecondsAndKnowsInfinity) {
  EXPECT_EQ(*parse_span("90").value(), base::Duration{90s});
  EXPECT_EQ(*parse_span("1min 30s").value(), base::Duration{90s});
  EXPECT_FALSE(parse_span("infinity")->has_value());
  EXPECT_EQ(*parse_span("200y").value(), span_max);
  EXPECT_FALSE(parse_span("soon"));
  EXPECT_FALSE(parse_span(""));
}

TEST(LimitValue, HasTheUnitsOfItsLimit) {
  const auto both = [](std::uint64_t n) { return LimitValue{.soft = n, .hard = n}; };
  EXPECT_EQ(*parse_limit(Limit::OpenFiles, "1024"), both(1024));
  EXPECT_EQ(*parse_limit(Limit::OpenFiles, "1024:4096"), (LimitValue{.soft = 1024, .hard = 4096}));
  EXPECT_EQ(*parse_limit(Limit::OpenFiles, "16:infinity"), (LimitValue{.soft = 16, .hard = limit_infinity}));
  EXPECT_EQ(*parse_limit(Limit::LockedMemory, "8M"), both(8U << 20));
  EXPECT_EQ(*parse_limit(Limit::Cpu, "1500ms"), both(2));
  EXPECT_EQ(*parse_limit(Limit::Cpu, "30"), both(30));
  EXPECT_EQ(*parse_limit(Limit::RealTimeTime, "2ms"), both(2000));
  EXPECT_EQ(*parse_limit(Limit::RealTimeTime, "7"), both(7));
  EXPECT_EQ(*parse_limit(Limit::Nice, "+5"), both(15));
  EXPECT_EQ(*parse_limit(Limit::Nice, "-5"), both(25));
  EXPECT_EQ(*parse_limit(Limit::Nice, "40"), both(40));
  for (const char* text : {"", ":", "1:", ":1", "2:1", "-1", "x", "1K"})
    EXPECT_FALSE(parse_limit(Limit::OpenFiles, text)) << text;
  EXPECT_FALSE(parse_limit(Limit::Nice, "+20"));
  EXPECT_FALSE(parse_limit(Limit::Nice, "-21"));
  EXPECT_EQ(limit_of("LimitNOFILE"), Limit::OpenFiles);
  EXPECT_FALSE(limit_of("LimitX"));
}

TEST(Account, IsANameOrAnId) {
  for (const char* text : {"root", "www-data", "_apt", "me@corp.example", "0", "65534", "with space", "J\xC3\xBCrgen"})
    EXPECT_TRUE(check_account(text)) << text;
  for (const char* text :
       {"", "0day", "007", "65535", "4294967295", "4294967296", "-1", "-x", "a:b", "a/b", ".", "..", "a\nb"})
    EXPECT_FALSE(check_account(text)) << text;
}

TEST(Assignment, HasANameAndATextValue) {
  for (const char* text : {"A=", "_a9=b c", "A=\t\n", "A==", "A=\xC3\xA9"}) EXPECT_TRUE(is_assignment(text)) << text;
  for (const char* text : {"", "=", "A", "9A=b", "A-B=c", "A=\x01", "A=\xFF", "A B=c"})
    EXPECT_FALSE(is_assignment(text)) << text;
}

TEST(Path, IsAbsoluteAndMadeSimple) {
  EXPECT_EQ(*parse_path("//a/./b/"), "/a/b");
  EXPECT_EQ(*parse_path("/"), "/");
  EXPECT_FALSE(parse_path("a"));
  EXPECT_FALSE(parse_path(""));
  EXPECT_FALSE(parse_path("/a\nb"));
}

TEST(Mode, IsOctal) {
  EXPECT_EQ(*parse_mode("0027", 0777), 027U);
  EXPECT_FALSE(parse_mode("8", 0777));
  EXPECT_FALSE(parse_mode("1000", 0777));
  EXPECT_FALSE(parse_mode("", 0777));
}

TEST(Truth, MayBeOneLetter) {
  EXPECT_TRUE(*parse_truth("y"));
  EXPECT_FALSE(*parse_truth("F"));
  EXPECT_TRUE(*parse_truth("on"));
  EXPECT_FALSE(parse_truth("yess"));
}

RC_GTEST_PROP(Values, TakeAnyBytes, (const std::string& text)) {
  StatusSet set;
  (void)parse_signal(text);
  (void)add_status(text, set);
  (void)parse_span(text);
  (void)check_account(text);
  (void)is_assignment(text);
  (void)parse_path(text);
  (void)parse_truth(text);
  (void)parse_mode(text, 0777);
  for (std::size_t i = 0; i < limit_count; ++i) (void)parse_limit(static_cast<Limit>(i), text);
}

}  // namespace
}  // namespace perdure::unit
