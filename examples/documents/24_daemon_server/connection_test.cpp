#include "connection.hpp"

#include <array>
#include <memory_resource>

#include <gtest/gtest.h>

namespace {

using perdure::UniqueFd;

/// Gives what the heap has, and knows how much of it is out.
class Ledger final : public std::pmr::memory_resource {
 public:
  std::size_t lent = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    lent += bytes;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    lent -= bytes;
    std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

struct ConnectionTest : testing::Test {
  Ledger memory;
  std::array<char, 16 * 1024> scratch{};
  UniqueFd client;
  Connection connection{server_end(client), &memory};

  static UniqueFd server_end(UniqueFd& client) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()), 0);
    client.reset(ends[1]);
    return UniqueFd{ends[0]};
  }
  void hears(std::string_view text) {
    ASSERT_EQ(::send(client.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    ASSERT_TRUE(connection.receive(scratch));
  }
};

TEST_F(ConnectionTest, GivesWholeLinesAndKeepsTheRest) {
  hears("one\ntwo\nthr");
  EXPECT_EQ(connection.next_line(), "one");
  EXPECT_EQ(connection.next_line(), "two");
  EXPECT_EQ(connection.next_line(), std::nullopt);
  hears("ee\n");
  EXPECT_EQ(connection.next_line(), "three");
}

TEST_F(ConnectionTest, ALineThatIsTooLongIsNoneWithItsEndEither) {
  const std::string longest(Connection::line_max, 'x');
  hears("short\n" + longest + "\n" + longest + "x\nafter\n");
  EXPECT_EQ(connection.next_line(), "short");
  EXPECT_EQ(connection.next_line(), longest);
  EXPECT_EQ(connection.next_line(), std::nullopt);
  EXPECT_TRUE(connection.is_too_long());
}

TEST_F(ConnectionTest, WhileItWaitsOrHasNoRoomNoLineIsGiven) {
  hears("one\ntwo\n");
  connection.is_waiting = true;
  EXPECT_EQ(connection.next_line(), std::nullopt);
  connection.is_waiting = false;
  EXPECT_EQ(connection.next_line(), "one");
  connection.say(std::string(Connection::unread_max, 'x'));
  EXPECT_EQ(connection.next_line(), std::nullopt);
  EXPECT_TRUE(connection.flush());
  EXPECT_TRUE(connection.is_flushed());
  EXPECT_EQ(connection.next_line(), "two");
}

TEST_F(ConnectionTest, ATooLongLineIsNoticedBeforeItsEnd) {
  hears(std::string(Connection::line_max, 'x'));
  EXPECT_EQ(connection.next_line(), std::nullopt);
  hears("x");
  EXPECT_EQ(connection.next_line(), std::nullopt);
  EXPECT_TRUE(connection.is_too_long());
}

TEST_F(ConnectionTest, SendsTheRestLaterToWhoReadsSlowly) {
  std::string said;
  while (connection.is_flushed()) {
    const std::string line(5'000, static_cast<char>('a' + said.size() % 26));
    connection.say(line);
    said += line + "\n";
    ASSERT_TRUE(connection.flush());
  }
  std::string heard;
  for (ssize_t count = 1; count > 0 || !connection.is_flushed();) {
    count = ::recv(client.get(), scratch.data(), scratch.size(), 0);
    if (count > 0) heard.append(scratch.data(), static_cast<std::size_t>(count));
    ASSERT_TRUE(connection.flush());
  }
  EXPECT_EQ(heard, said);
}

TEST_F(ConnectionTest, WhatIsEmptyTakesNoMemory) {
  hears(std::string(1'000, 'x') + "\n");
  EXPECT_GT(memory.lent, 1'000u);
  const std::string line{*connection.next_line()};
  EXPECT_EQ(connection.next_line(), std::nullopt);
  EXPECT_EQ(memory.lent, 0u);
  connection.say(line);
  EXPECT_GT(memory.lent, 1'000u);
  EXPECT_TRUE(connection.flush());
  EXPECT_EQ(memory.lent, 0u);
}

TEST_F(ConnectionTest, KnowsTheEndFromABreak) {
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_TRUE(connection.receive(scratch));
  EXPECT_TRUE(connection.is_last);
  client.reset();
  connection.say("anybody?");
  EXPECT_FALSE(connection.flush());
}

}  // namespace
