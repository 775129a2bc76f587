// What is a target, and what is not.
#include "targets.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(NetworkTargets, AreTheLinesThatAreNotBlank) {
  const Targets targets = parse_targets("10.0.0.1\n\n  example.org \t\r\n# none\nfe80::1 # with a remark\n\nlast-one");
  EXPECT_THAT(targets.hosts, ElementsAre("10.0.0.1", "example.org", "fe80::1", "last-one"));
  EXPECT_THAT(targets.problems, IsEmpty());
}

TEST(NetworkTargets, WhatACommandCouldTakeForSomethingElseIsLeftOut) {
  const Targets targets = parse_targets("good\n-oX\n$(reboot)\na b\n" + std::string(300, 'a') + "\nhost;ls\n-\n");
  EXPECT_THAT(targets.hosts, ElementsAre("good"));
  ASSERT_EQ(targets.problems.size(), 6u);
  EXPECT_EQ(targets.problems[0], "line 2: \"-oX\" is no host name or address; it is left out");
  EXPECT_EQ(targets.problems[1], "line 3: \"$(reboot)\" is no host name or address; it is left out");
}

TEST(NetworkTargets, AreBounded) {
  std::string text;
  for (std::size_t i = 0; i < targets_max + 5; ++i) text += "h" + std::to_string(i) + "\n";
  EXPECT_EQ(parse_targets(text).hosts.size(), targets_max);
  EXPECT_THAT(parse_targets(text).problems, ElementsAre("line 10001: more than 10000 targets; the rest is left out"));
  std::string garbage;
  for (int i = 0; i < 1000; ++i) garbage += "!\n";
  EXPECT_EQ(parse_targets(garbage).problems.size(), 100u);
}

TEST(NetworkPorts, AreNumbersWithCommas) {
  EXPECT_THAT(*parse_ports("22,80,443,8080"), ElementsAre(22, 80, 443, 8080));
  EXPECT_THAT(*parse_ports(" 1 , 65535"), ElementsAre(1, 65535));
  for (const char* bad : {"", ",", "0", "65536", "22-80", "http", "22,", "-1", "22 80"})
    EXPECT_FALSE(parse_ports(bad)) << bad;
}

}  // namespace
