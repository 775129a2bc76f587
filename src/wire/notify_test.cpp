#include "wire/notify.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::wire {
namespace {

using ::testing::ElementsAre;

TEST(NotifyDatagram, IsOneAssignmentPerLineWithoutATrailingNewline) {
  EXPECT_EQ(compose_notify({{"READY", "1"}}), "READY=1");
  EXPECT_EQ(compose_notify({{"RELOADING", "1"}, {"MONOTONIC_USEC", "812"}}), "RELOADING=1\nMONOTONIC_USEC=812");
}

TEST(NotifyDatagram, AValueCannotForgeALine) {
  EXPECT_EQ(compose_notify({{"STATUS", "loaded x\nMAINPID=1"}}), "STATUS=loaded x MAINPID=1");
}

TEST(NotifyDatagram, AValueIsCutBetweenCharactersSoThatItFits) {
  std::string text(notify_bytes_max - 9, 'x');  // "STATUS=" and the newline's place leave notify_bytes_max - 8
  text += "äöü";
  const std::string datagram = compose_notify({{"STATUS", text}});
  EXPECT_EQ(datagram, "STATUS=" + std::string(notify_bytes_max - 9, 'x'));
  EXPECT_TRUE(check_notify(datagram));
}

TEST(NotifyDatagram, IsReadBackInItsOrder) {
  const NotifyMessage message = parse_notify("READY=1\nSTATUS=a = b\nX_OWN=\n");
  EXPECT_THAT(message.fields,
              ElementsAre(NotifyField{"READY", "1"}, NotifyField{"STATUS", "a = b"}, NotifyField{"X_OWN", ""}));
  EXPECT_EQ(message.ignored, 0U);
  EXPECT_EQ(message.value("READY"), "1");
  EXPECT_EQ(message.value("STOPPING"), std::nullopt);
}

TEST(NotifyDatagram, ALaterLineOverridesAnEarlierOne) { EXPECT_EQ(parse_notify("STATUS=a\nSTATUS=b").value("STATUS"), "b"); }

TEST(NotifyDatagram, WhatIsNoAssignmentIsCountedNotBelieved) {
  const NotifyMessage message = parse_notify(std::string_view{"READY\n=1\n\n\0\nWATCHDOG=1", 22});
  EXPECT_THAT(message.fields, ElementsAre(NotifyField{"WATCHDOG", "1"}));
  EXPECT_EQ(message.ignored, 3U);
}

TEST(NotifyDatagram, HasNoMoreFieldsThanTheLimit) {
  std::string datagram;
  for (std::size_t i = 0; i < notify_fields_max + 3; ++i) datagram += "A=1\n";
  const NotifyMessage message = parse_notify(datagram);
  EXPECT_EQ(message.fields.size(), notify_fields_max);
  EXPECT_EQ(message.ignored, 3U);
}

TEST(NotifyDatagram, AnOversizedOneIsIgnoredWhole) {
  const NotifyMessage message = parse_notify("READY=1\nSTATUS=" + std::string(notify_bytes_max, 'x'));
  EXPECT_TRUE(message.fields.empty());
  EXPECT_EQ(message.ignored, 1U);
}

TEST(NotifyCheck, AcceptsWhatTheInitUnderstands) {
  EXPECT_TRUE(check_notify("READY=1"));
  EXPECT_TRUE(check_notify("READY=1\nSTATUS=serving\n"));
  EXPECT_TRUE(check_notify("STATUS="));
}

TEST(NotifyCheck, SaysWhatIsWrong) {
  EXPECT_EQ(check_notify("").error().message(), "cannot notify the init: the message is empty");
  EXPECT_EQ(check_notify("\n\n").error().message(), "cannot notify the init: the message is empty");
  EXPECT_EQ(check_notify("READY=1\nserving").error().message(),
            "cannot notify the init: \"serving\" is not NAME=value; nothing was sent");
  EXPECT_EQ(check_notify("STATUS=" + std::string(5000, 'x')).error().message(),
            "cannot notify the init: the message has 5007 bytes, 4096 is the most; nothing was sent");
}

}  // namespace
}  // namespace perdure::wire
