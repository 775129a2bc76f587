// The built-in scan, against ports of the loopback.
#include "connect_scan.hpp"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loopback.hpp"

namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(ConnectScan, TellsOpenFromClosed) {
  const TcpPort open{TcpPort::Listens::Yes}, closed{TcpPort::Listens::No}, another{TcpPort::Listens::Yes};
  const auto scanned = connect_scan("127.0.0.1", {open.number, closed.number, another.number}, 30s);
  ASSERT_TRUE(scanned) << scanned.error().message();
  ASSERT_EQ(scanned->size(), 3u);
  EXPECT_EQ((*scanned)[0].port, open.number);
  EXPECT_EQ((*scanned)[0].state, PortState::Open);
  EXPECT_EQ((*scanned)[1].state, PortState::Closed);
  EXPECT_EQ((*scanned)[2].state, PortState::Open);
}

TEST(ConnectScan, OneThatDoesNotAnswerDoesNotHideTheOthers) {
  const TcpPort silent{TcpPort::Listens::Yes, 0}, open{TcpPort::Listens::Yes};
  // Whoever comes when the backlog is full gets no answer (tcp(7), tcp_abort_on_overflow).
  std::vector<perdure::UniqueFd> clients;
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(silent.socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    (void)connect(clients.back().get(), reinterpret_cast<const sockaddr*>(&address), size);
  }
  const auto scanned = connect_scan("127.0.0.1", {silent.number, open.number}, 200ms);
  ASSERT_TRUE(scanned);
  EXPECT_EQ((*scanned)[0].state, PortState::NoAnswer);
  EXPECT_EQ((*scanned)[1].state, PortState::Open);
}

TEST(ConnectScan, AHostThatIsNoneIsAnError) {
  const auto scanned = connect_scan("300.300.300.300.invalid", {22}, 30s);
  ASSERT_FALSE(scanned);
  EXPECT_THAT(scanned.error().message(), HasSubstr("cannot look up 300.300.300.300.invalid: "));
}

}  // namespace
