// The YAML file: what it may say, and what is said about what it may not.
#include "scan_config.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::string fault_of(const std::string& text) {
  const auto parsed = parse_scan_config(text, "c.yaml");
  return parsed ? "" : parsed.error().message();
}

TEST(ScanConfig, HasADefaultForEverything) {
  for (const char* text : {"", "# nothing\n", "---\n", "{}"}) {
    const auto parsed = parse_scan_config(text, "c.yaml");
    ASSERT_TRUE(parsed) << parsed.error().message();
    EXPECT_FALSE(parsed->interval);
    EXPECT_EQ(parsed->root, "/");
    EXPECT_TRUE(parsed->world_writable && parsed->setuid && parsed->listening);
  }
}

TEST(ScanConfig, TheExampleIsRead) {
  const auto text = perdure::testing::read_file(std::string{EXAMPLE_DIR} + "/config.yaml");
  const auto parsed = parse_scan_config(*text, "config.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->interval, std::chrono::seconds{300});
  EXPECT_THAT(parsed->ignore, ElementsAre("/usr/bin/sudo", "/var/lib/containers"));
}

TEST(ScanConfig, TakesWhatItIsTold) {
  const auto parsed =
      parse_scan_config("scan_interval: 0.5\nroot: /srv/\nchecks: [setuid]\nignore: ['/srv/a b/']\n", "c.yaml");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->interval, std::chrono::milliseconds{500});
  EXPECT_EQ(parsed->root, "/srv");
  EXPECT_TRUE(parsed->setuid && !parsed->world_writable && !parsed->listening);
  EXPECT_THAT(parsed->ignore, ElementsAre("/srv/a b"));
}

TEST(ScanConfig, WhatIsWrongIsNamedWithLineAndColumn) {
  EXPECT_EQ(fault_of("root: /\nscan_interval: soon\n"), "c.yaml:2:16: scan_interval: a number of seconds above 0 is wanted");
  for (const char* number : {"-1", "0", ".nan", ".inf", "[1]", "1e300"})
    EXPECT_THAT(fault_of(std::string{"scan_interval: "} + number), HasSubstr("a number of seconds above 0 is wanted"))
        << number;
  EXPECT_THAT(fault_of("scan_intervall: 3\n"), StartsWith("c.yaml:1:1: \"scan_intervall\" is no setting"));
  EXPECT_THAT(fault_of("root: etc\n"), StartsWith("c.yaml:1:7: root: an absolute path is wanted"));
  EXPECT_THAT(fault_of("checks: [setuid, viruses]\n"), StartsWith("c.yaml:1:18: checks: "));
  EXPECT_THAT(fault_of("ignore: /tmp\n"), StartsWith("c.yaml:1:9: ignore: a list is wanted"));
  EXPECT_THAT(fault_of("- 1\n"), StartsWith("c.yaml:1:1: "));
  EXPECT_THAT(fault_of("root: [\n"), StartsWith("c.yaml:"));
  EXPECT_THAT(fault_of("? [1]\n: 2\n"), HasSubstr("is no setting"));
  EXPECT_NE(fault_of(std::string(100'000, '[')), "") << "deep nesting is refused, not followed";
}

}  // namespace
