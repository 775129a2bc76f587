#include "wire/hand_over.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace perdure::wire {
namespace {

using testing::HasSubstr;

HandOver sample() {
  return {.pid = 812,
          .program = "/usr/sbin/thermod",
          .is_detached = true,
          .rights = "user=www-data",
          .items = {{HandOver::Kind::Lock, "", "/run/thermod.pid", 0, 0},
                    {HandOver::Kind::Control, "", "/run/thermod.sock", 21, 4711},
                    {HandOver::Kind::Listener, "http", "127.0.0.1:80", 0, 0},
                    {HandOver::Kind::Listener, "local", "/run/a path\nwith a newline", 21, 18'446'744'073'709'551'615U},
                    {HandOver::Kind::Socket, "unknown", "", 0, 0},
                    {HandOver::Kind::ErrorOutput, "", "", 0, 0}}};
}

TEST(HandOver, MakesTheRoundTrip) {
  const auto parsed = parse_hand_over(compose_hand_over(sample()), 6);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, sample());
}

TEST(HandOver, EveryPrefixOfItAndEveryOtherNumberOfDescriptorsIsRefused) {
  const std::string bytes = compose_hand_over(sample());
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(parse_hand_over(bytes.substr(0, size), 6)) << size;
  EXPECT_FALSE(parse_hand_over(bytes + '\0', 6));
  for (const std::size_t count : {0U, 5U, 7U})
    EXPECT_FALSE(parse_hand_over(bytes, count)) << "a descriptor is missing or too many";
}

TEST(HandOver, AnotherVersionIsRefusedByName) {
  std::string bytes = compose_hand_over(sample());
  bytes.replace(bytes.find('\0') + 1, 1, "2");
  const auto parsed = parse_hand_over(bytes, 6);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().message(),
            "the running daemon hands over in version 2, this program takes version 1: restart instead");
  EXPECT_THAT(parse_hand_over(std::string("hello\0"
                                          "1\0",
                                          8),
                              0)
                  .error()
                  .message(),
              HasSubstr("no hand-over"));
}

TEST(HandOver, NumbersAndKindsThatAreNoneAreRefused) {
  const auto with = [](std::string_view from, std::string_view to) {
    std::string bytes = compose_hand_over(sample());
    bytes.replace(bytes.find(from), from.size(), to);
    return parse_hand_over(bytes, 6).has_value();
  };
  EXPECT_TRUE(with("812", "813"));
  EXPECT_FALSE(with("812", "-12"));
  EXPECT_FALSE(with("4711", "x711"));
  EXPECT_FALSE(with("listener", "listenen"));
  EXPECT_FALSE(with("/usr/sbin", "usr//sbin")) << "the program is a path from the root";
}

}  // namespace
}  // namespace perdure::wire
