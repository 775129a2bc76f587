#include "wire/syslog_message.hpp"

#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace perdure::wire {
namespace {

using namespace std::string_view_literals;

struct Case {
  std::string_view datagram;
  int priority;
  std::string_view identifier;
  std::string_view pid;
  std::string_view text;
};

TEST(SyslogMessage, IsTakenApartAsTheLibrariesOfCWriteIt) {
  const Case cases[] = {
      {"<78>Nov 21 04:40:10 CRON[812]: (root) CMD (true)", 6, "CRON", "812", "(root) CMD (true)"},
      {"<30>Nov  1 04:40:10 postfix/smtpd[9]: connect from a[::1]", 6, "postfix/smtpd", "9", "connect from a[::1]"},
      {"<3>Nov 21 04:40:10 named: shutting down", 3, "named", "", "shutting down"},
      {"<27>web[7]: without a time", 3, "web", "7", "without a time"},
      {"<14>2025-11-21T04:40:10.5+01:00 rsyslogd[1]: x", 6, "rsyslogd", "1", "x"},
      {"<0>Nov 21 04:40:10 a: end\n\0"sv, 0, "a", "", "end"},
      {"<191>x: y", 7, "x", "", "y"},
      {"<15>x:y", 7, "x", "", "y"},
      {"<13>root: two\nlines", 5, "root", "", "two\nlines"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string{c.datagram});
    const SyslogMessage message = parse_syslog(c.datagram);
    EXPECT_EQ(message.priority, c.priority);
    EXPECT_EQ(message.identifier, c.identifier);
    EXPECT_EQ(message.pid, c.pid);
    EXPECT_EQ(message.text, c.text);
  }
}

TEST(SyslogMessage, WhatIsNotWrittenAsUsualIsText) {
  for (const std::string_view text :
       {"hello world"sv, "<192>a b"sv, "<-1>x y"sv, "<>x y"sv, "<1"sv, ":x"sv, "a[1: b"sv, "a[1]b: c"sv, "[1]: c"sv,
        "no end"sv, "a b: c"sv, "Nov 21 04:40:1"sv, "\xff\x00\xfe"sv}) {
    SCOPED_TRACE(std::string{text});
    const SyslogMessage message = parse_syslog(text);
    EXPECT_EQ(message.text, text);
    EXPECT_EQ(message.identifier, "");
    EXPECT_EQ(message.priority, 6);
  }
  EXPECT_EQ(parse_syslog("").text, "");
  EXPECT_EQ(parse_syslog("\n\n").text, "");
  EXPECT_EQ(parse_syslog("<30>").text, "");
  EXPECT_EQ(parse_syslog("<30>Nov 21 04:40:10 ").text, "");
}

}  // namespace
}  // namespace perdure::wire
