#include "perdure/pass_fd.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/fd_message.hpp"
#include "os/fault_plan.hpp"

namespace perdure {
namespace {

using ::testing::HasSubstr;

struct Line {
  UniqueFd near, far;
};

Line line_of(int type) {
  int ends[2] = {-1, -1};
  EXPECT_EQ(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

ino_t inode_of(int fd) {
  struct stat status {};
  EXPECT_EQ(::fstat(fd, &status), 0);
  return status.st_ino;
}

std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator fds{"/proc/self/fd"};
  return std::distance(begin(fds), end(fds)) - 1;
}

class PassFd : public ::testing::TestWithParam<int> {
 protected:
  void TearDown() override {
    line = {};
    EXPECT_EQ(open_descriptors(), before_) << "a descriptor was left open";
  }

 private:
  std::ptrdiff_t before_ = open_descriptors();

 protected:
  Line line = line_of(GetParam());
};
INSTANTIATE_TEST_SUITE_P(SocketTypes, PassFd, ::testing::Values(SOCK_STREAM, SOCK_SEQPACKET),
                         [](const auto& socket) { return socket.param == SOCK_STREAM ? "Stream" : "Seqpacket"; });

TEST_P(PassFd, TheReceiverHasTheSameFileAndKeepsItFromItsChildren) {
  const UniqueFd file{::open("/proc/version", O_RDONLY | O_CLOEXEC)};
  ASSERT_TRUE(send_fd(line.near.get(), file.get()));
  const auto received = receive_fd(line.far.get());
  ASSERT_TRUE(received) << received.error().message();
  EXPECT_NE(received->get(), file.get());
  EXPECT_EQ(inode_of(received->get()), inode_of(file.get()));
  EXPECT_NE(::fcntl(received->get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_P(PassFd, OneDataByteTravelsWithIt) {
  ASSERT_TRUE(send_fd(line.near.get(), STDIN_FILENO));
  char byte = 0;
  EXPECT_EQ(::recv(line.far.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'F');
}

TEST_P(PassFd, APeerThatHasClosedIsToldApart) {
  line.near.reset();
  const auto received = receive_fd(line.far.get());
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code(), ECONNRESET);
  EXPECT_EQ(received.error().message(), "cannot receive a descriptor: the peer has closed the connection (ECONNRESET)");

  const auto sent = send_fd(line.far.get(), STDIN_FILENO);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), EPIPE) << "an error and no SIGPIPE";
  EXPECT_EQ(sent.error().message(), "cannot send descriptor 0: the peer has closed the connection (EPIPE)");
}

TEST_P(PassFd, WordsWithoutADescriptorAreToldApart) {
  ASSERT_EQ(::send(line.near.get(), "DENIED", 6, 0), 6);
  const auto received = receive_fd(line.far.get());
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code(), ENOMSG);
  EXPECT_EQ(received.error().message(), "cannot receive a descriptor: the byte \"D\" came without one (ENOMSG)");
  if (GetParam() != SOCK_STREAM) return;
  std::array<char, 8> rest{};
  EXPECT_EQ(::recv(line.far.get(), rest.data(), rest.size(), MSG_DONTWAIT), 5) << "what follows the byte stays";
  EXPECT_STREQ(rest.data(), "ENIED");
}

TEST_P(PassFd, SurplusDescriptorsAreClosed) {
  for (const std::size_t count : {std::size_t{2}, std::size_t{3}, net::message_fds_max}) {
    const std::vector<int> many(count, STDIN_FILENO);
    ASSERT_TRUE(net::send_message(line.near.get(), "F", many));
    const auto before = open_descriptors();
    const auto received = receive_fd(line.far.get());
    ASSERT_TRUE(received) << received.error().message();
    EXPECT_EQ(open_descriptors(), before + 1) << count;
  }
}

TEST_P(PassFd, WhatThisProcessMayNotOpenIsAnErrorAndNothingStaysOpen) {
  const std::vector<int> many(8, STDIN_FILENO);
  ASSERT_TRUE(net::send_message(line.near.get(), "F", many));
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const UniqueFd next{::dup(STDIN_FILENO)};
  const rlimit tight{static_cast<rlim_t>(next.get()) + 4, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &tight), 0);
  const auto received = receive_fd(line.far.get());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code(), EMFILE);
  EXPECT_THAT(received.error().message(), HasSubstr("none was kept; raise the limit on open files"));
}

TEST_P(PassFd, WhatIsNotOpenIsNotSent) {
  const auto sent = send_fd(line.near.get(), -1);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().message(), "cannot send descriptor -1: Bad file descriptor (EBADF)");
  char byte = 0;
  EXPECT_EQ(::recv(line.far.get(), &byte, 1, MSG_DONTWAIT), -1);
}

TEST_P(PassFd, AnInterruptedCallIsRepeated) {
  {
    const os::testing::FaultPlan plan{{.call = os::Call::sendmsg, .error = EINTR, .times = 3}};
    ASSERT_TRUE(send_fd(line.near.get(), STDIN_FILENO));
    EXPECT_TRUE(plan.fired());
  }
  const os::testing::FaultPlan plan{{.call = os::Call::recvmsg, .error = EINTR, .times = 3}};
  EXPECT_TRUE(receive_fd(line.far.get()));
  EXPECT_TRUE(plan.fired());
}

TEST_P(PassFd, ANonBlockingSocketWithoutAMessageSaysSo) {
  ASSERT_EQ(::fcntl(line.far.get(), F_SETFL, O_NONBLOCK), 0);
  const auto received = receive_fd(line.far.get());
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code(), EAGAIN);
}

}  // namespace
}  // namespace perdure
