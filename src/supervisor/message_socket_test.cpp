#include "supervisor/message_socket.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "perdure/testing/process.hpp"

namespace perdure::supervisor {
namespace {

class MessageSocket : public ::testing::Test {
 protected:
  void SetUp() override {
    auto bound = bind_message_socket(path);
    ASSERT_TRUE(bound) << bound.error().message();
    socket = *std::move(bound);
  }
  void send(const std::string& text, const std::vector<int>& along = {}) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path.begin(), path.end(), address.sun_path);
    const UniqueFd sender{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = sizeof address;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 253)]{};
    if (!along.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * along.size());
      cmsghdr* const header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * along.size());
      std::memcpy(CMSG_DATA(header), along.data(), sizeof(int) * along.size());
    }
    ASSERT_EQ(::sendmsg(sender.get(), &message, 0), static_cast<ssize_t>(text.size()));
  }
  static int lowest_free() { return UniqueFd{::open("/dev/null", O_RDONLY | O_CLOEXEC)}.get(); }

  testing::TempDir directory{};
  std::string path = directory / "socket";
  UniqueFd socket{};
  std::array<char, 64> room{};
};

TEST_F(MessageSocket, TellsWhoSentAndKeepsTheMessageUntilItIsDropped) {
  send("one");
  send("two");
  for (int i = 0; i < 2; ++i) {
    const auto message = look_at_message(socket.get(), room);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->bytes, "one");
    EXPECT_EQ(message->sender, ::getpid());
    EXPECT_FALSE(message->is_cut);
    EXPECT_FALSE(message->carries_descriptors);
    if (i == 1) drop_message(socket.get(), *message);
  }
  EXPECT_EQ(look_at_message(socket.get(), room)->bytes, "two");
}

TEST_F(MessageSocket, WhatIsLongerThanTheRoomIsCut) {
  send(std::string(65, 'x'));
  const auto message = look_at_message(socket.get(), room);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes, std::string(64, 'x'));
  EXPECT_TRUE(message->is_cut);
  EXPECT_FALSE(message->carries_descriptors);
}

TEST_F(MessageSocket, WhatIsSentAlongGetsNoNumberAndIsClosedWithTheMessage) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  for (const std::size_t count : {1U, 2U, 253U}) {
    int ends[2] = {-1, -1};
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    const UniqueFd read_end{ends[0]};
    UniqueFd write_end{ends[1]};
    send("held", std::vector<int>(count, write_end.get()));
    write_end.reset();
    const int free = lowest_free();
    const auto message = look_at_message(socket.get(), room);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->bytes, "held");
    EXPECT_EQ(message->sender, ::getpid());
    EXPECT_TRUE(message->carries_descriptors);
    EXPECT_FALSE(message->sender_pidfd);
    EXPECT_EQ(lowest_free(), free);
    char byte = 0;
    EXPECT_EQ(::read(read_end.get(), &byte, 1), -1) << "nobody has closed it yet";
    drop_message(socket.get(), *message);
    EXPECT_EQ(::read(read_end.get(), &byte, 1), 0) << "that is what BARRIER=1 waits for";
    EXPECT_EQ(lowest_free(), free);
    EXPECT_FALSE(look_at_message(socket.get(), room));
  }
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_cur);
  EXPECT_EQ(after.rlim_max, before.rlim_max);
}

TEST_F(MessageSocket, TakesThePlaceOfASocketAndOfNothingElse) {
  EXPECT_TRUE(bind_message_socket(path)) << "one that somebody has left";
  const std::string file = directory / "file";
  testing::write_file(file, "precious");
  const auto refused = bind_message_socket(file);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), EEXIST);
  EXPECT_EQ(testing::read_file(file), "precious");
}

}  // namespace
}  // namespace perdure::supervisor
