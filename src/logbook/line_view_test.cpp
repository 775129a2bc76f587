#include "logbook/line_view.hpp"

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "logbook/capture_testing.hpp"

namespace perdure::logbook {
namespace {

using namespace std::string_literals;

LineOrigin origin() {
  return {.place = {.segment = 1, .offset = 812},
          .time = TimeRecord{.realtime_ns = 1'763'700'010'500'000'000, .monotonic_ns = 11'500'000'000},
          .run = 7,
          .main_pid = 4207,
          .invocation = testing::invocation(0xAB)};
}

std::string shown(ShowFormat format, std::string_view text, std::uint64_t cut = 0, bool raw = false) {
  const testing::Utc utc;
  const LineOrigin where = origin();
  std::string out;
  append_line(out, {.format = format, .unit = "demo.service", .host = "host1", .raw = raw},
              {.origin = where, .text = text, .cut = cut});
  return out;
}

// These lines are what journalctl 252 printed for the same entry.
TEST(LineView, LooksAsJournalctlDoes) {
  EXPECT_EQ(shown(ShowFormat::Short, "priority 0 message"), "Nov 21 04:40:10 host1 demo[4207]: priority 0 message\n");
  EXPECT_EQ(shown(ShowFormat::ShortIso, "priority 0 message"),
            "2025-11-21T04:40:10+0000 host1 demo[4207]: priority 0 message\n");
  EXPECT_EQ(shown(ShowFormat::Cat, "priority 0 message"), "priority 0 message\n");
  EXPECT_EQ(shown(ShowFormat::ShortPrecise, "priority 0 message"),
            "Nov 21 04:40:10.500000 host1 demo[4207]: priority 0 message\n");
  EXPECT_EQ(shown(ShowFormat::ShortUnix, "priority 0 message"), "1763700010.500000 host1 demo[4207]: priority 0 message\n");
}

TEST(LineView, PrioritiesHaveJournalctlsColours) {
  const testing::Utc utc;
  const LineOrigin where = origin();
  const auto line = [&](int priority) {
    std::string out;
    append_line(out, {.format = ShowFormat::Cat, .unit = "demo.service", .has_colours = true},
                {.origin = where, .text = "x"}, priority);
    return out;
  };
  for (const int error : {0, 1, 2, 3}) EXPECT_EQ(line(error), "\x1b[0;1;31mx\x1b[0m\n");
  EXPECT_EQ(line(4), "\x1b[0;1;38;5;185mx\x1b[0m\n");
  EXPECT_EQ(line(5), "\x1b[0;1;39mx\x1b[0m\n");
  EXPECT_EQ(line(6), "x\n");
  EXPECT_EQ(line(7), "\x1b[0;38;5;245mx\x1b[0m\n");
}

TEST(LineView, APriorityIsOneDigitFrom0To7InFront) {
  const auto taken = [](std::string_view text) {
    const auto level = take_level(text);
    return std::pair{level.value_or(-1), std::string{text}};
  };
  EXPECT_EQ(taken("<3>failed"), std::pair(3, "failed"s));
  EXPECT_EQ(taken("<0>"), std::pair(0, ""s));
  for (const char* none : {"", "<", "<3", "<8>x", "<33>x", "<a>x", " <3>x", "3>x"})
    EXPECT_EQ(taken(none), std::pair(-1, std::string{none}));
}

TEST(LineView, ExportIsSystemdsFormat) {
  EXPECT_EQ(shown(ShowFormat::Export, "hi"),
            "__CURSOR=s=00000001;o=812\n__REALTIME_TIMESTAMP=1763700010500000\n__MONOTONIC_TIMESTAMP=11500000\n"
            "_HOSTNAME=host1\n_SYSTEMD_UNIT=demo.service\n_SYSTEMD_INVOCATION_ID=abababababababababababababababab\n"
            "_PID=4207\n_TRANSPORT=stdout\nSYSLOG_IDENTIFIER=demo\nPRIORITY=6\nMESSAGE=hi\n\n");
  const std::string binary = shown(ShowFormat::Export, "a\xff");
  EXPECT_TRUE(binary.ends_with("MESSAGE\n\x02\0\0\0\0\0\0\0a\xff\n\n"s)) << binary;
}

TEST(LineView, JsonHasJournalctlsFieldsAllOfThemStrings) {
  EXPECT_EQ(
      shown(ShowFormat::Json, "say \"hi\"\t\\ \xc3\xa9"),
      R"({"__CURSOR":"s=00000001;o=812","__REALTIME_TIMESTAMP":"1763700010500000","__MONOTONIC_TIMESTAMP":"11500000",)"
      R"("_HOSTNAME":"host1","_SYSTEMD_UNIT":"demo.service","_SYSTEMD_INVOCATION_ID":"abababababababababababababababab",)"
      R"("_PID":"4207","_TRANSPORT":"stdout","SYSLOG_IDENTIFIER":"demo","PRIORITY":"6",)"
      "\"MESSAGE\":\"say \\\"hi\\\"\\t\\\\ \xc3\xa9\"}\n");
}

TEST(LineView, BytesThatAreNoTextAreNumbersInJson) {
  for (const std::string& text : {"\xff"s, "a\0b"s, "\x1b[31m"s, "\xc2\x9b"s, "\x7f"s}) {
    const std::string json = shown(ShowFormat::Json, text);
    EXPECT_NE(json.find("\"MESSAGE\":["), std::string::npos) << json;
  }
  EXPECT_NE(shown(ShowFormat::Json, "a\xff").find("\"MESSAGE\":[97,255]}"), std::string::npos);
}

TEST(LineView, NoTerminalObeysALine) {
  const std::string text =
      "\x1b[31m \r \x07 \x7f \xc2\x9b \xe2\x80\xae \xe2\x81\xa6 \xff \xc0\x80 nul:\0 tab:\t ok: \xc3\xa9"s;
  const std::string expected = R"(\x1b[31m \r \x07 \x7f \xc2\x9b \xe2\x80\xae \xe2\x81\xa6 \xff \xc0\x80 nul:\x00 tab:)"
                               "\t ok: \xc3\xa9\n";
  EXPECT_EQ(shown(ShowFormat::Cat, text), expected);
  EXPECT_TRUE(shown(ShowFormat::Short, text).ends_with(": " + expected));
  EXPECT_TRUE(shown(ShowFormat::ShortIso, text).ends_with(": " + expected));
  EXPECT_NE(shown(ShowFormat::Json, "\xe2\x80\xae").find(R"("MESSAGE":"\u202e")"), std::string::npos);
  EXPECT_EQ(shown(ShowFormat::Cat, text, 0, true), text + "\n");
}

TEST(LineView, ACutLineSaysByHowMuchAndEndsInAWholeCharacter) {
  EXPECT_EQ(shown(ShowFormat::Cat, "abc", 7), "abc… (7 more bytes)\n");
  EXPECT_EQ(shown(ShowFormat::Cat, "abc\xe2\x82", 7), "abc… (9 more bytes)\n");
  EXPECT_EQ(shown(ShowFormat::Cat, "abc\xe2\x82\xac", 7), "abc\xe2\x82\xac… (7 more bytes)\n");
  EXPECT_NE(shown(ShowFormat::Json, "abc\xe2", 7).find(R"("MESSAGE":"abc","PERDURE_BYTES_CUT":"8"})"), std::string::npos);
}

TEST(LineView, WhatIsNotKnownIsNotInvented) {
  const LineOrigin nothing{.place = {.segment = 1}};
  std::string out;
  append_line(out, {.format = ShowFormat::Short, .unit = "demo.service", .host = "host1"}, {.origin = nothing, .text = "x"});
  EXPECT_EQ(out, "--- -- --:--:-- host1 demo: x\n");
  out.clear();
  append_line(out, {.format = ShowFormat::ShortUnix, .unit = "demo.service", .hides_host = true},
              {.origin = nothing, .text = "x"});
  EXPECT_EQ(out, "----------.------ demo: x\n");
  out.clear();
  append_line(out, {.format = ShowFormat::Json, .unit = "demo.service", .host = "host1"}, {.origin = nothing, .text = "x"});
  EXPECT_EQ(out.find("TIMESTAMP"), std::string::npos);
  EXPECT_EQ(out.find("_PID"), std::string::npos);
}

}  // namespace
}  // namespace perdure::logbook
