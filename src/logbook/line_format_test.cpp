#include "logbook/line_format.hpp"

#include <time.h>

#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "logbook/logbook_testing.hpp"

namespace perdure::logbook {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::system_clock::time_point when{std::chrono::sys_days{std::chrono::year{2026} / 1 / 31} + 8h + 15min +
                                                     123ms};

std::string formatted(LogFormat format, Level level, std::string_view text,
                      std::chrono::system_clock::time_point time = when) {
  std::string out;
  append_line(out, format, "thermod", {.level = level, .time = time, .text = text});
  return out;
}

std::string text_of(std::string_view message) {
  std::string storage;
  return std::string{line_text(message, storage)};
}

TEST(LineFormat, PlainIsUtcWithMilliseconds) {
  EXPECT_EQ(formatted(LogFormat::Plain, Level::Info, "ready"), "2026-01-31T08:15:00.123Z INFO  ready");
  EXPECT_EQ(formatted(LogFormat::Plain, Level::Critical, "gone"), "2026-01-31T08:15:00.123Z CRITICAL gone");
}

TEST(LineFormat, UnixSecondsHasBracketsAndTheLevelInCapitals) {
  const std::chrono::system_clock::time_point time{1'763'700'000s + 999ms};
  EXPECT_EQ(formatted(LogFormat::UnixSeconds, Level::Info, "tick", time), "[1763700000] [INFO] tick");
  EXPECT_EQ(formatted(LogFormat::UnixSeconds, Level::Warning, "hot", time), "[1763700000] [WARN] hot");
  EXPECT_EQ(formatted(LogFormat::UnixSeconds, Level::Error, "code=42", time), "[1763700000] [ERROR] code=42");
}

TEST(LineFormat, NamedIsLocalTimeWithAComma) {
  const testing::Variable zone{"TZ", "CET-1"};
  ::tzset();
  EXPECT_EQ(formatted(LogFormat::Named, Level::Info, "ready"), "2026-01-31 09:15:00,123 - thermod - INFO - ready");
}

TEST(LineFormat, MessageIsNothingElse) { EXPECT_EQ(formatted(LogFormat::Message, Level::Error, "just this"), "just this"); }

TEST(LineFormat, TimesBefore1970AreRoundedDown) {
  const std::chrono::system_clock::time_point time{-1ms};
  EXPECT_EQ(formatted(LogFormat::Plain, Level::Debug, "x", time), "1969-12-31T23:59:59.999Z DEBUG x");
}

TEST(LineText, APlainMessageIsNotCopied) {
  std::string storage;
  const std::string_view message = "read 12 rows";
  EXPECT_EQ(line_text(message, storage).data(), message.data());
}

TEST(LineText, NoInputCanForgeALineOrSpeakToATerminal) {
  EXPECT_EQ(text_of("user x\n[1] [INFO] forged"), "user x\\n[1] [INFO] forged");
  EXPECT_EQ(text_of("\x1b[2Jgone\r\t"), "\\x1b[2Jgone\\r\\t");
  EXPECT_EQ(text_of(std::string_view{"a\0b", 3}), "a\\x00b");
}

TEST(LineText, BackslashesAndForeignLettersStay) { EXPECT_EQ(text_of("C:\\x äöü 温度"), "C:\\x äöü 温度"); }

TEST(LineText, ALongMessageIsCutVisiblyAndNotDropped) {
  EXPECT_EQ(text_of(std::string(message_bytes_max, 'x')).size(), message_bytes_max);
  EXPECT_EQ(text_of(std::string(message_bytes_max, 'x') + "1234567"),
            std::string(message_bytes_max, 'x') + "… (7 more bytes)");
  EXPECT_EQ(text_of(std::string(message_bytes_max - 1, 'x') + "ä"),
            std::string(message_bytes_max - 1, 'x') + "… (2 more bytes)");
}

TEST(LogLevel, HasTheWordsPeopleWrite) {
  EXPECT_EQ(parse_level("warn"), Level::Warning);
  EXPECT_EQ(parse_level("WARNING"), Level::Warning);
  EXPECT_EQ(parse_level("Debug"), Level::Debug);
  EXPECT_EQ(parse_level("critical"), Level::Critical);
  for (const char* nonsense : {"", "warni", "info ", "3", "err", "trace"})
    EXPECT_EQ(parse_level(nonsense), std::nullopt) << nonsense;
  for (const Level level : {Level::Debug, Level::Info, Level::Warning, Level::Error, Level::Critical}) {
    EXPECT_EQ(parse_level(level_name(level)), level);
  }
}

TEST(LogLevel, HasTheSyslogPriorities) {
  EXPECT_EQ(syslog_priority(Level::Debug), 7);
  EXPECT_EQ(syslog_priority(Level::Info), 6);
  EXPECT_EQ(syslog_priority(Level::Warning), 4);
  EXPECT_EQ(syslog_priority(Level::Error), 3);
  EXPECT_EQ(syslog_priority(Level::Critical), 2);
}

}  // namespace
}  // namespace perdure::logbook
