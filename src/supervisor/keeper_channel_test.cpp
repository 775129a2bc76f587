#include "supervisor/keeper_channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/fault_plan.hpp"

namespace perdure::supervisor {
namespace {

using keeper::Kind;
using ::testing::SizeIs;

/// A channel with the test at its other end.
class KeeperChannelTest : public ::testing::Test {
 protected:
  KeeperChannelTest() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    channel = KeeperChannel{UniqueFd{ends[0]}};
    other.reset(ends[1]);
  }
  void say(const void* bytes, std::size_t size) const {
    ASSERT_EQ(::send(other.get(), bytes, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
  }
  void say(const keeper::Message& message) const {
    say(&message, sizeof message.header + message.header.count * sizeof(keeper::Entry));
  }
  static keeper::Message message_of(Kind kind, std::uint64_t sequence, std::uint32_t count = 0) {
    keeper::Message message;
    message.header.kind = kind;
    message.header.sequence = sequence;
    message.header.count = count;
    return message;
  }
  /// The next request, and how many descriptors came with it; sequence 0: there is none.
  std::pair<keeper::Request, std::size_t> next_request() const {
    keeper::Request request{.sequence = 0};
    iovec part{&request, sizeof request};
    alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))];
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    std::size_t count = 0;
    if (::recvmsg(other.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == sizeof request) {
      if (const cmsghdr* const head = CMSG_FIRSTHDR(&header)) {
        count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
          ::close(fd);
        }
      }
    }
    return {request, count};
  }
  KeeperChannel channel{UniqueFd{}};
  UniqueFd other;
};

TEST_F(KeeperChannelTest, RequestsAreNumberedAndArriveInTheirOrder) {
  EXPECT_EQ(channel.send({.operation = keeper::Operation::Put}, std::array{other.get(), other.get()}), 1U);
  EXPECT_EQ(channel.send({.operation = keeper::Operation::List}), 2U);
  const auto [first, first_fds] = next_request();
  EXPECT_EQ(first.operation, keeper::Operation::Put);
  EXPECT_EQ(first.sequence, 1U);
  EXPECT_EQ(first_fds, 2U);
  EXPECT_EQ(next_request().first.sequence, 2U);
}

TEST_F(KeeperChannelTest, WhatTheSocketDoesNotTakeIsKeptWithItsDescriptors) {
  std::uint64_t sent = 0;
  while (!channel.has_unsent()) sent = channel.send({}, std::array{other.get()});
  for (int i = 0; i < 3; ++i) {
    const UniqueFd file{::open("/dev/null", O_RDONLY | O_CLOEXEC)};  // closed before it is on its way
    sent = channel.send({}, std::array{file.get()});
  }
  for (std::uint64_t expected = 1; expected <= sent; ++expected) {
    const auto [request, fds] = next_request();
    ASSERT_EQ(request.sequence, expected);
    ASSERT_EQ(fds, 1U);
    channel.flush();
  }
  EXPECT_FALSE(channel.has_unsent());
}

TEST_F(KeeperChannelTest, TooManyDescriptorsOnTheirWayAreNoLoss) {
  {
    const os::testing::FaultPlan plan{{.call = os::Call::sendmsg, .error = ETOOMANYREFS}};
    channel.send({});
  }
  EXPECT_TRUE(channel.has_unsent());
  channel.flush();
  EXPECT_EQ(next_request().first.sequence, 1U);
}

TEST_F(KeeperChannelTest, AskingWaitsForItsOwnAnswerAndKeepsTheOthers) {
  say(message_of(Kind::Exited, 0, 1));
  say(message_of(Kind::Signalled, 1));  // no answer, whatever its number
  say(message_of(Kind::Answer, 99));
  say(message_of(Kind::Listed, 1, 2));
  const auto answer = channel.ask({});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->message.header.kind, Kind::Listed);
  EXPECT_EQ(channel.receive()->message.header.kind, Kind::Exited);
  EXPECT_EQ(channel.receive()->message.header.kind, Kind::Signalled);
  EXPECT_EQ(channel.receive()->message.header.sequence, 99U);
  EXPECT_FALSE(channel.receive());
  EXPECT_FALSE(channel.is_lost());
}

TEST_F(KeeperChannelTest, AQuestionBetweenAQuestionAndItsAnswerLosesNothing) {
  const std::uint64_t first = channel.send({});
  say(message_of(Kind::Exited, 0, 1));
  say(message_of(Kind::Listed, first, 2));
  say(message_of(Kind::Signalled, 1));
  say(message_of(Kind::Answer, first + 1));
  EXPECT_EQ(channel.ask({})->message.header.kind, Kind::Answer);
  EXPECT_EQ(channel.answer_to(first)->message.header.kind, Kind::Listed);
  EXPECT_EQ(channel.receive()->message.header.kind, Kind::Exited);
  EXPECT_EQ(channel.receive()->message.header.kind, Kind::Signalled);
  EXPECT_FALSE(channel.receive());
}

TEST_F(KeeperChannelTest, AClosedEndIsNoticed) {
  say(message_of(Kind::Answer, 7));
  other.reset();
  EXPECT_TRUE(channel.receive()) << "what was said before still counts";
  EXPECT_FALSE(channel.receive());
  EXPECT_TRUE(channel.is_lost());
  EXPECT_EQ(channel.ask({}).error().message(), "cannot ask the keeper: it has closed the channel (EPIPE); services go on");
}

TEST_F(KeeperChannelTest, WhatIsNoMessageIsDroppedAndCounted) {
  keeper::Message message = message_of(Kind::Listed, 1, 2);
  say(&message, 3);
  say(&message, sizeof message.header);                              // two entries are missing
  say(&message, sizeof message.header + 3 * sizeof(keeper::Entry));  // one too many
  message.header.magic_number ^= 1;
  say(message);
  message.header.magic_number ^= 1;
  message.header.version = 2;
  say(message);
  message.header.version = keeper::protocol;
  message.header.count = keeper::entries_max + 1;
  std::array<char, sizeof message + sizeof(keeper::Entry)> large{};
  std::memcpy(large.data(), &message, sizeof message);
  say(large.data(), large.size());
  message.header.count = ~0U;
  say(&message, sizeof message);
  EXPECT_FALSE(channel.receive());
  EXPECT_EQ(channel.dropped(), 7U);
  say(message_of(Kind::Answer, 1));
  EXPECT_TRUE(channel.receive());
}

TEST_F(KeeperChannelTest, AMessageWithoutBytesIsNotTheEnd) {
  say(nullptr, 0);
  say(nullptr, 0);
  EXPECT_FALSE(channel.receive());
  EXPECT_FALSE(channel.is_lost());
  EXPECT_EQ(channel.dropped(), 2U);
  say(nullptr, 0);
  say(message_of(Kind::Answer, 7));
  EXPECT_EQ(channel.receive()->message.header.sequence, 7U);
  EXPECT_EQ(channel.dropped(), 3U);
}

TEST_F(KeeperChannelTest, WhatALostKeeperSaidAfterAMessageWithoutBytesStillCounts) {
  say(nullptr, 0);
  say(message_of(Kind::Answer, 7));
  say(nullptr, 0);
  say(nullptr, 0);
  other.reset();
  EXPECT_EQ(channel.receive()->message.header.sequence, 7U);
  EXPECT_FALSE(channel.is_lost());
  EXPECT_FALSE(channel.receive());
  EXPECT_TRUE(channel.is_lost());
}

TEST_F(KeeperChannelTest, WhatALostKeeperSaidStillCountsWhereItLeftRequestsUnread) {
  channel.send({});
  say(message_of(Kind::Answer, 7));
  other.reset();
  const auto received = channel.receive();
  ASSERT_TRUE(received) << "ECONNRESET comes first";
  EXPECT_EQ(received->message.header.sequence, 7U);
  EXPECT_FALSE(channel.receive());
  EXPECT_TRUE(channel.is_lost());
}

TEST_F(KeeperChannelTest, AnEndThatStillListensIsAnEndToo) {
  ASSERT_EQ(::shutdown(other.get(), SHUT_WR), 0);
  EXPECT_FALSE(channel.receive());
  EXPECT_TRUE(channel.is_lost());
}

TEST_F(KeeperChannelTest, AnEndThatCannotBeSeenIsLookedForAgain) {
  other.reset();
  {
    const os::testing::FaultPlan plan{{.call = os::Call::poll, .error = ENOMEM}};
    EXPECT_FALSE(channel.receive());
    EXPECT_FALSE(channel.is_lost());
  }
  EXPECT_FALSE(channel.receive());
  EXPECT_TRUE(channel.is_lost());
}

TEST_F(KeeperChannelTest, NoiseIsDropped) {
  std::mt19937 random{6};
  keeper::Message message;
  std::array<unsigned char, sizeof message> bytes{};
  for (int round = 0; round < 2000; ++round) {
    message = message_of(static_cast<Kind>(random() % 8), random() % 3, static_cast<std::uint32_t>(random() % 20));
    std::memcpy(bytes.data(), &message, sizeof message);
    for (int i = 0; i < 3; ++i) bytes[random() % sizeof message.header] ^= static_cast<unsigned char>(random());
    say(bytes.data(), 1 + random() % bytes.size());
    if (const auto received = channel.receive()) {
      ASSERT_LE(received->message.header.count, keeper::entries_max);
      ASSERT_EQ(received->message.header.magic_number, keeper::magic);
    }
  }
}

TEST_F(KeeperChannelTest, DescriptorsOfADroppedMessageAreClosed) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC | O_NONBLOCK), 0);
  const UniqueFd reader{pipe[0]};
  UniqueFd writer{pipe[1]};
  char byte = 'x';
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  cmsghdr* const head = CMSG_FIRSTHDR(&header);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = writer.get();
  std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
  ASSERT_EQ(::sendmsg(other.get(), &header, MSG_NOSIGNAL), 1);
  writer.reset();
  EXPECT_FALSE(channel.receive());
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "nobody holds the writing end any more";
}

}  // namespace
}  // namespace perdure::supervisor
